from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import replace
from itertools import pairwise

import pytest

from monitor.decoders.native import NativeDecoder
from monitor.errors import InputError
from monitor.ingest.message import Message
from monitor.readings import QUANTITY_NAMES
from monitor.simulate.configuration import assemble
from monitor.simulate.delivery import Delivery, deliveries
from monitor.simulate.faults import Faults
from monitor.simulate.made_up import from_registry, make_scenario
from monitor.simulate.messages import REASON_BY_KIND
from monitor.simulate.stream import Reading
from tests.simulate.towns import ALL_FAULTS, DAY_S, HOUR_S, START_MS, town


def _readings(messages: list[Delivery]) -> list[Reading]:
    return [reading for message in messages for reading in message.readings]


def test_the_seed_decides_every_message() -> None:
    first, again = (list(deliveries(town(buildings=2, faults=ALL_FAULTS))) for _ in range(2))
    assert first == again
    assert first != list(deliveries(town(seed=6, buildings=2, faults=ALL_FAULTS)))


def test_without_faults_everything_comes_once_and_soon() -> None:
    scenario = town()
    sent = list(deliveries(scenario))
    assert sorted(_readings(sent)) == scenario.truth_rows()
    assert {message.kind for message in sent} == {"first"}
    # Up to a minute in a gateway's batch, and some latency.
    assert all(0 < message.due_ms - reading.ts_ms < 63_000 for message in sent for reading in message.readings)
    assert {len(message.topic.split("/")) for message in sent} == {3}
    assert Counter(message.topic.endswith("/batch") for message in sent).keys() == {True, False}


def test_with_all_faults_nothing_good_is_lost() -> None:
    scenario = town(faults=ALL_FAULTS)
    sent = list(deliveries(scenario))
    assert sorted(set(_readings(sent))) == scenario.truth_rows()
    assert all(one.due_ms <= other.due_ms for one, other in pairwise(sent))
    once = [message for message in sent if message.kind in ("first", "backfill")]
    assert sorted(_readings(once)) == scenario.truth_rows()
    assert {message.kind for message in sent} == {"first", "backfill", "duplicate", *REASON_BY_KIND}


@pytest.mark.parametrize(("fault", "kinds"), [("duplicates", {"duplicate"}), ("malformed", set(REASON_BY_KIND))])
def test_rates_are_kept(fault: str, kinds: set[str]) -> None:
    scenario = town(buildings=6, faults=Faults(**{fault: 0.2}))
    count = Counter(message.kind in kinds for message in deliveries(scenario))
    assert 0.17 < count[True] / count[False] < 0.23


def test_reordering_holds_some_back_by_seconds() -> None:
    scenario = make_scenario(
        5,
        start_ms=START_MS,
        duration_s=HOUR_S,
        buildings=3,
        cadence_s=10,
        ac_cadence_s=5,
        faults=Faults(reordering=0.3),
    )
    of_topic: defaultdict[str, list[int]] = defaultdict(list)
    for message in deliveries(scenario):
        assert message.due_ms - message.readings[0].ts_ms < 95_000
        of_topic[message.topic].extend(reading.ts_ms for reading in message.readings)
    # A batch a minute is never overtaken within 30 s; what a device sends by itself every few seconds is.
    alone = {topic: times for topic, times in of_topic.items() if not topic.endswith("/batch")}
    assert len(alone) > 5
    assert all(times != sorted(times) for times in alone.values())


def test_outages_are_silent_and_then_made_up_for() -> None:
    scenario = town(faults=Faults(outages=3.0))
    delay_by_topic: defaultdict[str, list[int]] = defaultdict(list)
    backfill = [message for message in deliveries(scenario) if message.kind == "backfill"]
    for message in backfill:
        delay_by_topic[message.topic.split("/")[1]].append(message.due_ms - message.readings[0].ts_ms)
    assert len(delay_by_topic) >= 3
    assert 600_000 < max(max(delays) for delays in delay_by_topic.values()) <= 3 * 3_600_000 + 120_000
    falling = [later.readings[0].ts_ms < sooner.readings[0].ts_ms for sooner, later in pairwise(backfill)]
    assert any(falling)  # some send the newest first
    assert not all(falling)


def test_the_decoder_reads_what_the_gateways_write() -> None:
    scenario = town(faults=ALL_FAULTS, duration_s=12 * HOUR_S)
    sent = list(deliveries(scenario))
    now_ms = scenario.end_ms + 60_000
    messages = [Message(message.topic, message.payload, False, now_ms, "simulated") for message in sent]
    decoded = NativeDecoder(scenario.registry).decode(messages)
    columns = decoded.columns
    found = [
        Reading(int(ts_ms), scenario.registry.devices[device].id, QUANTITY_NAMES[quantity], float(value))
        for ts_ms, device, quantity, value in zip(
            columns.ts_ms, columns.device, columns.quantity, columns.value, strict=True
        )
    ]
    assert Counter(found) == Counter(_readings(sent))
    reasons = Counter(message.reason for message in sent if message.reason)
    assert Counter(reject.reason for reject in decoded.rejects) == reasons
    assert set(reasons) == set(REASON_BY_KIND.values())
    assert not decoded.ignored


def test_a_gateway_that_cannot_be_a_topic_level() -> None:
    registry = town(buildings=1).registry
    devices = [replace(device, gateway="a/b") for device in registry.devices]
    scenario = from_registry(
        assemble(registry.buildings, devices, registry.policies), 1, start_ms=START_MS, duration_s=DAY_S
    )
    with pytest.raises(InputError, match="'a/b'"):
        next(deliveries(scenario))
