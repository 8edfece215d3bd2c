"""What holds for every test, whichever way the tests are started."""

from __future__ import annotations

import pytest

from monitor.decoders import native_scan
from monitor.decoders.formats import crc16
from monitor.detect.warm_up import warm_up


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_setupnodes() -> None:
    """Compile the kernels once, before the workers of pytest-xdist start: each would compile them all."""
    warm_up(also=[native_scan.warm_up, crc16.warm_up])
