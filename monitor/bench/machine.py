"""On what it was measured."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from pathlib import Path

from monitor import __version__

__all__ = ["machine_facts"]

_LIBRARIES = ("aiomqtt", "numba", "numpy", "paho-mqtt", "pyarrow", "uvloop")


def machine_facts() -> dict[str, str | int | dict[str, str]]:
    """JSON: cores that this process may use, processor, system, Python, versions."""
    return {
        "meter_monitor": __version__,
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        "processor": _processor(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "libraries": {name: importlib.metadata.version(name) for name in _LIBRARIES},
    }


def _processor() -> str:
    path = Path("/proc/cpuinfo")
    for line in path.read_text("utf-8", "replace").splitlines() if path.exists() else ():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.processor() or "unknown"
