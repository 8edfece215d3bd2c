"""What a link remembers of its subscriptions."""

from __future__ import annotations

from pathlib import Path

import pytest

from monitor.errors import BrokerError
from monitor.ingest.sessions import SubscriptionFile


def test_what_was_saved_is_there_again(tmp_path: Path) -> None:
    memory = SubscriptionFile(tmp_path / "state" / "subscriptions.json")
    assert memory.load("id@host:1883") == frozenset()
    memory.save("id@host:1883", frozenset({"meters/#", "tòa/+"}))
    assert SubscriptionFile(tmp_path / "state" / "subscriptions.json").load("id@host:1883") == {"meters/#", "tòa/+"}
    assert memory.load("id@elsewhere:1883") == frozenset(), "another session has other subscriptions"
    memory.save("id@elsewhere:1883", frozenset({"other"}))
    memory.save("id@elsewhere:1883", frozenset())
    assert memory.load("id@host:1883") == {"meters/#", "tòa/+"}, "links share the file"
    assert memory.load("id@elsewhere:1883") == frozenset()
    assert [path.name for path in (tmp_path / "state").iterdir()] == ["subscriptions.json"]


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"s": 5}', '{"s": null}', "\udcff"])
def test_a_damaged_file_is_no_file(tmp_path: Path, content: str) -> None:
    path = tmp_path / "subscriptions.json"
    path.write_bytes(content.encode("utf-8", "surrogateescape"))
    memory = SubscriptionFile(path)
    assert memory.load("s") == frozenset()
    memory.save("s", frozenset({"a"}))
    assert memory.load("s") == {"a"}


def test_a_file_that_cannot_be_written_is_an_error_of_ours(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BrokerError, match="cannot write down") as caught:
        SubscriptionFile(tmp_path / "file" / "subscriptions.json").save("s", frozenset())
    assert caught.value.retryable
