"""What stands for no measurement is told from what is one."""

from __future__ import annotations

import numpy as np
import pytest

from monitor.decoders.unmeasured import unmeasured
from monitor.readings import Quantity


@pytest.mark.parametrize(
    ("quantity", "value", "is_nothing"),
    [
        (Quantity.POWER_KW, 65.535, True),  # 65535 W
        (Quantity.POWER_KW, 6.5535, True),
        (Quantity.POWER_KW, 65535.0, True),
        (Quantity.POWER_KW, -32.768, True),
        (Quantity.POWER_KW, -9.999, True),
        (Quantity.POWER_KW, 9.999, False),
        (Quantity.POWER_KW, 65.534, False),
        (Quantity.POWER_KW, 4294967.295, True),
        (Quantity.POWER_KW, 3.4028235e35, True),
        (Quantity.POWER_KW, -3.4028235e38, True),
        (Quantity.POWER_KW, 0.0, False),
        (Quantity.REGISTER, 4294967295.0, True),
        (Quantity.REGISTER, 4294967295 * 0.01, True),
        (Quantity.REGISTER, 4294967295 * 0.001, True),
        (Quantity.REGISTER, -9999.0, True),
        (Quantity.REGISTER, 65535.0, False),  # on its way to 65536
        (Quantity.REGISTER, 42949672.94, False),
        (Quantity.REGISTER, 3.4028235e38, True),
        (Quantity.REGISTER, np.inf, False),  # bad_value
        (Quantity.REGISTER, np.nan, False),
        (Quantity.ROOM_C, -9999.0, False),  # judged elsewhere
    ],
)
def test_numbers_that_stand_for_none(quantity: Quantity, value: float, is_nothing: bool) -> None:
    assert unmeasured(np.array([quantity]), np.array([value])).tolist() == [is_nothing]


def test_no_rows() -> None:
    assert unmeasured(np.empty(0, np.int64), np.empty(0)).tolist() == []
