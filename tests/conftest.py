"""What holds for every test, whichever way the tests are started."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

_COMPILE = """
from monitor.decoders import native_scan
from monitor.decoders.formats import crc16
from monitor.detect.warm_up import warm_up
warm_up(also=[native_scan.warm_up, crc16.warm_up])
"""
_LOCK = "kernels_lock"
"""Of a worker's input: a file that is locked while kernels are compiled."""
_compiler = pytest.StashKey[subprocess.Popen[bytes]]()
_lock = pytest.StashKey[Path]()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_setupnodes(config: pytest.Config) -> None:
    """Compile the kernels once for all workers of pytest-xdist, each of which would compile them all."""
    handle, path = tempfile.mkstemp(prefix="kernels-")
    fcntl.flock(handle, fcntl.LOCK_EX)  # until the process that inherits it ends, however it does
    config.stash[_lock] = Path(path)
    config.stash[_compiler] = subprocess.Popen([sys.executable, "-c", _COMPILE], pass_fds=[handle])
    os.close(handle)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    node.workerinput[_LOCK] = str(node.config.stash[_lock])


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """First what need not wait."""
    items.sort(key=lambda item: item.get_closest_marker("own_kernels") is None)


def pytest_runtest_setup(item: pytest.Item) -> None:
    path = getattr(item.config, "workerinput", {}).get(_LOCK)
    if path and not item.get_closest_marker("own_kernels"):
        with Path(path).open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH)


def pytest_unconfigure(config: pytest.Config) -> None:
    if _compiler in config.stash:
        config.stash[_compiler].wait()
        config.stash[_lock].unlink()
