"""From payloads to columns: formats (one file each, and the table that names them), and who reads which message."""

from __future__ import annotations

from monitor.decoders.decoded import (
    DETAIL_CHARS,
    OUTCOMES,
    WHOLE_MESSAGE,
    Decoded,
    Decoder,
    Limits,
    Memory,
    Outgoing,
    Reject,
    UnmappedId,
    decode_all,
)

__all__ = [
    "DETAIL_CHARS",
    "OUTCOMES",
    "WHOLE_MESSAGE",
    "Decoded",
    "Decoder",
    "Limits",
    "Memory",
    "Outgoing",
    "Reject",
    "UnmappedId",
    "decode_all",
]
