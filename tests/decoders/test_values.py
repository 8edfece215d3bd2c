"""What a format finds: parts that add up, and what stands for nothing."""

from __future__ import annotations

import itertools
import math

import pytest

from monitor.decoders.state import SourceState
from monitor.decoders.values import Found, Measured, Value

T = 1_782_638_100_000


def restarted(state: SourceState) -> SourceState:
    return SourceState({key: encoded for key, encoded in state.changes().items() if encoded is not None})


def told(found: Found) -> list[tuple[float, int | None]]:
    """(value, ts_ms) of what the message has, which ends here."""
    found.end_message()
    values = [(value.value, value.ts_ms) for value in found.values]
    found.clear()
    return values


def one(
    found: Found, part: str, value: float, ts_ms: int | None, *, alone: bool = True
) -> list[tuple[float, int | None]]:
    found.add_part("m", "register", part, value, ts_ms, "e", alone=alone)
    return told(found)


def test_a_value_is_added_as_it_is() -> None:
    found = Found(SourceState())
    found.add("m", "register", math.inf, T, "e")
    found.add("m", "power_kw", -1.5, None)
    assert found.values == [Value("m", "register", math.inf, T, "e"), Value("m", "power_kw", -1.5, None, "")]
    assert found.ignored == []


@pytest.mark.parametrize(
    "value", [-127.0, 127.0, 127.5, 85_000.0, 255.0, 327.67, -327.68, 655.35, 6553.5, 65535.0, -60.1]
)
@pytest.mark.parametrize("quantity", ["room_c", "setpoint_c"])
def test_a_probe_that_is_not_there_measures_nothing(quantity: Measured, value: float) -> None:
    found = Found(SourceState())
    found.add("m", quantity, value, T)
    assert not found.values
    assert found.ignored == ["no_value"]


def test_sentinels_are_of_temperatures_alone() -> None:
    found = Found(SourceState())
    for quantity in ("register", "power_kw", "water_m3"):
        found.add("m", quantity, 65535.0, T)
    assert len(found.values) == 3


def test_no_unit_is_set_to_0_degrees_but_a_room_may_have_them() -> None:
    found = Found(SourceState())
    found.add("m", "room_c", 0.0, T)
    found.add("m", "setpoint_c", 0.0, T)
    assert [value.quantity for value in found.values] == ["room_c"]
    assert found.ignored == ["no_value"]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_temperature_that_is_no_number_is_for_others_to_judge(value: float) -> None:
    found = Found(SourceState())
    found.add("m", "room_c", value, T)
    assert len(found.values) == 1


def test_parts_of_one_message_add_up() -> None:
    found = Found(SourceState())
    found.add_part("m", "register", "1", 10.0, T)
    found.add_part("m", "register", "2", 5.0, T, "e2")
    found.add_part("n", "register", "1", 7.0, T)
    found.end_message()
    assert found.values == [Value("m", "register", 15.0, T, "e2"), Value("n", "register", 7.0, T, "")]


def test_a_total_in_the_message_makes_parts_superfluous() -> None:
    found = Found(SourceState())
    found.add_part("m", "register", "1", 10.0, T)
    found.add("m", "register", 14.0, T)
    found.add_part("m", "export_register", "1", 3.0, T)
    found.end_message()
    assert [(value.quantity, value.value) for value in found.values] == [("register", 14.0), ("export_register", 3.0)]


def test_parts_that_a_message_lacks_are_as_they_were_and_a_restart_changes_nothing() -> None:
    state = SourceState()
    assert one(Found(state), "1", 10.0, T) == [(10.0, T)]
    state = restarted(state)
    assert one(Found(state), "2", 5.0, T + 1) == [(15.0, T + 1)]
    assert one(Found(restarted(state)), "1", 11.0, T + 2) == [(16.0, T + 2)]


def test_parts_in_messages_of_their_own_say_nothing_alone() -> None:
    found = Found(SourceState())
    assert one(found, "1", 10.0, T, alone=False) == []
    assert one(found, "1", 10.5, T + 1, alone=False) == []
    assert one(found, "2", 5.0, T + 2, alone=False) == [(15.5, T + 2)]


def test_a_sum_is_as_of_its_latest_part() -> None:
    found = Found(SourceState())
    one(found, "1", 10.0, T + 300)
    assert one(found, "2", 5.0, T) == [(15.0, T + 300)]
    assert one(found, "2", 6.0, None) == [(16.0, None)]


def test_messages_that_come_once_more_say_what_was_said() -> None:
    messages = [("1", 10.0), ("2", 5.0), ("1", 11.0), ("2", 5.0), ("2", 6.0), ("1", 12.0)]
    for alone, count in itertools.product((True, False), range(1, len(messages))):
        found = Found(SourceState())
        said = [
            each for i, (part, value) in enumerate(messages) for each in one(found, part, value, T + i, alone=alone)
        ]
        for i, (part, value) in list(enumerate(messages))[-count:]:
            again = one(found, part, value, T + i, alone=alone)
            assert set(again) <= set(said), (alone, count, i)


def test_a_part_that_comes_late_ends_in_no_sum_but_a_whole_message_does() -> None:
    found = Found(SourceState())
    one(found, "1", 10.0, T)
    one(found, "2", 5.0, T)
    one(found, "1", 12.0, T + 60_000)
    found.add_part("m", "register", "1", 11.0, T + 30_000)
    found.end_message()
    assert not found.values
    assert found.ignored == ["out_of_order"]
    found.clear()
    found.add_part("m", "register", "1", 11.0, T + 30_000)
    found.add_part("m", "register", "2", 5.0, T + 30_000)
    assert told(found) == [(16.0, T + 30_000)]
    assert one(found, "2", 6.0, T + 90_000) == [(18.0, T + 90_000)]  # the latest of part 1, not the late one


