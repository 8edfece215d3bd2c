"""Native payloads of any shape, by the standard library's JSON: slower than `native_scan`, and the one that decides."""

from __future__ import annotations

import datetime as dt
import json
import math
from collections.abc import Iterator
from typing import Any, NamedTuple

from monitor.decoders.native_rules import BAD_TIME, MAX_NUMBER_CHARS, epoch_ms
from monitor.errors import DecodeError
from monitor.readings import MODE_NAMES, QUANTITY_BY_NAME, Quantity

__all__ = ["Found", "MalformedError", "Misplaced", "read", "shown"]

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MILLISECOND = dt.timedelta(milliseconds=1)
_MODE_BY_NAME = {name: float(number) for number, name in enumerate(MODE_NAMES)}
_NAN = math.nan
_NOT_GIVEN = object()
_NO_READINGS = frozenset({"ts", "device", "readings"})


class MalformedError(DecodeError):
    """No reading can be taken from this payload; `detail` says why, without the reason before it."""

    def __init__(self, detail: str) -> None:
        super().__init__("malformed", detail)
        self.detail = detail


class Found(NamedTuple):
    """One reading as it stands in the payload, not yet judged."""

    device: Any
    """The id that the payload gives (whatever its type), or None for the topic's."""
    key: str
    quantity: Quantity | None
    """None for a key that is no quantity."""
    ts_ms: int | None
    """BAD_TIME where it cannot be read, None where there is none."""
    value: float
    """NaN where it is none of this quantity."""
    raw: Any
    raw_ts: Any


class Misplaced(NamedTuple):
    """An element of `readings` that is no object."""

    position: int
    raw: Any


def shown(value: object) -> str:
    """A value of a payload for a message to people: short and printable, whatever it is."""
    if isinstance(value, str):
        return repr(value if len(value) <= 60 else value[:60] + "…")
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return "a list"
    return json.dumps(value)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]  # add returns None on purpose: it only notes the key
        raise MalformedError(f"the key {shown(twice)} stands twice in one object")
    return found


def _integer(digits: str) -> int:
    if len(digits) > MAX_NUMBER_CHARS:
        raise MalformedError(f"a number of {len(digits)} characters, expected at most {MAX_NUMBER_CHARS}")
    return int(digits)


def _real(digits: str) -> float:
    if len(digits) > MAX_NUMBER_CHARS:
        raise MalformedError(f"a number of {len(digits)} characters, expected at most {MAX_NUMBER_CHARS}")
    return float(digits)


def _constant(name: str) -> float:
    raise MalformedError(f"{name} is no JSON")


_DECODER = json.JSONDecoder(object_pairs_hook=_unique, parse_int=_integer, parse_float=_real, parse_constant=_constant)


def _parse(payload: bytes) -> dict[str, Any]:
    if not payload:
        raise MalformedError("the payload is empty")
    try:
        document = _DECODER.decode(payload.decode())
    except UnicodeDecodeError as error:
        raise MalformedError(f"byte {error.start} is no UTF-8") from None
    except RecursionError:
        raise MalformedError("nested too deeply") from None
    except json.JSONDecodeError as error:
        raise MalformedError(f"no JSON at character {error.pos}: {error.msg}") from None
    if not isinstance(document, dict):
        raise MalformedError(f"expected an object, found {shown(document)}")
    return document


def _time_ms(raw: Any) -> int:
    if isinstance(raw, str):
        try:
            moment = dt.datetime.fromisoformat(raw)
        except ValueError:
            return BAD_TIME
        return BAD_TIME if moment.tzinfo is None else (moment - _EPOCH) // _MILLISECOND
    if isinstance(raw, int | float) and not isinstance(raw, bool):
        return epoch_ms(float(raw))
    return BAD_TIME


def _value(quantity: Quantity, raw: Any) -> float:
    if isinstance(raw, bool):
        return float(raw) if quantity is Quantity.ON else _NAN
    if isinstance(raw, int | float):
        return float(raw)
    if quantity is Quantity.MODE and isinstance(raw, str):
        return _MODE_BY_NAME.get(raw.lower(), _NAN)
    return _NAN


def _set(body: dict[str, Any], device: Any, ts: Any) -> Iterator[Found]:
    """The readings of one set; `device` and `ts` are what stands around it."""
    device = body.get("device", device)
    ts = body.get("ts", ts)
    ts_ms = None if ts is _NOT_GIVEN else _time_ms(ts)
    for key, raw in body.items():
        if key in _NO_READINGS:
            continue
        quantity = QUANTITY_BY_NAME.get(key)
        value = _NAN if quantity is None else _value(quantity, raw)
        yield Found(device, key, quantity, ts_ms, value, raw, None if ts is _NOT_GIVEN else ts)


def read(payload: bytes) -> Iterator[Found | Misplaced]:
    """Every reading of a payload, in its order. `device` and `ts` beside `readings` hold for each of its sets that
    has none of its own.

    Raises MalformedError for what is no such payload; it may do so before the first reading only.
    """
    document = _parse(payload)
    many = document.get("readings", [])
    if not isinstance(many, list):
        raise MalformedError(f"readings: expected a list, found {shown(many)}")
    return _readings(document, many)


def _readings(document: dict[str, Any], many: list[Any]) -> Iterator[Found | Misplaced]:
    yield from _set(document, None, _NOT_GIVEN)
    device = document.get("device")
    ts = document.get("ts", _NOT_GIVEN)
    for position, body in enumerate(many):
        if isinstance(body, dict):
            yield from _set(body, device, ts)
        else:
            yield Misplaced(position, body)
