"""JSON from templates: of gateways that let the installer write the payload, and of firmware that prints it.

Real ones have a comma after the last member, `//` comments, or quotes that a word processor made typographic. What is
strict JSON takes the fast way; nothing is guessed of a payload that was cut off.
"""

from __future__ import annotations

import re
from typing import Any

from monitor.decoders.payloads import read_json
from monitor.decoders.values import UnreadableError

__all__ = ["lenient_json"]

_STRING_OR_COMMENT = re.compile(r'"(?:[^"\\]+|\\.?)*+"?|//[^\n]*', re.DOTALL)
_STRING_OR_LAST_COMMA = re.compile(r'"(?:[^"\\]+|\\.?)*+"?|,(?=\s*+[}\]])', re.DOTALL)
"""Strings are matched so that what is inside them stays; possessive, so that no payload takes more than its length."""
_TYPOGRAPHIC = str.maketrans({"“": '"', "”": '"', "„": '"', "\u00a0": " "})


def lenient_json(payload: bytes) -> Any:
    """The payload's plain values. Raises UnreadableError with what a strict reader found wrong."""
    try:
        return read_json(payload)
    except UnreadableError as error:
        try:
            text = payload.decode("utf-8-sig")
        except UnicodeDecodeError:  # with marks in place of what is wrong, two ids could become one
            raise error from None
        if '"' not in text:
            text = text.translate(_TYPOGRAPHIC)
        text = _STRING_OR_COMMENT.sub(_strings_only, text)
        text = _STRING_OR_LAST_COMMA.sub(_strings_only, text)
        try:
            return read_json(text.encode())
        except UnreadableError:
            raise error from None


def _strings_only(match: re.Match[str]) -> str:
    return match[0] if match[0].startswith('"') else " "
