from __future__ import annotations

from monitor.simulate.compare import compare_events, compare_intervals
from tests.simulate.towns import town


def test_equal_within_rounding() -> None:
    truth = town(buildings=1).truth()
    rounded = [row._replace(measured=row.measured * (1 + 1e-9)) for row in truth.intervals]
    compared = compare_intervals(rounded, truth.intervals)
    assert compared.equal
    assert compared.right == rounded


def test_every_difference_is_named() -> None:
    events = town(buildings=1).truth().events
    missing, changed, twice, undone = events[:4]
    unexpected = missing._replace(event_id="f" * 16)
    wrong = changed._replace(excess=changed.excess + 1.0)
    found = [unexpected, wrong, twice, twice, undone._replace(state="withdrawn"), *events[4:]]
    compared = compare_events(found, events)
    assert not compared.equal
    assert compared.missing == [missing, undone]
    assert compared.unexpected == [unexpected]
    assert compared.wrong == [(wrong, changed)]
    assert compared.twice == [twice]
    assert compared.right == [twice, *events[4:]]
