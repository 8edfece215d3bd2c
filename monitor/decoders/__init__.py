"""From payloads to columns: one file per format, and the table that names them."""

from __future__ import annotations

from collections.abc import Callable

from monitor.decoders.decoded import DETAIL_CHARS, OUTCOMES, WHOLE_MESSAGE, Decoded, Decoder, Limits, Reject, decode_all
from monitor.decoders.native import NativeDecoder
from monitor.registry import Registry

__all__ = [
    "DECODERS",
    "DETAIL_CHARS",
    "OUTCOMES",
    "WHOLE_MESSAGE",
    "Decoded",
    "Decoder",
    "Limits",
    "Reject",
    "decode_all",
]

DECODERS: dict[str, Callable[[Registry, Limits], Decoder]] = {
    "native": NativeDecoder,
}
"""Name of a format in the configuration → what makes its decoder for a registry."""
