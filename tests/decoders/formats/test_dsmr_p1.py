"""P1 telegrams against dsmr-parser, the checksum against its definition, and anything at all against the clock."""

from __future__ import annotations

import datetime as dt
import json
import random
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from dsmr_parser import telegram_specifications
from dsmr_parser.parsers import TelegramParser

from monitor.decoders.formats.crc16 import crc16, warm_up
from monitor.decoders.formats.dsmr_bridges import NAMES
from monitor.decoders.formats.dsmr_p1 import DsmrP1
from monitor.decoders.options import Options
from monitor.decoders.state import SourceState
from monitor.decoders.units import UNITS
from monitor.decoders.values import Found, UnreadableError
from monitor.ingest.message import Message

NUMBER = "4530303437303030303037363330383137"
GAS = "4730303339303031373835333034363139"


def naive_crc(data: bytes) -> int:
    crc = 0
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ 0xA001 if crc & 1 else crc >> 1
    return crc


def telegram(lines: list[str], header: str = "/XMX5LGBBFG1009394887", *, summed: bool = True) -> bytes:
    body = "\r\n".join([header, "", *lines, "!"]).encode()
    return body + (b"%04X" % naive_crc(body) if summed else b"") + b"\r\n"


def read(payload: bytes, timezone: str | None = None) -> Found:
    state = SourceState()
    found = Found(state)
    reader = DsmrP1(Options(timezone=None if timezone is None else ZoneInfo(timezone)), state)
    reader.read(Message("p1/hall", payload, False, 1_782_638_100_000, ""), found)
    found.end_message()
    return found


def test_checksum_is_its_definition() -> None:
    warm_up()
    rng = random.Random(1)
    assert crc16(b"123456789") == 0xBB3D  # the check value of CRC-16/ARC
    for length in (0, 1, 2, 3, 255, 256, 1000):
        data = rng.randbytes(length)
        assert crc16(data) == naive_crc(data)


def random_lines(rng: random.Random, version: str) -> list[str]:
    month = rng.choice([1, 2, 4, 5, 6, 7, 8, 9, 11, 12])  # without those in which the clock changes
    moment = dt.datetime(2026, month, rng.randint(1, 28), rng.randint(4, 23), rng.randint(0, 59))
    season = "S" if 4 <= month <= 9 else "W"
    lines = [f"1-3:0.2.8({version})", f"0-0:1.0.0({moment:%y%m%d%H%M%S}{season})", f"0-0:96.1.1({NUMBER})"]
    lines += [f"1-0:{flow}.8.{tariff}({rng.uniform(0, 99999):010.3f}*kWh)" for flow in (1, 2) for tariff in (1, 2)]
    lines += ["0-0:96.14.0(0002)", f"1-0:1.7.0({rng.uniform(0, 20):06.3f}*kW)", "1-0:2.7.0(00.000*kW)"]
    lines += ["0-0:96.7.21(00004)", "0-0:96.7.9(00002)", "1-0:99.97.0()", "1-0:32.32.0(00002)", "0-0:96.13.0()"]
    lines += ["1-0:32.7.0(0230.1*V)", "1-0:31.7.0(001*A)", "1-0:21.7.0(00.250*kW)", "1-0:22.7.0(00.000*kW)"]
    hour = f"{moment:%y%m%d%H}0000{season}"
    return [*lines, "0-1:24.1.0(003)", f"0-1:96.1.0({GAS})", f"0-1:24.2.1({hour})({rng.uniform(0, 9999):09.3f}*m3)"]


@pytest.mark.parametrize(("version", "specification"), [("50", "V5"), ("42", "V4")])
def test_as_dsmr_parser_reads_it(version: str, specification: str) -> None:
    rng = random.Random(2)
    parser = TelegramParser(getattr(telegram_specifications, specification))
    for _ in range(30):
        payload = telegram(random_lines(rng, version))
        theirs = parser.parse(payload.decode())
        ours = {(value.source_id, value.quantity): value for value in read(payload).values}
        used = float(theirs.ELECTRICITY_USED_TARIFF_1.value + theirs.ELECTRICITY_USED_TARIFF_2.value)
        fed = float(theirs.ELECTRICITY_DELIVERED_TARIFF_1.value + theirs.ELECTRICITY_DELIVERED_TARIFF_2.value)
        assert ours[NUMBER, "register"].value == pytest.approx(used)
        assert ours[NUMBER, "export_register"].value == pytest.approx(fed)
        assert ours[NUMBER, "power_kw"].value == pytest.approx(float(theirs.CURRENT_ELECTRICITY_USAGE.value))
        assert ours[NUMBER, "register"].ts_ms == theirs.P1_MESSAGE_TIMESTAMP.value.timestamp() * 1000
        gas = theirs.MBUS_DEVICES[0].MBUS_METER_READING if specification == "V5" else theirs.HOURLY_GAS_METER_READING
        assert ours[GAS, "gas_m3"].value == pytest.approx(float(gas.value))
        assert ours[GAS, "gas_m3"].ts_ms == gas.datetime.timestamp() * 1000


