"""One suite for the writers, against the servers as Debian packages them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from monitor.readings import Quantity, ReadingColumns
from monitor.results import EventScope, LedgerScope, Step
from monitor.store.influx import InfluxTarget, LineWriter, SinkError, make_writer
from monitor.store.lines import LineEncoder
from monitor.store.memory import MemoryStore
from tests.services.influxd import Influxd
from tests.services.process import free_port
from tests.services.victoriametrics import VictoriaMetrics
from tests.store.made import START_MS, entry, event, intervals, registry

pytestmark = pytest.mark.services

ORG = "Lạng Sơn/Sở Xây dựng, A=1"


@dataclass(frozen=True, slots=True)
class Sink:
    target: InfluxTarget
    samples: Callable[[str, str], dict[str, dict[int, float]]]
    """(measurement, field) -> tags as `key=value,...` -> {ts_ms: value}."""


@pytest.fixture(scope="module")
def influxd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Influxd]:
    server = Influxd(tmp_path_factory.mktemp("influxd"))
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def victoria_metrics(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VictoriaMetrics]:
    server = VictoriaMetrics(tmp_path_factory.mktemp("victoria"))
    server.start()
    yield server
    server.stop()


@pytest.fixture(params=["influxdb-1", "victoria-metrics-v2"])
def sink(request: pytest.FixtureRequest) -> Sink:
    if request.param == "influxdb-1":
        one: Influxd = request.getfixturevalue("influxd")

        def from_influxd(measurement: str, field: str) -> dict[str, dict[int, float]]:
            series = one.statement(f'SELECT "{field}" FROM "{measurement}" GROUP BY *', "contract")
            return {
                ",".join(f"{key}={value}" for key, value in sorted(each["tags"].items()) if value): dict(each["values"])
                for each in series
            }

        return Sink(InfluxTarget(1, one.url, database="contract"), from_influxd)
    two: VictoriaMetrics = request.getfixturevalue("victoria_metrics")
    target = InfluxTarget(2, two.url, org="o", bucket="b", token="t")

    def from_victoria(measurement: str, field: str) -> dict[str, dict[int, float]]:
        series = two.exported(f"{measurement}_{field}")
        # the bucket is a label there
        return {tags.replace("db=b,", "").removesuffix(",db=b"): points for tags, points in series.items()}

    return Sink(target, from_victoria)


@pytest.fixture(params=[True, False], ids=["gzip", "plain"])
def writer(sink: Sink, request: pytest.FixtureRequest) -> Iterator[LineWriter]:
    made = make_writer(replace(sink.target, gzip=request.param), now_ms=lambda: START_MS)
    yield made
    made.close()


def send(writer: LineWriter, step: Step, org: str = ORG) -> None:
    names = registry(org=org, peak_limit_kw=100.0)
    for batch in LineEncoder().encode(MemoryStore().apply(step, names), step, names):
        writer.write(batch.body)


def test_every_measurement_arrives(sink: Sink, writer: LineWriter) -> None:
    quantities = [Quantity.ON, Quantity.MODE, Quantity.SETPOINT_C, Quantity.ROOM_C]
    ac = ReadingColumns.of([2, 2, 2, 2], [int(each) for each in quantities], [START_MS] * 4, [1, 1, 24.5, 27.25])
    step = Step(
        intervals=intervals([(0, 0, 1.1), (1, 0, 2e-7)]),
        events=[event(0, quarters=None), event(1, rule="ac_hours", device="AC-B-1-0", worst=None)],
        ledger=[entry(0), entry(0, "conflict", quantity="power_kw", amount=-2.5)],
        readings=ac,
    )
    send(writer, step)
    place = f"building=B-1,item=total,org={ORG}"
    consumption = sink.samples("consumption", "measured")
    assert consumption[f"{place},period=normal"][START_MS] == 1.1
    assert consumption[f"building=B-1,item=water,org={ORG},period=normal"][START_MS] == 2e-7
    assert sink.samples("consumption", "limit_kw")[f"{place},period=normal"][START_MS] == 100.0
    assert sink.samples("ac", "setpoint_c")[f"building=B-1,device=AC-B-1-0,org={ORG}"][START_MS] == 24.5
    assert sink.samples("ac", "on")[f"building=B-1,device=AC-B-1-0,org={ORG}"][START_MS] == 1
    violations = sink.samples("violation", "excess")
    assert violations[f"building=B-1,device=-,org={ORG},rule=peak_demand"][START_MS] == 5.0
    assert sorted(violations) == [
        f"building=B-1,device=-,org={ORG},rule=peak_demand",
        f"building=B-1,device=AC-B-1-0,org={ORG},rule=ac_hours",
    ]
    ledger = sink.samples("ledger", "amount")
    assert ledger[f"building=B-1,device=M-B-1-total,kind=conflict,org={ORG},quantity=power_kw"][START_MS] == -2.5


def test_writing_twice_is_writing_once(sink: Sink, writer: LineWriter) -> None:
    step = Step(intervals=intervals([(0, quarter, quarter / 7) for quarter in range(300)], period=1))
    send(writer, step, org="twice")
    send(writer, step, org="twice")
    found = sink.samples("consumption", "measured")["building=B-1,item=total,org=twice,period=peak"]
    assert len(found) == 300
    # VictoriaMetrics keeps the values of a block as whole numbers with one exponent
    np.testing.assert_allclose([found[ts_ms] for ts_ms in sorted(found)], np.arange(300) / 7, rtol=0, atol=1e-9)


def test_floats_come_back_to_the_last_bit(sink: Sink, writer: LineWriter) -> None:
    values = np.random.default_rng(5).random(200) * 10.0 ** np.random.default_rng(6).integers(-9, 9, 200)
    step = Step(intervals=intervals([(0, quarter, value) for quarter, value in enumerate(values.tolist())]))
    send(writer, step, org="bits")
    found = sink.samples("consumption", "measured")["building=B-1,item=total,org=bits,period=normal"]
    if sink.target.version == 1:
        assert [found[ts_ms] for ts_ms in sorted(found)] == values.tolist()
    else:  # VictoriaMetrics keeps the values of a block as whole numbers with one exponent
        atol = 1e-12 * values.max()
        np.testing.assert_allclose([found[ts_ms] for ts_ms in sorted(found)], values, rtol=0, atol=atol)


@pytest.mark.parametrize("name", ["a b", "a,b", "a=b", 'a"b', "a\\b", "điện", "a\nb"])
def test_tags_come_back_as_they_are(sink: Sink, writer: LineWriter, name: str) -> None:
    names = registry([(name, "total")], org="tags")
    step = Step(intervals=intervals([(0, 0, 3.5)]))
    for batch in LineEncoder().encode(MemoryStore().apply(step, names), step, names):
        writer.write(batch.body)
    series = f"building={name},item=total,org=tags,period=normal".replace("\n", " ")
    assert sink.samples("consumption", "measured")[series] == {START_MS: 3.5}


@pytest.mark.parametrize(("name", "written"), [("end\\", "end/"), ("in\\,side", "in/,side"), ("\\ \\\\=", "/ /=")])
def test_a_backslash_before_a_special_character_harms_nothing(
    sink: Sink, writer: LineWriter, name: str, written: str
) -> None:
    send(writer, Step(intervals=intervals([(0, 0, 4.5)])), org=name)
    series = f"building=B-1,item=total,org={written},period=normal"
    assert sink.samples("consumption", "measured")[series] == {START_MS: 4.5}


def test_nobody_there(sink: Sink) -> None:
    writer = make_writer(replace(sink.target, url=f"http://127.0.0.1:{free_port()}"), now_ms=lambda: 0)
    with pytest.raises(SinkError) as caught:
        writer.write(b"m v=1 1\n")
    assert (caught.value.kind, caught.value.retryable) == ("unreachable", True)
    writer.close()


def test_influxdb_1_refuses_what_conflicts_and_says_so(influxd: Influxd) -> None:
    writer = make_writer(InfluxTarget(1, influxd.url, database="refuses"), now_ms=lambda: 0)
    writer.write(b"m,t=a v=1 1000\n")
    with pytest.raises(SinkError, match="field type conflict") as caught:
        writer.write(b'm,t=a v=2 2000\nm,t=a v="text" 3000\n')
    assert (caught.value.kind, caught.value.retryable) == ("rejected", False)
    assert [row["v"] for row in influxd.rows("SELECT v FROM m", "refuses")] == [1, 2]
    writer.close()


def test_what_changes_takes_the_place_of_what_was(influxd: Influxd) -> None:
    writer = make_writer(InfluxTarget(1, influxd.url, database="changes"), now_ms=lambda: 0)
    store, encoder, names = MemoryStore(), LineEncoder(), registry(org="o")

    def apply(step: Step) -> None:
        for batch in encoder.encode(store.apply(step, names), step, names):
            writer.write(batch.body)

    closed, still_open = event(0), event(0, quarters=None)
    scopes = [LedgerScope("M-B-1-total", ("gap",), None, 0)]
    apply(Step(intervals=intervals([(0, 0, 1.0)]), events=[closed], ledger=[entry(0)]))
    apply(Step(intervals=intervals([(0, 0, 2.0)], period=1, revised=True), events=[still_open], ledger_scopes=scopes))
    rows = influxd.rows("SELECT * FROM consumption", "changes")
    assert [(row["period"], row["measured"]) for row in sorted(rows, key=lambda row: str(row["period"]))] == [
        ("normal", 0),
        ("peak", 2),
    ]
    (violation,) = influxd.rows("SELECT * FROM violation", "changes")
    assert (violation["state"], violation["reason"], violation["end_ms"]) == ("open", "", 0)
    (noted,) = influxd.rows("SELECT * FROM ledger", "changes")
    assert (noted["amount"], noted["detail"], noted["quantity"]) == (0, "withdrawn", "register")
    apply(Step(event_scopes=[EventScope("peak_demand", "B-1", "", 0)], ledger=[entry(0)]))
    (violation,) = influxd.rows("SELECT * FROM violation", "changes")
    assert violation["state"] == "withdrawn"
    (noted,) = influxd.rows("SELECT * FROM ledger", "changes")
    assert (noted["amount"], noted["detail"]) == (1.5, "")
    writer.close()


def test_influxdb_1_without_its_database(influxd: Influxd) -> None:
    for target, kind in (
        (InfluxTarget(1, influxd.url, database="never-made", create_database=False), "missing"),
        (InfluxTarget(1, influxd.url, database="made", retention_policy="no-such"), "server"),
        (InfluxTarget(1, influxd.url, database='bad "name"/'), "missing"),
    ):
        writer = make_writer(target, now_ms=lambda: 0)
        with pytest.raises(SinkError) as caught:
            writer.write(b"m v=1 1\n")
        assert caught.value.kind == kind
        writer.close()


def test_influxdb_1_asks_for_a_password(tmp_path: Path) -> None:
    server = Influxd(tmp_path / "influxd", auth=True)
    server.start()
    try:
        writer = make_writer(InfluxTarget(1, server.url, database="d", username="a", password="b"), now_ms=lambda: 0)
        with pytest.raises(SinkError) as caught:
            writer.write(b"m v=1 1\n")
        assert (caught.value.kind, caught.value.retryable) == ("auth", False)
        writer.close()
    finally:
        server.stop()
