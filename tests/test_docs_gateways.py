"""docs/gateways.md: every format has a section, and what stands there works as it stands."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from monitor.config import check, load_registry, load_settings
from monitor.config.sources import sources_of
from monitor.decoders.decoded import Limits
from monitor.decoders.formats import FORMATS
from monitor.decoders.routing import SourceDecoder, Sources
from monitor.decoders.sources import Source, topic_matches
from monitor.decoders.times import iso_ms
from monitor.decoders.trial import Trial
from monitor.ingest.message import Message

PAGE = Path(__file__).parent.parent / "docs" / "gateways.md"
RECEIVED_MS = iso_ms("2026-06-28T09:15:00Z")
POLICY = "id: p\nwindows:\n  - {period: peak, from: '17:30', to: '22:30'}\nac: {cool_min_c: 26}\n"
_HEADING = re.compile(r"^## .*\(`([a-z0-9_]+)`\)$", re.MULTILINE)
_FENCE = re.compile(
    r"^(?:Topics? (?P<topics>`[^\n]*):\n\n)?```(?P<kind>[a-z-]+)\n(?P<text>.*?)^```$", re.DOTALL | re.MULTILINE
)


class Block(NamedTuple):
    kind: str
    text: str
    topics: list[str]


class Section(NamedTuple):
    format: str
    blocks: list[Block]

    def of(self, *kinds: str) -> list[Block]:
        return [block for block in self.blocks if block.kind in kinds]


def sections() -> list[Section]:
    page = PAGE.read_text("utf-8")
    marks = [*_HEADING.finditer(page)]
    ends = [mark.start() for mark in marks[1:]] + [len(page)]
    return [
        Section(
            mark[1],
            [
                Block(each["kind"], each["text"], re.findall(r"`([^`]+)`", each["topics"] or ""))
                for each in _FENCE.finditer(page[mark.end() : end])
            ],
        )
        for mark, end in zip(marks, ends, strict=True)
    ]


SECTIONS = sections()
IDS = [section.format for section in SECTIONS]


def configured(folder: Path, section: Section) -> tuple[Source, ...]:
    """The sources in the folder of an installer who copies the section."""
    (block,) = section.of("yaml")
    (devices,) = section.of("csv")
    (folder / "policies").mkdir()
    (folder / "policies" / "p.yaml").write_text(POLICY)
    header, *rows = devices.text.splitlines()
    place = header.split(",").index("building")
    buildings = dict.fromkeys(row.split(",")[place] for row in rows)
    lines = "".join(f"{building},Asia/Ho_Chi_Minh,p\n" for building in buildings)
    (folder / "buildings.csv").write_text(f"id,timezone,policy\n{lines}")
    (folder / "devices.csv").write_text(devices.text)
    (folder / "monitor.yaml").write_text(block.text)
    return sources_of(load_settings(folder, {}))


def test_every_format_has_its_section_in_the_order_of_the_table() -> None:
    assert [name for name in IDS if name != "native"] == [name for name in FORMATS if name != "native"]


@pytest.mark.parametrize("section", SECTIONS, ids=IDS)
def test_the_configuration_is_without_error(tmp_path: Path, section: Section) -> None:
    sources = configured(tmp_path, section)
    problems = check(tmp_path, {}, RECEIVED_MS)
    assert [str(problem) for problem in problems if not problem.warning] == []
    assert {source.format for source in sources} == {section.format}


@pytest.mark.parametrize("section", SECTIONS, ids=IDS)
def test_examples_give_what_the_page_says_and_reach_its_devices(tmp_path: Path, section: Section) -> None:
    sources = configured(tmp_path, section)
    registry, _ = load_registry(tmp_path, now_ms=RECEIVED_MS)
    examples = [block for block in section.blocks if block.topics]
    results = section.of("json-lines")
    assert len(examples) == len(results) >= len(sources)
    reached: set[str] = set()
    for example, result in zip(examples, results, strict=True):
        (source,) = [each for each in sources if any(topic_matches(example.topics[0], topic) for topic in each.topics)]
        messages = messages_of(example)
        trial = Trial(source, Limits(max_age_d=None))
        lines = [line for message in messages for line in trial.read(message)]
        assert [plain(line) for line in lines] == [plain(json.loads(line)) for line in result.text.splitlines()]
        decoded = SourceDecoder(registry, Limits(), Sources(sources, Limits())).decode(messages)
        assert [each.reason for each in decoded.rejects] == [line["rejected"] for line in lines if "rejected" in line]
        reached |= {registry.devices[row].id for row in decoded.columns.device}
    assert reached, "no device of the section takes a value of its examples"


def messages_of(example: Block) -> list[Message]:
    """One message of the whole block, or one of each of its lines where there are several topics."""
    payloads = [example.text.removesuffix("\n")] if len(example.topics) == 1 else example.text.splitlines()
    assert len(payloads) == len(example.topics), example
    return [
        Message(topic, payload_of(payload), False, RECEIVED_MS, "main")
        for topic, payload in zip(example.topics, payloads, strict=True)
    ]


def payload_of(text: str) -> bytes:
    # A telegram's line ends are part of it, and a page has its own.
    return text.replace("\n", "\r\n").encode() if text.startswith("/") else text.encode()


def plain(line: dict[str, Any]) -> dict[str, Any]:
    kept = {key: value for key, value in line.items() if key not in ("detail", "topic")}
    return {**kept, "value": pytest.approx(kept["value"], rel=1e-12)} if "value" in kept else kept
