"""Words for modes and switches."""

from __future__ import annotations

import math
from typing import Any

import pytest

from monitor.decoders.words import MODE_WORDS, SWITCH_WORDS, mode_number, switch_value


@pytest.mark.parametrize(("word", "mode"), MODE_WORDS.items())
def test_every_word_is_a_mode_however_it_is_written(word: str, mode: int) -> None:
    assert 0 <= mode <= 5
    spellings = (word, word.upper(), word.title(), f" {word}\n", word.replace("_", " "), word.replace("_", "-"))
    assert {mode_number(each) for each in spellings} == {mode}


@pytest.mark.parametrize(
    ("raw", "mode"), [(0, 0), (5, 5), (3.0, 3), ("4", 4), (" 2 ", 2), ("Fan Only", 4), ("heat-cool", 5)]
)
def test_numbers_are_ours(raw: Any, mode: int) -> None:
    assert mode_number(raw) == mode


def test_what_is_no_mode() -> None:
    numbers = (6, -1, 2.5, math.nan, math.inf, 1e300, 10**5000)
    words = ("6", "25", "", "eco", "²", "x" * 100_000, "-0", "1.0")
    others: tuple[object, ...] = (None, True, False, [], {}, b"cool")
    for raw in (*numbers, *words, *others):
        assert mode_number(raw) is None


def test_the_installers_words_come_first() -> None:
    modes = {"1": 2, "eco": 5, "cool": 1, "sưởi ấm": 2, "17": 4}
    assert mode_number(1, modes) == mode_number("1", modes) == mode_number(1.0, modes) == 2
    assert mode_number("ECO", modes) == 5
    assert mode_number("Sưởi Ấm", modes) == 2
    assert mode_number(17, modes) == 4
    assert mode_number(0, modes) == 0
    assert mode_number(True, modes) is None


@pytest.mark.parametrize(("word", "state"), SWITCH_WORDS.items())
def test_every_word_is_a_switch(word: str, state: float) -> None:
    assert state in (0.0, 1.0)
    assert {switch_value(each) for each in (word, word.upper(), f" {word} ")} == {state}


@pytest.mark.parametrize(("raw", "state"), [(True, 1.0), (False, 0.0), (1, 1.0), (0, 0.0), (1.0, 1.0), (0.0, 0.0)])
def test_switches_that_are_no_words(raw: Any, state: float) -> None:
    assert switch_value(raw) == state


def test_what_is_no_switch() -> None:
    raws: tuple[object, ...] = (2, 0.5, "", "maybe", "2", None, [], {}, math.nan, math.inf, 10**5000, b"on")
    for raw in raws:
        assert switch_value(raw) is None
