"""Milesight's codecs: every documented word, modes as numbers, and frames of each series."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from monitor.decoders.formats.frame_layouts import Layouts, walk
from monitor.decoders.formats.milesight_codec import MilesightCodec
from monitor.decoders.formats.milesight_frames import MilesightFrames
from monitor.decoders.names import Names
from monitor.decoders.options import FieldRule, Options
from monitor.decoders.state import SourceState
from monitor.decoders.values import Found

TS_S = 1_782_635_400
TS = TS_S.to_bytes(4, "little").hex()


def read(codec: dict[str, Any], model: str = "", options: Options | None = None) -> Found:
    options = options or Options()
    found = Found(SourceState())
    reader = MilesightCodec(options, Names(options))
    reader.read(found, "d", codec, None, model, reader.plan(tuple(codec)))
    return found


def quantities(codec: dict[str, Any], model: str = "", options: Options | None = None) -> dict[str, float]:
    return {each.quantity: each.value for each in read(codec, model, options).values}


def frame(hex_: str, model: str = "") -> dict[str, Any] | None:
    return new_frames().codec_object(bytes.fromhex(hex_), model)


def new_frames(options: Options | None = None) -> MilesightFrames:
    options = options or Options()
    return MilesightFrames(MilesightCodec(options, Names(options)))


@pytest.mark.parametrize(
    ("word", "mode"),
    [
        *(("heat", 2), ("em_heat", 2), ("em heat", 2), ("cool", 1), ("auto", 5), ("auto heat", 5), ("auto cool", 5)),
        *(("fan", 4), ("ventilation", 4), ("dehumidify", 3), ("off", 0), ("Cool ", 1)),
    ],
)
def test_words_of_modes(word: str, mode: int) -> None:
    for name in ("temperature_control_mode", "temperature_ctl_mode", "mode", "temperature_mode"):
        assert quantities({name: word}) == {"mode": mode}
    assert quantities({"current_temperature_control_mode": {"mode": word}}) == {"mode": mode}


@pytest.mark.parametrize(
    ("codec", "model", "modes"),
    [
        ({"temperature_control_mode": 0, "temperature_control_status": 0}, "", [2, 2, 1, 5]),
        ({"temperature_control_mode": 0}, "milesight wt211", [2, 2, 1, 5]),
        ({"temperature_control_mode": 0}, "wt304", [4, 2, 1]),
        ({"temperature_mode": 0}, "", [2, 2, 1, 5, 3, 4]),
        ({"mode": 0, "thermostat_status": "on"}, "", [1, 2, 4]),
    ],
)
def test_modes_as_numbers_are_counted_differently_by_each_device(
    codec: dict[str, Any], model: str, modes: list[int]
) -> None:
    name = next(iter(codec))
    found = [quantities({**codec, name: number}, model).get("mode") for number in range(len(modes))]
    assert found == modes
    assert [each.reason for each in read({**codec, name: 99}, model).rejected] == ["bad_value"]


def test_a_number_of_a_device_that_is_not_known_is_not_guessed() -> None:
    found = read({"temperature_control_mode": 1})
    assert [each.reason for each in found.rejected] == ["bad_value"]
    assert quantities({"temperature_control_mode": 1}, options=Options(modes={"1": 3})) == {"mode": 3}
    assert not read({"mode": 1}).rejected
    assert read({"temperature_mode": 11}).ignored == ["no_value"]


def test_options_come_before_what_the_codec_documents() -> None:
    fields = {"power_consumption": FieldRule(unit="kWh", quantity="register"), "temperature": FieldRule(ignore=True)}
    codec = {"power_consumption": 5, "temperature": 20, "water": 7}
    assert quantities(codec, options=Options(fields=fields)) == {"register": 5.0}
    fields = {"water": FieldRule(unit="m3"), "modbus.total": FieldRule(quantity="register", unit="Wh")}
    assert quantities({"water": 7, "modbus": {"total": 900}}, options=Options(fields=fields)) == {
        "water_m3": 7.0,
        "register": 0.9,
    }


def test_names_that_are_not_what_they_seem() -> None:
    settings = {"temperature": 5, "target_temperature": 6, "mode": "cool", "enable": "enable"}
    words = {"control_mode": "auto", "device_status": "on", "state": "open", "fan_mode": "auto"}
    figures = {"electricity": 5, "total_current": 6, "outside_temperature": 8, "target_temperature_2": 10}
    inside = {"freeze_protection_config": settings, "plan_config": [settings], "temperature_control": settings}
    codec = {**words, **figures, **inside}
    found = read(codec)
    assert (found.values, found.rejected, found.ignored) == ([], [], [])


def test_frames_of_each_series() -> None:
    assert frame("01755c03673401046865") == {"temperature": 30.8}  # AM and EM: battery, temperature, humidity
    assert frame("0367f6ff") == {"temperature": -1.0}
    assert frame("017564 0367d600 0467dc00 059232 060000 070000") == {"temperature": 21.4, "target_temperature": 22.0}
    assert frame("0829 21", "ws501-eu") == {"switch_1": "on"}
    assert frame("0829 21", "ws503") == {"switch_1": "on", "switch_2": "off", "switch_3": "off"}
    assert frame("0829 21") == {"switch_1": "on", "switch_2": "off"}
    assert frame("08310005") == {f"switch_{bit}": "on" if bit in (1, 3) else "off" for bit in range(1, 9)}
    assert frame("1063e8030000 1163d0070000 046932"[:-6]) == {"ch1_sumkwh": 10.0, "ch2_sumkwh": 20.0}
    assert frame("fffa02fa00") == {"temperature_control_mode": "cool", "target_temperature": 25.0}
    assert frame("f8060000") == {}


def test_a_frame_that_does_not_fit_to_its_last_byte_is_none() -> None:
    whole = bytes.fromhex("03670201 0467a600 05e772 088e01 8367fb0009")
    assert new_frames().codec_object(whole)
    ends = {4, 8, 11, 14}
    for end in range(len(whole)):
        assert (new_frames().codec_object(whole[:end]) is None) == (end not in ends - {4, 8} and end != 4), end
    assert frame("") is None
    assert frame("0367020155") is None
    assert frame("0367" + "00" * 300) is None


def test_what_may_be_another_device_is_not_guessed() -> None:
    assert frame("0367d6000467dc00") is None  # a thermostat, or a sensor with two probes
    assert frame("0367d6000467dc00", "wt101") == {"temperature": 21.4, "target_temperature": 22.0}
    assert frame("030001 0367d600 0467dc00 05e700") is None
    assert frame(f"20ce{TS}d200640100") is None  # records of the past alone
    assert frame(f"20ce{TS}d200640100", "em300-th") == {"history": [{"timestamp": TS_S, "temperature": 21.0}]}


def test_what_a_frame_is_of_beyond_doubt() -> None:
    room, target = (1000 + 245) << 5 | 1 << 4, (1000 + 220) << 5 | 2
    record = f"20ce{TS}{room.to_bytes(2, 'little').hex()}{target.to_bytes(2, 'little').hex()}"
    wanted = {
        "timestamp": TS_S,
        "system_status": "on",
        "temperature": 24.5,
        "temperature_control_mode": "cool",
        "target_temperature": 22.0,
    }
    assert frame(record) == {"history": [wanted]}
    assert frame(record + record) == {"history": [wanted, wanted]}
    assert frame(record + f"20ce{TS}d2006401") is None  # one of them says 10.2 °C below -100
    assert frame(record, "uc300") is None
    assert frame(record, "milesight uc300") is None
    assert frame(record, "chirpstack default device profile") == {"history": [wanted]}  # says nothing of the device
    warm = ((1000 + 480) << 5 | 1).to_bytes(2, "little").hex()
    assert frame(record + f"20ce{TS}{room.to_bytes(2, 'little').hex()}{warm}") is not None


def test_two_probes() -> None:
    both = {"temperature_chn1": 21.4, "temperature_chn2": 22.0}
    assert frame("0367d600 0467dc00", "ts302") == both
    assert frame("0367d600 0467d700 8467dc0001") == both
    assert frame("0367d600 040001", "ts302") == {"temperature": 21.4}
    assert frame("030001 94d7dc00820002") == {"temperature_chn2": 22.0}
    assert frame(f"20ce{TS}44d600dc00 20ce{TS}54d600dc00 20ce{TS}40d6000000", "ts302") == {
        "history": [
            {"timestamp": TS_S, **both},
            {"timestamp": TS_S, "temperature_chn2": 22.0},
            {"timestamp": TS_S, "temperature_chn1": 21.4},
        ]
    }


def test_records_of_the_past_by_model() -> None:
    for length, model in ((7, "am102"), (8, "em300-th"), (9, "am103"), (16, "am307"), (20, "am308"), (22, "am319")):
        record = f"20ce{TS}d200" + "01" * (length - 6)
        wanted = {"timestamp": TS_S, "temperature": 21.0}
        assert frame(record + record, model) == {"history": [wanted, wanted]}
        assert frame("0367d200 046850" + record) == {"temperature": 21.0, "history": [wanted]}
    bits = 1 | 3 << 1 | 2 << 5
    record = f"20ce{TS}{bits.to_bytes(2, 'little').hex()}f000fffff90065"
    live: dict[str, Any] = {
        "timestamp": TS_S,
        "system_status": "on",
        "temperature": 24.9,
        "temperature_control_mode": "cool",
    }
    assert frame("088e01" + record) == {"system_status": "on", "history": [{**live, "target_temperature": 24.0}]}


def test_layouts_that_are_known_change_nothing() -> None:
    random = Random(5)
    pieces = [
        "0367{}",
        "0467{}",
        "05e7{:.2}",
        "088e{:.2}",
        "0468{:.2}",
        "0480{0}{0}",
        "20ce{0}{0}{0}{0}",
        "ff0b{:.2}",
        "77",
    ]
    kept = new_frames()
    seen = 0
    for _ in range(3000):
        chosen = random.choices(pieces, weights=[9] * 8 + [1], k=random.randint(1, 5))
        text = "".join(piece.format(random.randbytes(2).hex()) for piece in chosen)
        once = frame(text)
        assert kept.codec_object(bytes.fromhex(text)) == once
        assert kept.is_frame(bytes.fromhex(text)) == (once is not None)
        seen += once is not None
    assert seen > 500


PLAIN = "0367 8367 8467 0967 05e7 088e 0480 0683 0870 1063 1163 0175 0374 0500"
LENGTHS = {"8367": 3, "8467": 3, "05e7": 1, "088e": 1, "0480": 4, "0683": 4, "0870": 1} | dict.fromkeys(
    ("1063", "1163"), 4
)


@pytest.mark.parametrize(
    "options",
    [
        Options(),
        Options(modes={"heat": 1, "cool": 2}),
        Options(fields={"active_power": FieldRule("power_kw", "kW"), "temperature": FieldRule(ignore=True)}),
    ],
    ids=["usual", "modes", "fields"],
)
def test_frames_read_at_once_say_what_the_object_says(options: Options) -> None:
    """Values of every kind, also such as stand for none, and names that come twice."""
    random = Random(11)
    frames, codec = new_frames(options), MilesightCodec(options, Names(options))
    taken = 0
    for _ in range(3000):
        hexes = []
        for key in random.choices(PLAIN.split(), k=random.randint(1, 4)):
            length = LENGTHS.get(key, 1 if key in ("0175", "0500") else 2)
            hexes.append(key + random.choice([random.randbytes(length), b"\xff" * length, bytes(length)]).hex())
        raw = bytes.fromhex("".join(hexes))
        at_once, by_object = Found(SourceState()), Found(SourceState())
        if not frames.read_plain(at_once, "d", raw, 7):
            assert (at_once.values, at_once.ignored) == ([], [])
            continue
        taken += 1
        object_ = frames.codec_object(raw)
        assert object_
        codec.read(by_object, "d", object_, 7, "", codec.plan(tuple(object_)))
        assert repr((at_once.values, at_once.ignored)) == repr((by_object.values, by_object.ignored)), raw.hex()
    assert taken > 1000


def test_layouts_are_bounded() -> None:
    lengths = {1: 1, 2: 2}
    layouts = Layouts(lengths.get, lambda layout: layout)
    assert layouts.of(b"\0\1\7\0\2\7\7") == walk(b"\0\1\7\0\2\7\7", lengths.get)[0]
    random = Random(1)
    for _ in range(2000):
        layouts.of(b"".join(random.choice([b"\0\1\7", b"\0\2\7\7"]) for _ in range(random.randint(1, 90))))
    assert len(layouts._known) <= 256
    assert max(map(len, layouts._known.values())) <= 4
