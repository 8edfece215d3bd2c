"""All that is generated: file name to content. The tests compare it with what is committed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from grafana.builders.ac_compliance import ac_compliance
from grafana.builders.board import Board
from grafana.builders.building import building
from grafana.builders.data_quality import data_quality
from grafana.builders.operations import operations
from grafana.builders.overview import overview
from grafana.builders.peak_hours import peak_hours
from grafana.builders.provisioning import provisioning
from grafana.builders.texts import LANGUAGES, Catalogue, Words

__all__ = ["DASHBOARDS", "GRAFANA", "generated", "stale"]

GRAFANA = Path(__file__).resolve().parent.parent

DASHBOARDS: dict[str, Callable[[Words], Board]] = {
    "1-overview": overview,
    "2-building": building,
    "3-ac-compliance": ac_compliance,
    "4-peak-hours": peak_hours,
    "5-data-quality": data_quality,
    "6-operations": operations,
}
"""File name to builder, in the order of the dashboards."""


def generated() -> dict[str, str]:
    """Path below `grafana/` to content. Raises TextError with every text that is missing or of no use."""
    catalogue = Catalogue.load(GRAFANA / "texts.yaml")
    files = provisioning(catalogue)
    encoder = JSONEncoder(indent=1, ensure_ascii=False, sort_keys=True)
    for language in LANGUAGES:
        for name, build in DASHBOARDS.items():
            board = build(catalogue.words(language))
            files[f"dashboards/{language}/{name}.json"] = encoder.encode(board.build()) + "\n"
    catalogue.check_complete()
    return files


def stale(files: dict[str, str]) -> list[Path]:
    """Files in the generated folders that no builder makes."""
    found = [*(GRAFANA / "dashboards").glob("*/*.json"), *(GRAFANA / "provisioning").glob("*/*.yaml")]
    return [path for path in found if path.relative_to(GRAFANA).as_posix() not in files]
