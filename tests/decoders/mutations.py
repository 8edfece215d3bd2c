"""Messages that are nearly right: a format's fixtures, and what noise, mistakes and malice make of them."""

from __future__ import annotations

import ast
import base64
import functools
import importlib
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import cbor2
from msgspec.structs import replace

from monitor.decoders.formats import FORMATS
from monitor.decoders.options import Options
from monitor.ingest.message import Message
from tests.decoders import protobuf_wire
from tests.decoders.test_fixtures import FIXTURES, OWN_LAYOUT, messages_of, options_of
from tests.decoders.topics import ODD_TOPICS, TOPICS

__all__ = ["RECEIVED_MS", "Sequence", "fixtures", "mutated", "options_for", "vocabulary"]

RECEIVED_MS = 1_782_638_100_000
"""2026-06-28T09:15:00Z."""

_ODD_VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 5, 0.5, -0.0, 1e308, -1e308, 5e-324, float("nan"), float("inf"), float("-inf")),
    *(10**30, -(10**30), 2**63, 2**64, 10**400, 65535, -127, 327.67, 1e15, 1_782_638_100, 1_782_638_100_000, 4e18),
    *("", " ", "NaN", "inf", "5", "-5", "1e999", "on", "OFF", "cool", "\ud800", "\x00", "x" * 1000, "9" * 500, "null"),
    *(
        "2026-06-28T09:15:00",
        "2026-06-28T09:15:00Z",
        "9999-12-31T23:59:59",
        "0001-01-01T00:00:00",
        "2026-10-25T02:30:00",
    ),
    *([], {}, [None], [[]], [1, 2, 3], {"": 1}, {"value": 1}, [{}], {"a": {"b": {"c": []}}}, "kWh", "furlong", "°C"),
)
_ODD_NUMBERS = (
    "0",
    "-1",
    "1e308",
    "NaN",
    "Infinity",
    "9" * 40,
    "9" * 400,
    "1.2.3",
    "",
    "-",
    "65535",
    "0x1F",
    "1_0",
    "５",
)
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
_CRC_AT_END = re.compile(rb"![0-9A-Fa-f]{4}\r?\n?$")


class Sequence(NamedTuple):
    """Messages of one source, in their order."""

    options: Options
    messages: tuple[Message, ...]


@functools.cache
def fixtures(name: str) -> tuple[Sequence, ...]:
    """The fixtures of a format; none for one that has none yet."""
    found = []
    for path in sorted((FIXTURES / name).glob("*/case.json")):
        if name in OWN_LAYOUT:
            continue
        case = json.loads(path.read_text("utf-8"))
        found.append(Sequence(options_of(case), tuple(messages_of(path.parent, case))))
    return tuple(found)


