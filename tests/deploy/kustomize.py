"""What `kubectl kustomize` makes of a folder, as far as ours go: Debian 12 has no kustomize.

Knows resources, namespace, images, and the two generators with files. Anything else in a kustomization is an error.
Generated names bear no hash here.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

__all__ = ["render"]

_KNOWN = {"apiVersion", "kind", "resources", "namespace", "images", "configMapGenerator", "secretGenerator"}
_CLUSTER_WIDE = {"Namespace"}


def render(folder: Path) -> list[dict[str, Any]]:
    kustomization = yaml.safe_load((folder / "kustomization.yaml").read_text())
    assert set(kustomization) <= _KNOWN, f"{folder}: teach this helper {set(kustomization) - _KNOWN}"
    documents = [document for name in kustomization.get("resources", []) for document in _resource(folder / name)]
    for generator in kustomization.get("configMapGenerator", []):
        documents.append(_generated("ConfigMap", generator["name"], data=_files(folder, generator, encode=False)))
    for generator in kustomization.get("secretGenerator", []):
        documents.append(
            _generated("Secret", generator["name"], type="Opaque", data=_files(folder, generator, encode=True))
        )
    for document in documents:
        if "namespace" in kustomization and document["kind"] not in _CLUSTER_WIDE:
            document["metadata"]["namespace"] = kustomization["namespace"]
    for image in kustomization.get("images", []):
        for container in _containers(documents):
            if container["image"] == image["name"]:
                container["image"] = f"{image['newName']}:{image['newTag']}"
    return documents


def _resource(path: Path) -> list[dict[str, Any]]:
    return render(path) if path.is_dir() else list(yaml.safe_load_all(path.read_text()))


def _generated(kind: str, name: str, **content: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": kind, "metadata": {"name": name}, **content}


def _files(folder: Path, generator: dict[str, Any], *, encode: bool) -> dict[str, str]:
    content = {Path(name).name: (folder / name).read_bytes() for name in generator["files"]}
    return {name: base64.b64encode(raw).decode() if encode else raw.decode() for name, raw in content.items()}


def _containers(documents: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for document in documents:
        template = document.get("spec", {}).get("template", {})
        yield from template.get("spec", {}).get("containers", [])
