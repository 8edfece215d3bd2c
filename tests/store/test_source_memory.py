"""What sources remember, and ids that nobody knows, in their file."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from monitor.store import schema, source_memory
from monitor.store.source_memory import SourceMemory, Unmapped, read_unmapped


def seen(source_id: str, seen_ms: int, **values: float) -> Unmapped:
    return Unmapped("gw", source_id, f"topic/{source_id}", seen_ms, values)


def test_state_comes_back_in_the_order_of_its_changes(tmp_path: Path) -> None:
    path = tmp_path / "monitor.sqlite"
    memory = SourceMemory(path)
    memory.save({"a": {"1": b"x", "2": b"y"}, "b": {"1": b"z"}}, ())
    memory.save({"a": {"1": b"xx", "3": b"w"}}, ())
    memory.save({"a": {"2": None}}, ())
    memory.close()
    again = SourceMemory(path)
    assert {name: list(entries.items()) for name, entries in again.state().items()} == {
        "a": [("1", b"xx"), ("3", b"w")],
        "b": [("1", b"z")],
    }
    again.close()


def test_a_file_that_is_begun_anew_is_known_as_another(tmp_path: Path) -> None:
    path = tmp_path / "monitor.sqlite"
    identities = []
    for is_lost in (False, False, True):
        if is_lost:
            path.unlink()
        memory = SourceMemory(path)
        identities.append(memory.identity)
        memory.close()
    assert identities[0] == identities[1] != identities[2]


def test_a_change_does_not_read_all_that_is_remembered(tmp_path: Path) -> None:
    memory = SourceMemory(tmp_path / "monitor.sqlite")
    memory.save({"a": {str(number): bytes(100) for number in range(10_000)}}, ())
    steps = 0

    def count() -> int:
        nonlocal steps
        steps += 1
        return 0

    memory._db.set_progress_handler(count, 1)
    memory.save({"a": {"1": b"x"}}, ())
    assert steps < 1000
    memory._db.set_progress_handler(None, 0)
    assert list(memory.state()["a"])[-1] == "1"
    memory.close()


def test_sources_that_are_gone_are_forgotten(tmp_path: Path) -> None:
    memory = SourceMemory(tmp_path / "monitor.sqlite")
    changes = {"gw": {"1": b"x"}, "b'": {"1": b"y"}, "gone": {"1": b"z"}}
    memory.save(changes, [seen("m", 1, register=1.0)._replace(quarantined_ms=1)])
    memory.keep_only(["gw", "b'"])
    assert list(memory.state()) == ["b'", "gw"]
    assert list(memory.quarantined()) == [("gw", "m")]
    memory.keep_only([])
    assert memory.state() == {}
    assert memory.quarantined() == {}
    memory.close()


def test_keys_may_be_any_text(tmp_path: Path) -> None:
    memory = SourceMemory(tmp_path / "monitor.sqlite")
    memory.save({"a": {"\ud800": b"x", "'\"\n": b"y"}}, [seen("\udfff", 1, register=float("inf"))])
    assert len(memory.state()["a"]) == 2
    memory.close()
    assert len(read_unmapped(tmp_path / "monitor.sqlite")) == 1


def test_an_unmapped_id_keeps_its_first_time_and_each_last_value(tmp_path: Path) -> None:
    path = tmp_path / "monitor.sqlite"
    memory = SourceMemory(path)
    memory.save({}, [seen("m", 10, register=1.0), seen("n", 11, power_kw=2.0)])
    memory.save({}, [seen("m", 20, power_kw=0.5)])
    found = read_unmapped(path)
    assert [(each.unmapped.source_id, each.first_ms, each.unmapped.seen_ms) for each in found] == [
        ("m", 10, 20),
        ("n", 11, 11),
    ]
    assert found[0].unmapped.values == {"register": 1.0, "power_kw": 0.5}
    assert found[0].unmapped.topic == "topic/m"
    memory.close()


def test_when_an_id_was_quarantined_is_kept_apart_from_when_it_was_seen(tmp_path: Path) -> None:
    memory = SourceMemory(tmp_path / "monitor.sqlite")
    memory.save({}, [seen(each, at_ms)._replace(quarantined_ms=at_ms) for each, at_ms in (("m", 10), ("n", 5))])
    memory.save({}, [seen("m", 20), seen("n", 30)._replace(quarantined_ms=30), seen("o", 40)])
    assert list(memory.quarantined().items()) == [(("gw", "m"), 10), (("gw", "n"), 30)]
    memory.close()


def test_a_file_of_before_begins_the_period_at_what_was_seen_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "monitor.sqlite"
    with monkeypatch.context() as earlier:
        earlier.setattr(schema, "MIGRATIONS", schema.MIGRATIONS[:2])
        with closing(schema.connect(path)) as db:
            db.execute("INSERT INTO unmapped VALUES ('gw', 'm', 't', 10, 20, '{}')")
        assert [each.first_ms for each in read_unmapped(path)] == [10]
    memory = SourceMemory(path)
    assert memory.quarantined() == {("gw", "m"): 20}
    memory.close()


def test_the_ids_not_seen_for_longest_make_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source_memory, "MAX_UNMAPPED", 3)
    memory = SourceMemory(tmp_path / "monitor.sqlite")
    for number in range(5):
        memory.save({}, [seen(f"m{number}", number, register=1.0)])
    memory.save({}, [seen("m2", 9, register=1.0), seen("m9", 8, register=1.0)])
    memory.close()
    assert [each.unmapped.source_id for each in read_unmapped(tmp_path / "monitor.sqlite")] == ["m2", "m4", "m9"]