@pytest.mark.parametrize(
    ("timezone", "hour"), [(None, 9), ("Europe/Brussels", 9), ("Europe/Helsinki", 8), ("Europe/Lisbon", 10)]
)
def test_summer_is_that_of_the_zone(timezone: str | None, hour: int) -> None:
    lines = ["0-0:1.0.0(260628111458S)", "1-0:1.8.0(000001.000*kWh)"]
    moment = dt.datetime(2026, 6, 28, hour, 14, 58, tzinfo=dt.UTC)
    assert [value.ts_ms for value in read(telegram(lines), timezone).values] == [moment.timestamp() * 1000]


def test_any_changed_byte_is_noticed() -> None:
    rng = random.Random(3)
    payload = telegram(random_lines(rng, "50"))
    end = payload.index(b"!")
    for _ in range(200):
        at = rng.randrange(1, end)
        changed = bytes([(payload[at] + rng.randint(1, 127)) % 128])
        if changed in (b"!", b"/", b"\r", b"\n") or payload[at : at + 1] in b"\r\n":
            continue
        with pytest.raises(UnreadableError) as caught:
            read(payload[:at] + changed + payload[at + 1 :])
        assert caught.value.reason == "bad_crc"


def test_a_lost_tariff_is_no_lower_sum() -> None:
    lines = [f"0-0:96.1.1({NUMBER})", "1-0:1.8.1(000100.000*kWh)", "1-0:1.8.2(*kWh)"]
    assert read(telegram(lines)).values == []
    body = {"serial": "1", "electricity_delivered_1": 100.0, "electricity_delivered_2": None}
    assert read(json.dumps(body).encode()).values == []


def test_names_of_bridges_have_units_of_their_quantities() -> None:
    for name, meaning in NAMES.items():
        energy = meaning.quantity in ("register", "export_register")
        dimension = "energy" if energy else "power" if meaning.quantity == "power_kw" else "volume"
        assert UNITS[meaning.unit].dimension == dimension, name


def test_whatever_comes() -> None:
    rng = random.Random(4)
    good = telegram(random_lines(rng, "50"), summed=False)
    anything: list[Any] = [0, 1.5, "7", "x", None, True, [], {}, 10**400, float("nan"), "\ud800", [{"value": []}]]
    names = [*NAMES, "serial", "timestamp", "telegram", "gas_timestamp", "1-0:1.8.1", "0-0:96.1.1", "equipment_id"]
    state = SourceState()
    reader = DsmrP1(Options(timezone=ZoneInfo("Europe/Amsterdam")), state)
    for _ in range(2000):
        cut = bytearray(good)
        for _ in range(rng.randint(1, 8)):
            at = rng.randrange(len(cut))
            cut[at : at + rng.randint(0, 5)] = rng.randbytes(rng.randint(0, 5))
        body = rng.choice([{name: rng.choice(anything) for name in rng.sample(names, 5)}, *anything])
        payload = rng.choice([bytes(cut), json.dumps(body).encode(), rng.randbytes(50), b"/" * 500, b"/!" * 5000])
        topic = rng.choice(["p1", "a/electricity_delivered_1", "a/equipment_id", "", "/"])
        try:
            reader.read(Message(topic, payload, False, 1_782_638_100_000, ""), Found(state))
        except UnreadableError as error:
            assert error.reason
    state.changes()


def test_hostile_payloads_take_linear_time() -> None:
    for payload in (b"/" + b"\n(" * 100_000 + b"!", b"/" + b"0-1:24.1.0(\n" * 20_000 + b"!"):
        read(payload + b"\n")
    with pytest.raises(UnreadableError):
        read(b"/\n!" * 80_000)


def test_a_serial_bridge_may_begin_with_the_end_of_a_line() -> None:
    lines = [f"0-0:96.1.1({NUMBER})", "1-0:1.8.1(000005.000*kWh)"]
    text = "\r\n" + telegram(lines).decode()
    found = read(json.dumps({"SerialReceived": text}).encode())
    assert [(value.quantity, value.value) for value in found.values] == [("register", 5.0)]
