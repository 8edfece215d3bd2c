"""What Grafana reads at its start: the two data sources, and a folder of dashboards for each language."""

from __future__ import annotations

from typing import Any

import yaml

from grafana.builders.influx import INFLUX
from grafana.builders.texts import LANGUAGES, Catalogue

__all__ = ["provisioning"]

_HEAD = "# Made by python -m grafana.builders. Addresses and secrets come from Grafana's environment.\n"


def provisioning(catalogue: Catalogue) -> dict[str, str]:
    """Path below `grafana/` to content."""
    return {
        "provisioning/datasources/meter-monitor.yaml": _HEAD + _yaml({"apiVersion": 1, "datasources": _sources()}),
        "provisioning/dashboards/meter-monitor.yaml": _HEAD
        + _yaml({"apiVersion": 1, "providers": _providers(catalogue)}),
    }


def _sources() -> list[dict[str, Any]]:
    """InfluxQL with a token in a header: InfluxDB 2 (through a DBRP mapping) and 3 take it, 1.x without
    authentication passes over it."""
    return [
        {
            "name": "InfluxDB",
            "uid": INFLUX.uid,
            "type": INFLUX.type_val,
            "access": "proxy",
            "url": "$INFLUX_URL",
            "isDefault": True,
            "editable": False,
            "jsonData": {
                "version": "InfluxQL",
                "dbName": "$INFLUX_DATABASE",
                "httpMode": "POST",
                "httpHeaderName1": "Authorization",
            },
            "secureJsonData": {"httpHeaderValue1": "Token $INFLUX_TOKEN"},
        },
        {
            "name": "Prometheus",
            "uid": "prometheus",
            "type": "prometheus",
            "access": "proxy",
            "url": "$PROMETHEUS_URL",
            "editable": False,
            "jsonData": {"httpMethod": "POST"},
        },
    ]


def _providers(catalogue: Catalogue) -> list[dict[str, Any]]:
    return [
        {
            "name": f"meter-monitor-{language}",
            "folder": catalogue.text("common.folder", language),
            "folderUid": f"meter-monitor-{language}",
            "type": "file",
            "disableDeletion": True,
            "allowUiUpdates": False,
            "options": {"path": f"/etc/grafana/dashboards/{language}"},
        }
        for language in LANGUAGES
    ]


def _yaml(content: dict[str, Any]) -> str:
    return yaml.safe_dump(content, allow_unicode=True, sort_keys=False, width=120)
