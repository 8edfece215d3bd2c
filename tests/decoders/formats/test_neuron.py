"""Neuron: what fixtures cannot say."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest

from monitor.decoders.formats.dlt645 import address_of
from monitor.decoders.formats.neuron import Neuron
from monitor.decoders.options import Options
from monitor.decoders.state import SourceState
from monitor.decoders.values import Found, UnreadableError
from monitor.ingest.message import Message


def read(document: Any, reader: Neuron | None = None) -> Found:
    found = Found(SourceState())
    payload = document if isinstance(document, bytes) else json.dumps(document).encode()
    (reader or Neuron(Options(), SourceState())).read(Message("/neuron/a", payload, False, 0, "main"), found)
    found.end_message()
    return found


@pytest.mark.parametrize(
    ("name", "quantity", "tariff"),
    [
        ("1#00-00-00-00", "register", ""),
        ("1#00-01-3f-00", "register", "3f"),
        ("AA01#00-02-01-00", "export_register", "01"),
        ("1#02-03-00-00", "power_kw", ""),
    ],
)
def test_addresses(name: str, quantity: str, tariff: str) -> None:
    address = address_of(name)
    assert address is not None
    assert (address.quantity, address.tariff) == (quantity, tariff)


@pytest.mark.parametrize(
    "name",
    ["", "#", "1#", "#00-00-00-00", "1#00-00-00", "1#00-01-40-00", "1#00-01-00-01", "1#00-03-00-00", "1#02-03-01-00",
     "1#04-00-01-01", "1#00-00-00-00 ", "12345678901234567#00-00-00-00", "1#2-3-0-0"],
)  # fmt: skip
def test_what_is_no_reading_at_an_address(name: str) -> None:
    assert address_of(name) is None


def test_values_and_tags_say_the_same() -> None:
    head = {"timestamp": 1_782_637_200_250, "node": "n", "group": "g"}
    values: dict[str, Any] = {"kwh": 1.5, "power_w": "20", "on": True, "mode": "cool", "3#00-01-00-00": 7, "x": None}
    tags = [{"name": name, "value": value} for name, value in values.items()]
    assert read({**head, "values": values}).values == read({**head, "tags": tags}).values


@pytest.mark.parametrize(
    "document",
    [b"", b"5", b"null", b'"x"', {}, {"values": []}, {"tags": {}}, {"tags": [None]}, {"values": {"kwh": {}}},
     {"node": [], "group": {}, "values": {"kwh": [1]}}, {"a": {"b": {"c": {"d": {"e": {}}}}}},
     {"metas": 5, "values": {}},
     {"metas": {"kwh": 5}, "values": {"kwh": 1}}, {"timestamp": 10**300, "values": {"kwh": 1}}],
)  # fmt: skip
def test_nothing_but_unreadable_leaves(document: Any) -> None:
    with contextlib.suppress(UnreadableError):
        read(document)


def test_shapes_known_are_bounded() -> None:
    reader = Neuron(Options(), SourceState())
    for number in range(1000):
        read({"node": "n", "group": "g", "values": {f"{number}#00-00-00-00": 1}}, reader)
    read({"node": "n", "group": "g", "values": {"x" * 100_000: 1}}, reader)
    assert len(reader._addresses) <= 300
    assert max(len(key) for shape in reader._addresses for key in shape) < 4000
