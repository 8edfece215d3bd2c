"""What gateways send, for the bench: messages of many devices in each format, with the size and shape of real ones.

Every device is another one, every round another minute with other values, so that no reader is flattered by what it
has seen already. All of it is made up.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from typing import Any

from monitor.bench.lorawan_payloads import chirpstack_v3, chirpstack_v4_frame, chirpstack_v4_object, milesight, tts_v3
from monitor.bench.reader_payloads import (
    ams_han,
    dsmr_p1,
    obis_json,
    teleinfo,
    vzlogger,
    vzlogger_before,
    wmbusmeters,
)
from monitor.bench.turns import ZONE, Shape, Turn, as_json, utc_text
from monitor.decoders.options import FieldRule, Options

__all__ = ["SHAPES"]


def _shelly_gen2(turn: Turn) -> tuple[str, bytes]:
    name = f"shellypro3em-{turn.hexadecimal(12)}"
    share = turn.watt / 3
    phases = {
        f"{phase}_{what}": value
        for phase in "abc"
        for what, value in (
            *(("current", 1.412), ("voltage", 229.8), ("act_power", round(share, 1))),
            *(("aprt_power", round(share * 1.05, 1)), ("pf", 0.95), ("freq", 50.0)),
        )
    }
    em: dict[str, Any] = {
        "id": 0,
        **phases,
        "n_current": None,
        "total_current": 4.236,
        "total_act_power": turn.watt,
        "total_aprt_power": round(turn.watt * 1.05, 1),
        "user_calibrated_phase": [],
    }
    data = {"id": 0, "total_act": round(turn.kwh * 1000, 2), "total_act_ret": 0.0}
    phased = {f"{phase}_total_act_energy": round(turn.kwh * 333, 2) for phase in "abc"}
    params = {"ts": turn.ms / 1000, "em:0": em, "emdata:0": {**data, **phased}}
    return f"{name}/events/rpc", as_json(
        {"src": name, "dst": f"{name}/events", "method": "NotifyStatus", "params": params}
    )


def _shelly_gen1(turn: Turn) -> tuple[str, bytes]:
    if turn.round % 2:
        return f"shellies/shellyem3-{turn.hexadecimal(12).upper()}/emeter/0/power", b"%.2f" % turn.watt
    return f"shellies/shellyem3-{turn.hexadecimal(12).upper()}/emeter/0/total", b"%.1f" % (turn.kwh * 1000)


def _tasmota(turn: Turn) -> tuple[str, bytes]:
    energy = {
        "TotalStartTime": "2025-01-14T08:11:02",
        "Total": turn.kwh,
        "Yesterday": 5.34,
        "Today": 0.954,
        "Period": 21,
        "Power": turn.watt,
        "ApparentPower": round(turn.watt * 1.04),
        "ReactivePower": 118,
        "Factor": 0.96,
        "Voltage": 229,
        "Current": 4.661,
    }
    return f"tele/floor-{turn.device}/SENSOR", as_json({"Time": f"{turn.local:%Y-%m-%dT%H:%M:%S}", "ENERGY": energy})


def _zigbee2mqtt(turn: Turn) -> tuple[str, bytes]:
    document = {
        "current": 4.66,
        "energy": round(turn.kwh, 2),
        "last_seen": utc_text(turn.utc, ".284"),
        "linkquality": 63,
        "power": turn.watt,
        "power_outage_memory": "restore",
        "state": "ON",
        "update": {"installed_version": 192, "latest_version": 192, "state": "idle"},
        "voltage": 229,
    }
    return f"zigbee2mqtt/Floor {turn.device}/Plug", as_json(document)


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _field(number: int, value: float | str | bytes) -> bytes:
    """One field of a protobuf message."""
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    if isinstance(value, float):
        return _varint(number << 3 | 1) + struct.pack("<d", value)
    raw = value.encode() if isinstance(value, str) else value
    return _varint(number << 3 | 2) + _varint(len(raw)) + raw


_SPARKPLUG_NAMES = (
    *("Meter/Energy Import", "Meter/Power Total", "Meter/Voltage L1", "Meter/Voltage L2", "Meter/Voltage L3"),
    *("Meter/Current L1", "Meter/Current L2", "Meter/Current L3", "Meter/Frequency", "Meter/Power Factor"),
)
_DOUBLE = 10


def _sparkplug(turn: Turn, *, names: bool) -> bytes:
    values = (turn.kwh, turn.watt, 229.8, 230.1, 231.0, 1.4, 1.5, 1.6, 50.0, 0.95)
    metrics = []
    for alias, (name, value) in enumerate(zip(_SPARKPLUG_NAMES, values, strict=True)):
        label = _field(1, name) if names else b""
        metrics.append(
            label + _field(2, alias + 1) + _field(3, turn.ms) + _field(4, _DOUBLE) + _field(13, float(value))
        )
    return _field(1, turn.ms) + b"".join(_field(2, metric) for metric in metrics)


def _sparkplug_b(turn: Turn) -> tuple[str, bytes]:
    # Births take 0 and 1; every device has its own edge node, which counts its messages.
    payload = _sparkplug(turn, names=False) + _field(3, (turn.round + 2) % 256)
    return f"spBv1.0/school/DDATA/edge {turn.device}/meter", payload


def _sparkplug_b_before(device: int) -> Iterator[tuple[str, bytes]]:
    turn = Turn(device, -1)
    sequence = _field(1, "bdSeq") + _field(3, turn.ms) + _field(4, 8) + _field(11, 0)
    yield f"spBv1.0/school/NBIRTH/edge {device}", _field(1, turn.ms) + _field(2, sequence) + _field(3, 0)
    yield f"spBv1.0/school/DBIRTH/edge {device}/meter", _sparkplug(turn, names=True) + _field(3, 1)


def _senml(turn: Turn) -> tuple[str, bytes]:
    records: list[dict[str, Any]] = [
        {"bn": f"urn:dev:mac:{turn.hexadecimal(16)}:", "bt": turn.ms / 1000, "n": "energy", "u": "kWh", "v": turn.kwh},
        {"n": "power", "u": "W", "v": turn.watt},
        {"n": "voltage", "u": "V", "v": 229.8},
        {"n": "current", "u": "A", "v": 4.6},
        {"n": "temperature", "u": "Cel", "v": turn.degrees},
    ]
    return f"senml/floor-{turn.device}", as_json(records)


def _line_protocol(turn: Turn) -> tuple[str, bytes]:
    ns = turn.ms * 1_000_000
    tags = f"device=floor-{turn.device},host=gw-1"
    lines = [
        f"meter,{tags} energy_kwh={turn.kwh},power_w={turn.watt},voltage_v=229.8,current_a=4.6,frequency_hz=50 {ns}",
        f"cpu,{tags} usage_idle=92.1,usage_user=4.4,usage_system=2.1 {ns}",
    ]
    return "telegraf/gw-1/modbus", "\n".join(lines).encode()


def _faikin(turn: Turn) -> tuple[str, bytes]:
    document = {
        "ts": utc_text(turn.utc),
        "id": turn.hexadecimal(12).upper(),
        "app": "Faikin",
        "version": "0a1b2c3d",
        "online": True,
        "power": True,
        "target": 24.0,
        "actarget": 24.0,
        "temp": turn.degrees,
        "hum": 61.0,
        "achome": 25.0,
        "outside": 33.0,
        "liquid": 14.0,
        "demand": 100,
        "energy": round(turn.kwh * 1000),
        "energyheat": 0,
        "energycool": round(turn.kwh * 900),
        "consumption": round(turn.watt),
        "fanfreq": 21.0,
        "comp": 31,
        "mode": "cool",
        "fan": "auto",
        "streamer": False,
        "quiet": False,
        "econo": False,
        "comfort": False,
        "powerful": False,
        "sensor": False,
        "swing": "off",
        "preset": "none",
        "autoe": False,
    }
    return f"state/ac-{turn.device}", as_json(document)


def _ha_climate(turn: Turn) -> tuple[str, bytes]:
    room = f"school/room-{turn.device}/ac"
    if turn.round % 2:
        return f"{room}/mode/state", (b"cool", b"fan_only")[turn.round // 2 % 2]
    return f"{room}/current_temperature/state", b"%.1f" % turn.degrees


def _esphome(turn: Turn) -> tuple[str, bytes]:
    return f"meter-{turn.device}/sensor/total_energy/state", b"%.3f" % turn.kwh


def _homie(turn: Turn) -> tuple[str, bytes]:
    return f"homie/meter-{turn.device}/electricity/energy", b"%.3f" % turn.kwh


def _homie_before(device: int) -> Iterator[tuple[str, bytes]]:
    base = f"homie/meter-{device}"
    for attribute, text in (("$homie", "4.0.0"), ("$state", "ready"), ("$nodes", "electricity")):
        yield f"{base}/{attribute}", text.encode()
    for attribute, text in (("$datatype", "float"), ("$unit", "kWh"), ("$name", "Energy")):
        yield f"{base}/electricity/energy/{attribute}", text.encode()


def _wirenboard(turn: Turn) -> tuple[str, bytes]:
    return f"/devices/wb-map3e_{turn.device}/controls/Total AP energy", b"%.3f" % turn.kwh


def _wirenboard_before(device: int) -> Iterator[tuple[str, bytes]]:
    meta = {"order": 3, "readonly": True, "type": "value", "units": "kWh"}
    yield f"/devices/wb-map3e_{device}/controls/Total AP energy/meta", as_json(meta)


def _thingsboard(turn: Turn) -> tuple[str, bytes]:
    def of(number: int) -> dict[str, Any]:
        values = {"energy_kwh": turn.kwh + number, "power_w": turn.watt, "voltage": 229.8, "current": 4.6}
        return {"ts": turn.ms, "values": values}

    return "v1/gateway/telemetry", as_json({f"Meter {turn.device}-{number}": [of(number)] for number in range(4)})


def _neuron(turn: Turn) -> tuple[str, bytes]:
    document = {
        "timestamp": turn.ms,
        "node": f"modbus-{turn.device}",
        "group": "meters",
        "values": {"energy_kwh": turn.kwh, "power_w": turn.watt, "voltage": 229.8, "current": 4.6, "frequency": 50.0},
        "errors": {"pf": 2014},
        "metas": {},
    }
    return "/neuron/mqtt", as_json(document)


def _chinese_gateway(turn: Turn) -> tuple[str, bytes]:
    def figures(unit: str, **value: float) -> dict[str, Any]:
        return {"data_type": "float", "unit": unit, "value": value}

    def meter(number: int) -> dict[str, Any]:
        phases = {"phase_a": 229.8, "phase_b": 230.1, "phase_c": 231.0}
        return {
            "timestamp": f"{turn.local:%Y%m%d%H%M%S}{turn.ms % 1000:03}",
            "device_type": "three_phase_meter",
            "device_id": f"AHU{turn.device}-{number}",
            "metrics": {
                "voltage": figures("V", **phases, line_ab=398.1, line_bc=399.2, line_ca=398.8),
                "current": figures("A", phase_a=1.4, phase_b=1.5, phase_c=1.6),
                "power": {
                    "active": figures("kW", phase_a=0.4, phase_b=0.5, phase_c=0.6, total=turn.watt / 1000),
                    "reactive": figures("kvar", phase_a=0.1, phase_b=0.1, phase_c=0.1, total=0.3),
                },
                "energy": {"active": figures("kWh", forward=turn.kwh + number, reverse=0)},
                "power_factor": figures("", phase_a=0.95, phase_b=0.95, phase_c=0.95, total=0.95),
            },
        }

    document = {
        "msgType": "up",
        "msgId": f"00000000-0000-4000-8000-{turn.device:06x}{turn.round:06x}",
        "msgCreateTime": f"{turn.local:%Y%m%d%H%M%S}{turn.ms % 1000:03}",
        "source": {"ipAddress": None, "gatewayId": f"1-2-{turn.device}F"},
        "batch": [meter(number) for number in range(2)],
    }
    return f"device/power/up/gw-{turn.device}", as_json(document)


def _mbmd(turn: Turn) -> tuple[str, bytes]:
    return f"mbmd/sdm630-{turn.device}/Import", b"%.3f" % turn.kwh


def _shadow(turn: Turn) -> tuple[str, bytes]:
    reported = {"energy_kwh": turn.kwh, "power_w": turn.watt, "voltage": 229.8, "firmware": "1.0.3"}
    metadata = {key: {"timestamp": turn.ms // 1000} for key in reported}
    document = {
        "state": {"reported": reported},
        "metadata": {"reported": metadata},
        "version": turn.round + 1,
        "timestamp": turn.ms // 1000,
    }
    return f"$aws/things/meter-{turn.device}/shadow/update/accepted", as_json(document)


def _mapped(turn: Turn) -> tuple[str, bytes]:
    def meter(number: int) -> dict[str, Any]:
        return {
            "sn": f"EM{turn.device:05}-{number}",
            "energy": {"import": turn.kwh + number, "export": 0},
            "power": {"total": turn.watt, "phases": [410.0, 502.5, 611.0]},
            "status": {"firmware": "1.4.2", "rssi": -61},
        }

    document = {"gw": f"gw-{turn.device}", "t": turn.ms // 1000, "meters": [meter(number) for number in range(4)]}
    return f"plant/gw-{turn.device}/data", as_json(document)


_MAPPING = {
    "each": "meters[*]",
    "id": "sn",
    "time": "$.t",
    "values": [
        {"path": "energy.import", "quantity": "register", "unit": "kWh"},
        {"path": "power.total", "quantity": "power_kw", "unit": "W"},
    ],
}


def _fields(rules: Mapping[str, FieldRule]) -> Options:
    return Options(fields=rules)


_LOCAL = Options(timezone=ZONE)

SHAPES: tuple[Shape, ...] = (
    Shape("mapper", "four meters", _mapped, Options(more=_MAPPING)),
    Shape("chirpstack_v4", "decoded by a codec", chirpstack_v4_object),
    Shape("chirpstack_v4", "a frame", chirpstack_v4_frame),
    Shape("chirpstack_v3", "decoded by a codec", chirpstack_v3),
    Shape("tts_v3", "decoded by a codec", tts_v3),
    Shape("milesight_codec", "a plug", milesight),
    Shape("wmbusmeters", "electricity", wmbusmeters),
    Shape("obis_json", "seven codes", obis_json),
    Shape("dsmr_p1", "a telegram", dsmr_p1),
    Shape("ams_han", "a list", ams_han),
    Shape("teleinfo2mqtt", "two tariffs", teleinfo, _LOCAL),
    Shape("vzlogger", "one value", vzlogger, before=vzlogger_before),
    Shape("shelly_gen2", "three phases", _shelly_gen2),
    Shape("shelly_gen1", "one value", _shelly_gen1),
    Shape("tasmota", "a plug", _tasmota, _LOCAL),
    Shape("zigbee2mqtt", "a plug", _zigbee2mqtt),
    Shape(
        "sparkplug_b",
        "ten metrics by alias",
        _sparkplug_b,
        _fields({"Meter/Energy Import": FieldRule("register", "kWh"), "Meter/Power Total": FieldRule("power_kw", "W")}),
        before=_sparkplug_b_before,
    ),
    Shape("senml", "five records", _senml),
    Shape("influx_line_protocol", "two lines", _line_protocol),
    Shape("ac_controllers", "Faikin", _faikin),
    Shape("ha_mqtt_climate", "one value", _ha_climate),
    Shape("esphome", "one value", _esphome, _fields({"total_energy": FieldRule(unit="kWh")})),
    Shape("homie", "one value", _homie, before=_homie_before),
    Shape("wirenboard", "one value", _wirenboard, before=_wirenboard_before),
    Shape("thingsboard_gateway", "four meters", _thingsboard),
    Shape("neuron_gateway", "five tags", _neuron),
    Shape("chinese_gateway", "two meters", _chinese_gateway, _LOCAL),
    Shape("modbus_gateway", "one value of mbmd", _mbmd),
    Shape("aws_azure", "a shadow", _shadow),
)
"""In the order of the table of formats. The native format has a stage of its own: `decode`."""
