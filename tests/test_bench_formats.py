"""The bench's made-up messages are read by their formats, and no two of them are alike."""

from __future__ import annotations

import json
from typing import Any

import pytest

from monitor.bench import run_bench
from monitor.bench.payloads import SHAPES
from monitor.bench.turns import Shape, Turn, as_message
from monitor.decoders.decoded import Limits
from monitor.decoders.formats import FORMATS
from monitor.decoders.sources import Source
from monitor.decoders.trial import Trial

NO_JSON = {"sparkplug_b", "dsmr_p1"}


def test_every_format_is_measured() -> None:
    assert {shape.format for shape in SHAPES} == FORMATS.keys() - {"native"}  # which has a stage of its own


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: f"{shape.format}-{shape.name}")
def test_every_message_is_new_and_yields_readings(shape: Shape) -> None:
    trial = Trial(Source("bench", shape.format, ("#",), options=shape.options), Limits())
    turns = [Turn(device, number) for number in range(4) for device in range(5)]
    for device in range(5):
        for topic, payload in shape.before(device) if shape.before else ():
            list(trial.read(as_message(topic, payload, Turn(device, -1).ms)))
    lines = [list(trial.read(as_message(*shape.make(turn), turn.ms))) for turn in turns]
    assert not any("rejected" in line for each in lines for line in each), lines[0]
    readings = [[line for line in each if "value" in line] for each in lines]
    assert all(readings), lines[0]
    assert len({json.dumps(line) for each in readings for line in each}) == sum(map(len, readings))
    assert len({line["source_id"] for each in readings for line in each}) >= 5


def test_each_format_has_its_target(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_bench(as_json=True, quick=True, only=["formats"]) == 0
    figures: list[dict[str, Any]] = json.loads(capsys.readouterr().out)["figures"]
    assert [figure["case"] for figure in figures] == [f"{shape.format}: {shape.name}" for shape in SHAPES]
    for shape, figure in zip(SHAPES, figures, strict=True):
        assert figure["skipped"] == "", figure
        details = figure["details"]
        expected_us = 30.0 if shape.format in NO_JSON else 5.0 + details["readings_per_message"]
        assert details["target_us"] == expected_us
        assert figure["target"] == pytest.approx(1e6 / expected_us)
        assert figure["us_each"] == pytest.approx(1e6 / figure["value"])
        assert figure["ratio"] == pytest.approx(figure["value"] / figure["target"])
        assert details["us_per_reading"] * details["readings_per_message"] == pytest.approx(figure["us_each"])
