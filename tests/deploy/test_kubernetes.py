"""The manifests: valid by Kubernetes' own schemas, whole, and as strict as they say."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from monitor import cli
from tests.deploy.kustomize import render

FOLDER = Path(__file__).parents[2] / "deploy" / "kubernetes"
VERSIONS = ["1.28", "1.37"]
"""The oldest that anybody should run, and the newest that the schemas know."""
_HASH = re.compile(r"(meter-monitor-(?:config|policies|secrets))-[a-z0-9]{10}\b")


@pytest.fixture
def overlay(tmp_path: Path) -> Path:
    """The example, with secrets, which git does not take."""
    shutil.copytree(FOLDER, tmp_path / "kubernetes", ignore=shutil.ignore_patterns("secrets"))
    folder = tmp_path / "kubernetes" / "example"
    (folder / "secrets").mkdir()
    for name in ("broker-password", "influx-token", "ca.crt"):
        (folder / "secrets" / name).write_text("made up\n")
    return folder


def one(documents: list[dict[str, Any]], kind: str) -> dict[str, Any]:
    (found,) = [document for document in documents if document["kind"] == kind]
    return found


@pytest.mark.parametrize("version", VERSIONS)
def test_each_manifest_is_valid(overlay: Path, version: str) -> None:
    documents = render(overlay)
    assert len(documents) == 9
    for document in documents:
        kubernetes_validate.validate(document, version, strict=True)


def test_rendered_as_kubectl_does(overlay: Path) -> None:
    """Where it is installed. Names of generated objects bear a hash there."""
    if shutil.which("kubectl") is None:
        pytest.skip("no kubectl; the helper's own rendering is checked by the other tests")
    text = subprocess.run(["kubectl", "kustomize", str(overlay)], check=True, capture_output=True, text=True).stdout

    def key(document: dict[str, Any]) -> tuple[str, str]:
        return document["kind"], document["metadata"]["name"]

    theirs = sorted(yaml.safe_load_all(_HASH.sub(r"\1", text)), key=key)
    assert theirs == sorted(render(overlay), key=key)


def test_all_that_is_mounted_is_there(overlay: Path) -> None:
    documents = render(overlay)
    pod = one(documents, "StatefulSet")["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    made = {
        document["metadata"]["name"]: document["data"]
        for document in documents
        if document["kind"] in ("ConfigMap", "Secret")
    }
    mounts = {mount["mountPath"]: mount for mount in container["volumeMounts"]}
    for path, mount in mounts.items():
        volume = volumes.get(mount["name"])
        if volume is None:
            assert mount["name"] == "state"
            continue
        name = volume["configMap"]["name"] if "configMap" in volume else volume["secret"]["secretName"]
        assert mount["readOnly"] is True
        assert "subPath" not in mount or (path.endswith(mount["subPath"]) and mount["subPath"] in made[name])
    settings = yaml.safe_load(made["meter-monitor-config"]["monitor.yaml"])
    assert settings["state_dir"].startswith("/var/lib/meter-monitor/")
    secrets = [settings["brokers"][0]["password_file"], settings["brokers"][0]["ca_file"]]
    for file in (*secrets, settings["influx"]["token_file"]):
        folder, _, name = file.rpartition("/")
        assert name in made[volumes[mounts[folder]["name"]]["secret"]["secretName"]]
    (port,) = container["ports"]
    assert port["containerPort"] == settings.get("metrics", {}).get("port", 9464)


def test_the_configuration_is_good(overlay: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With the secrets where the pod would have them."""
    config = overlay / "config"
    text = (config / "monitor.yaml").read_text()
    (config / "monitor.yaml").write_text(text.replace("/run/meter-monitor", str(overlay / "secrets")))
    assert cli.main(["check", "--config", str(config)]) == 0, capsys.readouterr().err
    policies = {path.name for path in (config / "policies").iterdir()}
    kustomization = yaml.safe_load((overlay / "kustomization.yaml").read_text())
    named = [file for generator in kustomization["configMapGenerator"] for file in generator["files"]]
    assert {Path(file).name for file in named} == policies | {"monitor.yaml", "buildings.csv", "devices.csv"}


def test_the_pod_may_as_little_as_the_strictest_profile_allows(overlay: Path) -> None:
    documents = render(overlay)
    assert one(documents, "Namespace")["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    stateful_set = one(documents, "StatefulSet")["spec"]
    pod = stateful_set["template"]["spec"]
    (container,) = pod["containers"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert set(container["resources"]["limits"]) >= {"cpu", "memory"}
    assert {"startupProbe", "livenessProbe", "readinessProbe"} <= set(container)
    assert stateful_set["replicas"] == 1
    assert stateful_set["podManagementPolicy"] == "Parallel", "a pod that never gets ready can be replaced"
    (claim,) = stateful_set["volumeClaimTemplates"]
    assert claim["spec"]["accessModes"] == ["ReadWriteOnce"]


def test_each_selector_finds_the_pod(overlay: Path) -> None:
    documents = render(overlay)
    labels = one(documents, "StatefulSet")["spec"]["template"]["metadata"]["labels"]
    selectors = [
        one(documents, "StatefulSet")["spec"]["selector"]["matchLabels"],
        one(documents, "Service")["spec"]["selector"],
        one(documents, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
        one(documents, "NetworkPolicy")["spec"]["podSelector"]["matchLabels"],
    ]
    assert [selector for selector in selectors if not selector.items() <= labels.items()] == []
    monitor = yaml.safe_load((FOLDER / "service-monitor" / "service-monitor.yaml").read_text())
    service = one(documents, "Service")
    assert monitor["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    assert monitor["spec"]["endpoints"][0]["port"] == service["spec"]["ports"][0]["name"]
    assert service["metadata"]["labels"][monitor["spec"]["jobLabel"]] == "meter-monitor", "the alerting rules' job"
