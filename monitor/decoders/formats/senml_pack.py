"""SenML packs to records, whatever they are written in: JSON, CBOR, and the JSON of drafts before the RFC, where the
base values stood around a list `e` and values were `sv` and `bv`.

The bytes say which: a list in CBOR begins with 0x80 or more, JSON never does. CBOR's tags are refused but for decimal
fractions: SenML has no other, and some of them cost more than their bytes.
"""

from __future__ import annotations

import math
from decimal import Decimal
from operator import attrgetter
from typing import Any, NoReturn

import cbor2
import msgspec
from msgspec import UNSET, UnsetType

from monitor.decoders.payloads import read_json, shown
from monitor.decoders.values import UnreadableError

__all__ = ["Record", "members", "records_of", "usual_members", "usual_records"]


class Record(msgspec.Struct):
    """One record as it stands in the pack: labels in JSON, any type. UNSET: it has none."""

    bn: Any = UNSET
    bt: Any = UNSET
    bu: Any = UNSET
    bv: Any = UNSET
    bs: Any = UNSET
    bver: Any = UNSET
    n: Any = UNSET
    u: Any = UNSET
    v: Any = UNSET
    vs: Any = UNSET
    vb: Any = UNSET
    s: Any = UNSET
    t: Any = UNSET


members = attrgetter(*Record.__struct_fields__)
"""A record's members, in their order."""


class _UsualRecord(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """A record of numbers, as most packs have it: decoded in half the time of one that may hold anything."""

    bn: str | UnsetType = UNSET
    bt: float | UnsetType = UNSET
    bu: str | UnsetType = UNSET
    n: str = ""
    u: str | UnsetType = UNSET
    v: float | UnsetType = UNSET
    t: float | UnsetType = UNSET


usual_members = attrgetter(*_UsualRecord.__struct_fields__)
"""A usual record's members, in their order."""

_LABELS: dict[Any, str] = {
    -1: "bver", -2: "bn", -3: "bt", -4: "bu", -5: "bv", -6: "bs", 0: "n", 1: "u", 2: "v", 3: "vs", 4: "vb", 5: "s",
    6: "t",
}  # fmt: skip
"""Label in CBOR → label in JSON (RFC 8428, table 4). Update time (7) and data (8) are no readings."""
_NAMES: dict[Any, str] = _LABELS | {name: name for name in Record.__struct_fields__}
"""Label, in CBOR or in JSON → label in JSON."""
_CBOR_FROM = 0x80
_SELF_DESCRIBED = b"\xd9\xd9\xf7"
_MAX_DEPTH = 8
_decode = msgspec.json.Decoder(list[Record]).decode
_decode_usual = msgspec.json.Decoder(list[_UsualRecord]).decode


def _no_tag(*_: object) -> NoReturn:
    raise ValueError("a tag that SenML does not have")


_NO_TAGS = dict.fromkeys(
    (0, 1, 2, 3, 5, 25, 28, 29, 30, 35, 36, 37, 100, 256, 258, 260, 261, 1004, 43000, 55799), _no_tag
)


def usual_records(payload: bytes) -> list[_UsualRecord] | None:
    """The records of a pack in JSON that has nothing but numbers; None: it is another, or none."""
    if payload[:1] != b"[":
        return None
    try:
        return _decode_usual(payload)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def records_of(payload: bytes) -> list[Record]:
    """The records of a pack. Raises UnreadableError for what is none, or asks to be understood as something else."""
    if not payload:
        raise UnreadableError("the payload is empty")
    if payload[0] >= _CBOR_FROM and not payload.startswith(b"\xef\xbb\xbf"):
        return _of_list(_read_cbor(payload))
    if b'_"' not in payload and b"\\" not in payload:  # no label that must be understood
        try:
            return _decode(payload)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            pass
    return _of_list(read_json(payload))


def _read_cbor(payload: bytes) -> Any:
    try:
        return cbor2.loads(payload.removeprefix(_SELF_DESCRIBED), max_depth=_MAX_DEPTH, semantic_decoders=_NO_TAGS)
    except (cbor2.CBORError, ValueError, TypeError, ArithmeticError, RecursionError, MemoryError) as error:
        raise UnreadableError(f"no CBOR: {shown(error)}") from None


def _of_list(raw: Any) -> list[Record]:
    if isinstance(raw, dict):
        raw = [raw] if not isinstance(raw.get("e"), list) else _of_draft(raw)
    if not isinstance(raw, list | tuple):
        raise UnreadableError(f"expected a list of records, found {shown(type(raw).__name__)}")
    return [_record(each) for each in raw]


def _of_draft(raw: dict[Any, Any]) -> list[Any]:
    base = {label: value for label, value in raw.items() if label != "e"}
    return [base, *(_of_draft_record(each) if isinstance(each, dict) else each for each in raw["e"])]


def _of_draft_record(raw: dict[Any, Any]) -> dict[Any, Any]:
    values = {"sv": "vs", "bv": "vb"}
    return {values.get(label, label) if isinstance(label, str) else label: value for label, value in raw.items()}


def _record(raw: Any) -> Record:
    if not isinstance(raw, dict):  # refused alone, where its name is looked at
        return Record(n={"no object": raw}, v=None)
    labels: dict[str, Any] = {}
    for label, value in raw.items():
        name = _NAMES.get(label)
        if name is not None:
            if type(value) is Decimal:
                value = float(value) if value.is_finite() else math.nan
            labels[name] = value
        elif isinstance(label, str) and label.endswith("_"):
            raise UnreadableError(f"label {shown(label)} must be understood and is not known", "unknown_label")
    return Record(**labels)
