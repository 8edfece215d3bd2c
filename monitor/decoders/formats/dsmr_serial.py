"""P1 telegrams that a serial bridge of Tasmota hands on: `{"SerialReceived": "…"}`, whole, in pieces or line by line.

Tasmota cuts what it received where its buffer is full, or, with `SerialDelimiter 10`, at each line's end. Pieces are
put together again until the `!`.
"""

from __future__ import annotations

from monitor.decoders.state import SourceState

__all__ = ["SERIAL_NAME", "whole_telegram"]

SERIAL_NAME = "SerialReceived"
_LONGEST = 8192


def whole_telegram(state: SourceState, topic: str, piece: str) -> str | None:
    """The telegram that ends with this piece, None if it is not complete. State: the pieces so far, by topic."""
    memory = "serial/" + topic
    before = state.get(memory) or ""
    if piece.lstrip().startswith("/"):
        text = piece
    elif not before:
        return None
    else:
        text = before + ("" if "\n" in piece else "\n") + piece
    is_whole = "!" in text
    kept = "" if is_whole or len(text) > _LONGEST else text
    if kept != before:
        state.put(memory, kept or None)
    return text if is_whole else None