@functools.cache
def vocabulary(name: str) -> tuple[str, ...]:
    """The words that a format may look for: short strings of its module and of those that it uses."""
    package = FORMATS[name].make.__module__.rpartition(".")[0]
    words: set[str] = set()
    waiting = [FORMATS[name].make.__module__]
    seen: set[str] = set()
    while waiting:
        module = waiting.pop()
        if module in seen or not module.startswith(package + "."):
            continue
        seen.add(module)
        importlib.import_module(module)
        source = sys.modules[module].__file__ or ""
        for node in ast.walk(ast.parse(Path(source).read_text("utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and 0 < len(node.value) <= 40:
                words.add(node.value)
            elif isinstance(node, ast.ImportFrom) and node.module:
                waiting.append(node.module)
            elif isinstance(node, ast.ClassDef):  # members of a Struct
                words.update(
                    each.target.id
                    for each in node.body
                    if isinstance(each, ast.AnnAssign) and isinstance(each.target, ast.Name)
                )
    return tuple(sorted(words)) or ("value",)


def options_for(name: str, random: Random) -> Options:
    """Options of a fixture, or none but a zone."""
    known = fixtures(name)
    if known and random.random() < 0.7:
        return random.choice(known).options
    return Options(timezone=random.choice([None, ZoneInfo("Europe/Paris"), ZoneInfo("Asia/Ho_Chi_Minh")]))


def mutated(name: str, random: Random) -> Sequence:
    """A sequence of the format's fixtures, with its messages and their order changed here and there."""
    known = fixtures(name)
    options, messages = random.choice(known)
    if random.random() < 0.2:  # two cases by one source
        messages = (*messages, *random.choice(known).messages)
    rate = random.choice([0.1, 0.4, 1.0])
    changed: list[Message] = []
    for message in messages[:40]:
        changed.append(_message(name, message, random) if random.random() < rate else message)
        if random.random() < rate * 0.2:
            changed.append(random.choice(changed))
    if random.random() < 0.3:
        random.shuffle(changed)
    elif random.random() < 0.3 and len(changed) > 1:
        at = random.randrange(len(changed) - 1)
        changed[at], changed[at + 1] = changed[at + 1], changed[at]
    return Sequence(options if random.random() < 0.8 else options_for(name, random), tuple(changed))


def _message(name: str, message: Message, random: Random) -> Message:
    what = random.random()
    if what < 0.06:
        return replace(message, retain=not message.retain)
    if what < 0.12:
        return replace(
            message, received_ms=message.received_ms + random.choice([-86_400_000, -1, 1000, 3_600_000, 1 << 40])
        )
    if what < 0.2:
        topics = [message.topic + "/x", message.topic[:-1], *TOPICS.get(name, ()), *ODD_TOPICS]
        return replace(message, topic=random.choice(topics))
    return replace(message, payload=_payload(name, message.payload, random))


def _payload(name: str, payload: bytes, random: Random) -> bytes:
    change = random.choice([_flipped, _cut, _numbers, _structure, _structure, _structure, _structure])
    changed = payload
    for _ in range(random.choice([1, 1, 1, 2, 5])):
        changed = change(name, changed, random)
    if _CRC_AT_END.search(payload) and random.random() < 0.8:
        changed = _with_crc(changed)
    return changed


def _flipped(name: str, payload: bytes, random: Random) -> bytes:
    changed = bytearray(payload or b"\0")
    for _ in range(random.choice([1, 1, 2, 8])):
        at = random.randrange(len(changed) or 1)
        what = random.random()
        if what < 0.6 and changed:
            changed[at] = random.choice([changed[at] ^ 1 << random.randrange(8), random.randrange(256)])
        elif what < 0.8:
            changed[at:at] = random.choice([b"\0", b'"', b"\xff" * 4, b"[", b"{", b" ", payload[:40], b"\r\n"])
        else:
            del changed[at : at + random.choice([1, 2, 10])]
    return bytes(changed)


def _cut(name: str, payload: bytes, random: Random) -> bytes:
    at = random.randrange(len(payload) + 1)
    return random.choice([payload[:at], payload[at:], payload[:at] + payload, payload + payload[at:]])


def _numbers(name: str, payload: bytes, random: Random) -> bytes:
    text = payload.decode("latin-1")
    matches = list(_NUMBER.finditer(text))
    if not matches:
        return _flipped(name, payload, random)
    match = random.choice(matches)
    number = random.choice([*_ODD_NUMBERS, "-" + match[0], match[0] * 3, match[0] + "000", match[0].replace(".", "")])
    return (text[: match.start()] + number + text[match.end() :]).encode("utf-8" if "５" in number else "latin-1")


def _structure(name: str, payload: bytes, random: Random) -> bytes:
    """A payload that can be taken apart is changed inside; any other in its bytes."""
    if name == "sparkplug_b":
        for _ in range(random.choice([1, 1, 2, 4])):
            payload = protobuf_wire.changed(payload, random)
        return payload
    try:
        document = json.loads(payload)
        write: Callable[[Any], bytes] = _json
    except (ValueError, RecursionError):
        if name != "senml" or not payload or payload[0] < 0x80:
            return random.choice([_flipped, _cut, _numbers])(name, payload, random)
        try:
            document = cbor2.loads(payload)
        except Exception:  # noqa: BLE001  # whatever was made of it before
            return _flipped(name, payload, random)
        write = _cbor
    for _ in range(random.choice([1, 1, 2, 4])):
        document = _changed(name, document, random)
    return write(document)


def _json(document: Any) -> bytes:
    try:
        return json.dumps(document, ensure_ascii=True).encode()
    except (ValueError, RecursionError):
        return b"[]"


def _cbor(document: Any) -> bytes:
    try:
        return cbor2.dumps(document)
    except Exception:  # noqa: BLE001  # surrogates
        return b"\x80"


def _changed(name: str, document: Any, random: Random) -> Any:
    """A copy with one change at a random place."""
    if isinstance(document, dict) and document and random.random() < 0.85:
        key = random.choice(list(document))
        what = random.random()
        changed = dict(document)
        if what < 0.1:
            del changed[key]
        elif what < 0.2:
            value = changed.pop(key)
            changed[_key(name, key, random)] = value
        elif what < 0.27:
            changed[_key(name, key, random)] = random.choice([changed[key], *_ODD_VALUES])
        elif what < 0.32:
            other = random.choice(list(document))
            changed[key], changed[other] = changed[other], changed[key]
        else:
            changed[key] = _changed(name, changed[key], random)
        return changed
    if isinstance(document, list) and document and random.random() < 0.85:
        at = random.randrange(len(document))
        what = random.random()
        elements = list(document)
        if what < 0.15:
            del elements[at]
        elif what < 0.3:
            elements.insert(at, random.choice([elements[at], *_ODD_VALUES]))
        elif what < 0.4:
            random.shuffle(elements)
        else:
            elements[at] = _changed(name, elements[at], random)
        return elements
    return _odd(name, document, random)


def _key(name: str, key: object, random: Random) -> Any:
    if isinstance(key, int):  # CBOR
        return random.choice([key + 1, -key, str(key), random.choice(vocabulary(name)), 1.5, None])
    text = str(key)
    odd = (text.upper(), text + "_", text[:-1], "", "\ud800", "x" * 300, text + "_t1", "1", "__class__")
    return random.choice([random.choice(vocabulary(name)), *odd])


def _odd(name: str, value: Any, random: Random) -> Any:
    what = random.random()
    if what < 0.45:
        return random.choice(_ODD_VALUES)
    if what < 0.6:
        return random.choice(vocabulary(name))
    if what < 0.68:
        return random.choice([[value], {"value": value}, {random.choice(vocabulary(name)): value}, [value] * 3])
    if isinstance(value, bool) or value is None:
        return random.choice([str(value), int(bool(value))])
    if isinstance(value, int | float):
        return random.choice(
            [-value, value * 1000, value + 1, str(value), float(value) if abs(value) < 1e300 else 0, [value]]
        )
    if isinstance(value, str) and value:
        raw = _flipped(name, value.encode("utf-8", "replace"), random)
        return random.choice(
            [raw.decode("utf-8", "replace"), base64.b64encode(raw).decode(), value[:-1], value * 2, raw.hex()]
        )
    return random.choice(_ODD_VALUES)


def _with_crc(telegram: bytes) -> bytes:
    """CRC-16/ARC from `/` to `!`, as P1 has it, so that what is inside is looked at."""
    begin, end = telegram.find(b"/"), telegram.rfind(b"!")
    if begin < 0 or end < begin:
        return telegram
    crc = 0
    for byte in telegram[begin : end + 1]:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ 0xA001 if crc & 1 else crc >> 1
    return telegram[: end + 1] + b"%04X\r\n" % crc
