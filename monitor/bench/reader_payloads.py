"""What readers of meters' own interfaces send, made up: P1, HAN, TIC, optical heads, M-Bus."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from zoneinfo import ZoneInfo

from monitor.bench.turns import Turn, as_json, utc_text

__all__ = ["ams_han", "dsmr_p1", "obis_json", "teleinfo", "vzlogger", "vzlogger_before", "wmbusmeters"]


def wmbusmeters(turn: Turn) -> tuple[str, bytes]:
    number = f"{10_000_000 + turn.device:08}"
    document = {
        "_": "telegram",
        "media": "electricity",
        "meter": "amiplus",
        "name": f"Floor {turn.device}",
        "id": number,
        "total_energy_consumption_kwh": turn.kwh,
        "current_power_consumption_kw": turn.watt / 1000,
        "total_energy_production_kwh": 0,
        "current_power_production_kw": 0,
        "voltage_at_phase_1_v": 229,
        "voltage_at_phase_2_v": 230,
        "voltage_at_phase_3_v": 231,
        "max_power_consumption_kw": 7.4,
        "device_datetime": turn.local.strftime("%Y-%m-%d %H:%M"),
        "timestamp": utc_text(turn.utc),
    }
    return f"wmbusmeters/{number}", as_json(document)


def obis_json(turn: Turn) -> tuple[str, bytes]:
    number = str(90_000_000 + turn.device)
    seconds = turn.ms // 1000
    values = {
        "1-0:1.8.0": round(turn.kwh * 1000),
        "1-0:1.7.0": round(turn.watt),
        "1-0:2.8.0": 0,
        "1-0:2.7.0": 0,
        "1-0:3.8.0": 2011,
        "1-0:4.8.0": 77_120,
        "1-0:16.7.0": round(turn.watt),
    }
    document = {
        "0-0:96.1.0": {"value": number},
        **{code: {"value": value, "time": seconds} for code, value in values.items()},
        "api_version": "v1",
        "name": number,
        "sma_time": turn.round * 60.0,
    }
    return f"meters/{number}", as_json(document)


def dsmr_p1(turn: Turn) -> tuple[str, bytes]:
    """One telegram, as a reader of serial lines hands it on whole."""
    local = dt.datetime.fromtimestamp(turn.ms / 1000, ZoneInfo("Europe/Amsterdam"))
    serial = f"E{turn.device:012}".encode().hex().upper()
    kw = turn.watt / 1000
    lines = [
        *("/XMX5LGF0000000000001", "", "1-3:0.2.8(50)"),
        f"0-0:1.0.0({local:%y%m%d%H%M%S}{'S' if local.dst() else 'W'})",
        f"0-0:96.1.1({serial})",
        f"1-0:1.8.1({turn.kwh:010.3f}*kWh)",
        f"1-0:1.8.2({turn.kwh * 1.4:010.3f}*kWh)",
        "1-0:2.8.1(000000.000*kWh)",
        "1-0:2.8.2(000000.000*kWh)",
        "0-0:96.14.0(0002)",
        f"1-0:1.7.0({kw:06.3f}*kW)",
        "1-0:2.7.0(00.000*kW)",
        *("0-0:96.7.21(00006)", "0-0:96.7.9(00003)", "1-0:99.97.0(0)(0-0:96.7.19)"),
        *("1-0:32.32.0(00001)", "1-0:52.32.0(00001)", "1-0:72.32.0(00001)", "1-0:32.36.0(00000)"),
        *("1-0:52.36.0(00000)", "1-0:72.36.0(00000)", "0-0:96.13.0()"),
        *("1-0:32.7.0(0229.0*V)", "1-0:52.7.0(0230.0*V)", "1-0:72.7.0(0231.0*V)"),
        *("1-0:31.7.0(002*A)", "1-0:51.7.0(001*A)", "1-0:71.7.0(003*A)"),
        *(f"1-0:21.7.0({kw / 3:06.3f}*kW)", f"1-0:41.7.0({kw / 3:06.3f}*kW)", f"1-0:61.7.0({kw / 3:06.3f}*kW)"),
        *("1-0:22.7.0(00.000*kW)", "1-0:42.7.0(00.000*kW)", "1-0:62.7.0(00.000*kW)"),
        *("0-1:24.1.0(003)", f"0-1:96.1.0({serial[::-1]})"),
        f"0-1:24.2.1({local:%y%m%d%H}0000{'S' if local.dst() else 'W'})({turn.kwh / 10:09.3f}*m3)",
    ]
    telegram = ("\r\n".join(lines) + "\r\n!").encode()
    crc = 0
    for byte in telegram:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ 0xA001 if crc & 1 else crc >> 1
    return f"p1/house-{turn.device}/telegram", telegram + b"%04X\r\n" % crc


def ams_han(turn: Turn) -> tuple[str, bytes]:
    document = {
        "id": turn.hexadecimal(12),
        "name": f"ams-{turn.device}",
        "up": 1000 + turn.round * 60,
        "t": turn.ms // 1000,
        "vcc": 3.311,
        "rssi": -63,
        "temp": -127.0,
        "data": {
            "lv": "0000000000001",
            "meterId": f"57065672{turn.device:08}",
            "type": "MA304",
            "P": round(turn.watt),
            "Q": 0,
            "PO": 0,
            "QO": 112,
            "I1": 3.4,
            "I2": 4.4,
            "I3": 2.1,
            "U1": 229.0,
            "U2": 230.0,
            "U3": 231.0,
            "tPI": turn.kwh,
            "tPO": 0.0,
            "tQI": 1.2,
            "tQO": 551.3,
            "rtc": turn.ms // 1000,
        },
        "realtime": {"h": 0.8, "d": 11.4, "t": 12, "x": 5.1, "he": 0.0, "de": 0.0},
    }
    return f"ams/{turn.device}", as_json(document)


def teleinfo(turn: Turn) -> tuple[str, bytes]:
    number = f"0212{turn.device:08}"
    texts = {"OPTARIF": "HC..", "ISOUSC": "45", "PTEC": "HP..", "HHPHC": "A", "MOTDETAT": "000000"}
    numbers = {"HCHC": round(turn.kwh * 400), "HCHP": round(turn.kwh * 600), "IINST": 7, "IMAX": 90}
    document = {
        "ADCO": {"raw": number, "value": int(number)},
        **{label: {"raw": text, "value": text.rstrip(".")} for label, text in texts.items()},
        **{label: {"raw": f"{value:09}", "value": value} for label, value in numbers.items()},
        "PAPP": {"raw": f"{round(turn.watt):05}", "value": round(turn.watt)},
    }
    return f"teleinfo/{number}", as_json(document)


def vzlogger(turn: Turn) -> tuple[str, bytes]:
    return f"vzlogger/data/chn{turn.device}/raw", f"{turn.kwh * 1000:f}".encode()


def vzlogger_before(device: int) -> Iterator[tuple[str, bytes]]:
    yield f"vzlogger/data/chn{device}/uuid", f"6836dd20-00d5-11e0-bab1-{device:012x}".encode()
    yield f"vzlogger/data/chn{device}/id", b"1-0:1.8.0*255"
