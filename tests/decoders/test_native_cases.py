"""Each folder of tests/fixtures/native is a case: topic, payload, what is expected; `retain` marks a retained message.

Both readers of the format are held to every case, alone and in the middle of a batch.
"""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import Any

import pytest

from monitor.decoders import DETAIL_CHARS, OUTCOMES, Decoded, Limits
from monitor.decoders.native import NativeDecoder
from monitor.ingest.message import Message
from monitor.readings import QUANTITY_NAMES
from monitor.registry import Registry
from tests.decoders.made import ARRIVAL_MS, DEVICES, message, registry

CASES = sorted(path for path in (Path(__file__).parents[1] / "fixtures" / "native").iterdir() if path.is_dir())


@pytest.fixture(scope="module")
def known() -> Registry:
    return registry()


def case_message(case: Path) -> Message:
    topic = (case / "topic").read_text(encoding="utf-8").rstrip("\n")
    return message((case / "payload").read_bytes(), topic, retain=(case / "retain").exists())


def iso(ts_ms: int) -> str:
    moment = dt.datetime.fromtimestamp(ts_ms / 1000, dt.UTC)
    return moment.isoformat(timespec="milliseconds" if ts_ms % 1000 else "seconds").replace("+00:00", "Z")


def readings(decoded: Decoded, message_index: int) -> list[list[Any]]:
    columns = decoded.columns.take(decoded.message_of_row == message_index)
    return [
        [DEVICES[device].id, QUANTITY_NAMES[quantity], iso(ts_ms), value]
        for device, quantity, ts_ms, value in zip(
            columns.device.tolist(),
            columns.quantity.tolist(),
            columns.ts_ms.tolist(),
            columns.value.tolist(),
            strict=True,
        )
    ]


@pytest.mark.parametrize("scanner", [True, False], ids=["scanner", "json"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_case(case: Path, scanner: bool, known: Registry) -> None:
    expected = json.loads((case / "expected.json").read_text(encoding="utf-8"))
    good = message('{"ts": 1782638100, "register": 77}')
    decoded = NativeDecoder(known, scanner=scanner).decode([good, case_message(case), good])

    assert readings(decoded, 1) == expected["readings"]
    assert decoded.ignored == expected["ignored"]
    assert [OUTCOMES[outcome] for outcome in decoded.outcome] == ["accepted", expected["outcome"], "accepted"]
    found = [(reject.reason, reject.detail) for reject in decoded.rejects]
    assert [reason for reason, _ in found] == [reason for reason, _ in expected["rejects"]], found
    for (_, detail), (_, fragment) in zip(found, expected["rejects"], strict=True):
        assert fragment in detail
    for reject in decoded.rejects:
        assert reject.received_ms == ARRIVAL_MS
        assert reject.payload == (case / "payload").read_bytes()
        assert len(reject.detail) <= DETAIL_CHARS
        assert reject.detail.isprintable()
    # What else is in the batch is not touched by it.
    for index in (0, 2):
        assert readings(decoded, index) == [["M-1", "register", "2026-06-28T09:15:00Z", 77.0]]


def test_nothing_gives_nothing(known: Registry) -> None:
    decoded = NativeDecoder(known).decode([])
    assert len(decoded.columns) == 0
    assert len(decoded.outcome) == 0
    assert not decoded.rejects


def test_a_long_payload_is_not_looked_at(known: Registry) -> None:
    payload = b'{"register": 5}'.ljust(101)
    decoder = NativeDecoder(known, Limits(max_payload_bytes=100))
    decoded = decoder.decode([message(payload), message(payload[:100])])
    assert [reject.reason for reject in decoded.rejects] == ["payload_too_large"]
    assert decoded.message_of_row.tolist() == [1]


def test_a_replay_has_no_greatest_age(known: Registry) -> None:
    old = message('{"ts": "2000-01-01T00:00:00Z", "register": 1}')
    before = message('{"ts": "1999-12-31T23:59:59.999Z", "register": 1}')
    decoded = NativeDecoder(known, Limits(max_age_d=None)).decode([old, before])
    assert decoded.columns.ts_ms.tolist() == [946_684_800_000]
    assert [reject.reason for reject in decoded.rejects] == ["bad_time"]


def test_one_message_cannot_flood_the_quarantine(known: Registry) -> None:
    count = 5_000
    keys = ", ".join(f'"k{number}": 1' for number in range(count))
    decoded = NativeDecoder(known).decode([message("{" + keys + ', "register": 1}')])
    assert len(decoded.columns) == 1
    assert len(decoded.rejects) == 100
    assert sum(reject.readings for reject in decoded.rejects) == count
    assert decoded.rejects[-1].detail.endswith("(and 4900 more)")
    assert OUTCOMES[decoded.outcome[0]] == "partial"


def test_a_registry_without_devices_rejects_everything() -> None:
    decoded = NativeDecoder(registry(())).decode([message('{"register": 1}'), message('{"x": 1}')])
    assert [reject.reason for reject in decoded.rejects] == ["unknown_device", "unknown_device"]


@pytest.mark.parametrize("scanner", [True, False], ids=["scanner", "json"])
@pytest.mark.parametrize(
    ("device", "ts", "reason", "hint"),
    [
        ("M-1", "2026-06-28T16:16:40Z", "bad_time", "7 h after its arrival; check the clock and the timezone"),
        ("M-1", "2024-06-28T09:16:40Z", "bad_time", "730 d before its arrival; check the clock and the timezone"),
        ("M-1", "2026-06-28T09:15:00", "bad_time", "expected ISO 8601 with Z or an offset, or epoch s or ms"),
        ("M-9", "2026-06-28T09:15:00Z", "foreign_device", "it is registered to the gateway 'gw-2'"),
    ],
)
def test_a_rejection_says_what_to_look_at(
    device: str, ts: str, reason: str, hint: str, scanner: bool, known: Registry
) -> None:
    sent = message(json.dumps({"ts": ts, "register": 1}), f"meters/gw-1/{device}")
    (reject,) = NativeDecoder(known, scanner=scanner).decode([sent]).rejects
    assert (reject.reason, reject.detail.partition(": ")[2].partition(": ")[2]) == (reason, hint)
