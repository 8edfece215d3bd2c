"""Numbers that meters and gateways write where nothing was measured."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from monitor.readings import Quantity

__all__ = ["unmeasured"]

_SCALES = (1.0, 1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6)
_ALWAYS = [
    *(number * scale for number in (4294967295.0, 2147483647.0, -2147483648.0) for scale in _SCALES),
    *(-9999.0, -9.999),
]
"""All bits of 32 set, the ends of a signed integer, and what loggers write, in units of ours and in thousandths."""
_OF_POWER = [number * scale for number in (65535.0, -32768.0) for scale in _SCALES]
"""A counter of 65535 is one on its way."""
_NUMBERS = np.array(sorted(_ALWAYS + _OF_POWER))
_IS_ALWAYS = np.isin(_NUMBERS, _ALWAYS)
_BETWEEN = (_NUMBERS[1:] + _NUMBERS[:-1]) / 2
_LARGEST = 1e30
"""What is beyond it stands for nothing: the largest number of single precision, 3.4e38, in any unit."""


def unmeasured(quantity: NDArray[np.int64], value: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether a value [kWh, kW, m3] of each row stands for none.

    Temperatures are judged where they are found; of all else nothing stands for none. inf and nan are no numbers, and
    mistakes of their own."""
    is_power = quantity == Quantity.POWER_KW
    nearest = np.searchsorted(_BETWEEN, value)
    number, size = _NUMBERS[nearest], np.abs(value)
    is_known = (np.abs(value - number) <= 1e-12 * np.abs(number)) & (is_power | _IS_ALWAYS[nearest])
    is_none: NDArray[np.bool_] = is_known | ((size > _LARGEST) & (size < np.inf))
    is_none &= is_power | (quantity == Quantity.REGISTER)
    return is_none