def test_a_clock_that_was_days_ahead_does_not_stop_the_sum() -> None:
    found = Found(SourceState())
    one(found, "1", 10.0, T + 10 * 86_400_000)
    assert one(found, "2", 5.0, T) == [(15.0, T)]
    assert one(found, "1", 11.0, T) == [(16.0, T)]


def test_a_clock_that_was_years_behind_gives_no_sum_of_now() -> None:
    found = Found(SourceState())
    found.add_part("m", "register", "1", 10.0, T)
    found.add_part("m", "register", "2", 5.0, T)
    assert told(found) == [(15.0, T)]
    assert one(found, "1", 9.0, 5000) == [(14.0, 5000)]


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_part_that_is_no_number_is_told_and_not_remembered(bad: float) -> None:
    found = Found(SourceState())
    one(found, "1", 10.0, T)
    ((value, _),) = one(found, "2", bad, T)
    assert not math.isfinite(value)
    found.add_part("m", "register", "1", math.inf, T)
    found.add_part("m", "register", "2", -math.inf, T)
    assert len(told(found)) == 1
    assert one(found, "2", 5.0, T) == [(15.0, T)]


def test_a_sum_beyond_all_numbers_is_infinite() -> None:
    found = Found(SourceState())
    one(found, "1", 1.7e308, T)
    assert one(found, "2", 1.7e308, T) == [(math.inf, T)]


def test_parts_are_bounded_in_a_message_and_in_the_state() -> None:
    state = SourceState()
    found = Found(state)
    for number in range(1000):
        found.add_part("m", "register", str(number), 1.0, T)
    assert told(found) == [(16.0, T)]
    for number in range(1000):
        one(found, f"other-{number}", 1.0, T + number)
        assert len(state.get("parts/register/m")) <= 16
    assert len(state) == 1


def test_sixteen_parts_can_be_told_one_by_one() -> None:
    found = Found(SourceState())
    for number in range(16):
        one(found, str(number), 1.0, T)
    assert one(found, "7", 2.0, T + 1) == [(17.0, T + 1)]


def test_whole_messages_in_which_no_part_changed_are_not_written_down_again() -> None:
    state = SourceState()
    found = Found(state)
    for at in range(3):
        found.add_part("m", "register", "1", 10.0, T + at)
        found.add_part("m", "register", "2", 5.0, T + at)
        assert told(found) == [(15.0, T + at)]
        assert (state.changes() == {}) is (at > 0)


Part = tuple[str, float, int | None]


@pytest.mark.parametrize(
    ("messages", "last"),
    [
        # One tariff came alone, then late with another that was not known before.
        ([[("1", 12.0, T + 2)], [("1", 11.0, T + 1), ("2", 4.0, T + 1)]], [(15.0, T + 1)]),
        # Two messages contradict each other at one time: the first counts.
        ([[("1", 10.0, T)], [("1", 11.0, T)], [("2", 5.0, T)]], [(15.0, T)]),
        ([[("1", 10.0, T)], [("1", 11.0, T), ("2", 5.0, T)]], [(16.0, T)]),
        # One part has no time.
        ([[("1", 10.0, T)], [("2", 5.0, None)]], [(15.0, None)]),
        ([[("1", 10.0, None)], [("2", 5.0, T)], [("1", 11.0, None)]], [(16.0, None)]),
        ([[("1", 10.0, T)], [("1", 11.0, None)], [("2", 5.0, T + 1)]], [(16.0, None)]),
        # The newest value of a part is the one that it had before.
        ([[("1", 10.0, T)], [("1", 10.0, T + 3)], [("2", 5.0, T + 1)]], [(15.0, T + 3)]),
        ([[("1", 9.0, T), ("2", 5.0, T)], [("1", 10.0, T + 2), ("2", 5.0, T + 2)], [("2", 6.0, T + 1)]], []),
    ],
)
def test_parts_that_come_once_more_say_nothing_new(
    messages: list[list[Part]], last: list[tuple[float, int | None]]
) -> None:
    def read(found: Found, message: list[Part]) -> list[tuple[float, int | None]]:
        for part in message:
            found.add_part("m", "register", *part)
        return told(found)

    for count in range(1, len(messages) + 1):
        found = Found(SourceState())
        said = [read(found, message) for message in messages]
        assert said[-1] == last
        for message in messages[-count:]:
            again = {each for each in read(found, message) if each[1] is not None}
            assert again <= {each for values in said for each in values}, (count, message)


def test_a_sum_that_was_said_when_the_other_part_came_is_not_repeated() -> None:
    found = Found(SourceState())
    one(found, "1", 10.0, T)
    one(found, "2", 5.0, T + 1)
    found.add_part("m", "register", "1", 10.0, T)
    found.end_message()
    assert (found.values, found.ignored) == ([], ["repeated"])


def test_clear_forgets_the_message_and_end_message_its_parts() -> None:
    found = Found(SourceState())
    found.add("m", "register", 1.0, T)
    found.add_part("m", "register", "1", 10.0, T)
    found.reject("bad_value", "x")
    found.ignore("command")
    found.flag("ambiguous_time")
    found.clear()
    assert told(found) == []
    assert not (found.rejected or found.ignored or found.flagged or found.requests)
    found.add_part("m", "register", "1", 10.0, T)
    assert len(told(found)) == 1
    assert told(found) == []
