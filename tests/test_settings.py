"""monitor.yaml: defaults, errors with their lines, and secrets that nothing shows."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel

from monitor.config import check, load_settings
from monitor.config.sources import readers_of, sources_of
from monitor.decoders.formats import FORMATS
from monitor.decoders.options import FieldRule
from monitor.errors import ConfigError
from monitor.settings import BrokerSettings, InfluxSettings, Settings, SourceSettings

SAMPLE = Path(__file__).parent.parent / "config" / "monitor.yaml"
SECRET = "correct horse battery staple"


def load(folder: Path, text: str, env: dict[str, str] | None = None) -> Settings:
    (folder / "monitor.yaml").write_text(text, "utf-8")
    return load_settings(folder, env or {})


def errors(folder: Path, text: str, env: dict[str, str] | None = None) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(folder, text, env)
    return [str(problem) for problem in caught.value.problems]


def flat(section: BaseModel) -> Iterator[BaseModel]:
    """The section and all within it."""
    yield section
    for name in type(section).model_fields:
        value = getattr(section, name)
        for inner in value if isinstance(value, tuple) else (value,):
            if isinstance(inner, BaseModel):
                yield from flat(inner)


def assert_shows(model: BaseModel, given: dict[str, Any], place: str) -> None:
    """Every key of the section stands in the file, in the same order, with the default as its value."""
    assert list(given) == list(type(model).model_fields), place
    for name, value in given.items():
        default = getattr(model, name)
        if isinstance(default, BaseModel):
            assert_shows(default, value, f"{place}{name}.")
        elif isinstance(default, tuple) and default and isinstance(default[0], BaseModel):
            assert len(value) == len(default), name
            for inner, row in zip(default, value, strict=True):
                assert_shows(inner, row, f"{place}{name}.")
        elif isinstance(default, Path):
            assert value == f"./{default}", place + name
        else:
            assert value == (list(default) if isinstance(default, tuple) else default), place + name


def test_the_sample_shows_every_default() -> None:
    assert_shows(Settings(), yaml.safe_load(SAMPLE.read_text("utf-8")), "")
    assert load_settings(SAMPLE.parent, {}) == Settings()


def example(section: str) -> str:
    """The section that the sample shows in a comment."""
    lines = SAMPLE.read_text("utf-8").splitlines()
    start = lines.index(next(line for line in lines if line.startswith(f"# {section}:")))
    block = itertools.takewhile(lambda line: line.startswith("#   "), lines[start + 1 :])
    return "\n".join(line.removeprefix("# ") for line in (lines[start], *block))


def test_the_sample_shows_every_key_of_a_source(tmp_path: Path) -> None:
    text = example("sources")
    (given,) = yaml.safe_load(text)["sources"]
    assert list(given) == list(SourceSettings.model_fields)
    (source,) = sources_of(load(tmp_path, text))
    assert source.format in FORMATS
    assert source.options.fields == {"tag0": FieldRule("register", "kWh", 0.01)}
    assert source.options.modes == {"3": 1}


def test_what_reads_a_topic_is_marked(tmp_path: Path) -> None:
    def marks(memory: int = 7, /, **changes: object) -> dict[str, str]:
        entry = {"name": "a", "format": "homie", "topics": ["homie/#"], **changes}
        settings = load(tmp_path, yaml.safe_dump({"sources": [entry]}))
        return readers_of(settings, settings.brokers[0], memory)

    assert marks() == marks()
    assert list(marks()) == ["homie/#"]
    assert len({marks(**changes)["homie/#"] for changes in ({}, {"name": "b"}, {"format": "mapper"})}) == 3
    assert marks() != marks(fields={"x": {"ignore": True}})
    assert marks() != marks(-7), "what it remembers is gone"


def test_the_sample_shows_every_default_of_influx(tmp_path: Path) -> None:
    text = example("influx")
    given = yaml.safe_load(text)["influx"]
    assert list(given) == list(InfluxSettings.model_fields)
    for name, field in InfluxSettings.model_fields.items():
        assert given[name] == field.default or name in ("org", "bucket"), name
    assert load(tmp_path, text).influx == InfluxSettings(org="example", bucket="energy")


def test_every_key_of_the_sample_has_a_comment() -> None:
    lines = SAMPLE.read_text("utf-8").splitlines()
    start = next(row for row, line in enumerate(lines) if line.startswith("brokers:"))
    bare = [line for line in lines[start:] if line.strip() and " # " not in line.removeprefix("# ")]
    # The names of sections and the keys that the comment above them speaks for.
    assert bare == ["# sources:", "journal:", "checkpoint:", "sqlite:", "# influx:", "quarantine:", "log:"]


def test_no_file_is_all_defaults(tmp_path: Path) -> None:
    assert load_settings(tmp_path, {}) == Settings()


@pytest.mark.parametrize("text", ["", "# nothing\n", "---\n", "journal:\nbrokers:\n", "null\n"])
def test_an_empty_file_and_empty_sections_are_all_defaults(tmp_path: Path, text: str) -> None:
    assert load(tmp_path, text) == Settings()


def test_values_are_taken(tmp_path: Path) -> None:
    settings = load(
        tmp_path,
        """
brokers:
  - {name: hà-nội, url: "mqtts://broker.example", version: 3.1.1, topics: [a/+/b, "#"], share_group: g}
  - {url: "mqtt://[::1]:11883", version: "5"}
state_dir: /var/lib/monitor
sqlite: {path: other.sqlite}
influx: {version: 1, url: "https://influx.example/", database: energy, username: u}
settle_s: 0
revision_horizon_h: 24
log: {format: json, level: debug}
""",
    )
    first, second = settings.brokers
    assert (first.name, first.host, first.port, first.is_encrypted, first.version) == (
        *("hà-nội", "broker.example", 8883),
        *(True, "3.1.1"),
    )
    assert first.subscriptions == ("$share/g/a/+/b", "$share/g/#")
    assert (second.host, second.port, second.is_encrypted, second.version) == ("::1", 11883, False, 5)
    assert second.subscriptions == ("meters/#",)
    assert settings.state_dir == Path("/var/lib/monitor")
    assert settings.sqlite_path == Path("other.sqlite")
    assert settings.influx is not None
    assert (settings.influx.url, settings.influx.database) == ("https://influx.example", "energy")
    assert (settings.settle_s, settings.revision_horizon_h, settings.log.format) == (0, 24, "json")


def test_sqlite_lies_in_the_state_folder() -> None:
    assert Settings(state_dir=Path("/var/lib/monitor")).sqlite_path == Path("/var/lib/monitor/monitor.sqlite")


def test_settings_do_not_change() -> None:
    for section in flat(Settings()):
        with pytest.raises(ValueError, match="frozen"):
            setattr(section, next(iter(type(section).model_fields)), None)


SOURCE = "sources:\n  - name: a\n    topics: [x]\n"
ERRORS = [
    ("foo: 1\n", 1, "foo: unknown key"),
    ("settle: 1\n", 1, "did you mean 'settle_s'?"),
    ("\njournal:\n  commit_interval: 1\n", 3, "journal.commit_interval: unknown key"),
    ("journal:\n  segment_max_mb: 0\n", 2, "found '0', expected greater than 0"),
    ("journal:\n  segment_max_mb: .nan\n", 2, "journal.segment_max_mb"),
    ("journal:\n  commit_readings: 1.5\n", 2, "expected a valid integer"),
    ("journal: 5\n", 1, "journal: found '5'"),
    ("settle_s: soon\n", 1, "found 'soon', expected a valid number"),
    ("settle_s: yes\n", 1, "found 'yes', expected a valid number"),
    ("settle_s: 1\nsettle_s: 2\n", 2, "given twice, first in line 1"),
    ("state_dir: 5\n", 1, "expected a path"),
    ("log:\n  level: INFO\n", 2, "expected 'debug', 'info', 'warning' or 'error'"),
    ("metrics: {port: 70000}\n", 1, "less than or equal to 65535"),
    ("outbox:\n  retry_min_s: 10\n  retry_max_s: 5\n", 1, "retry_max_s is less"),
    ("brokers: []\n", 1, "at least one entry"),
    ("brokers: {url: x}\n", 1, "brokers"),
    ("brokers:\n  - url: http://x\n", 2, "brokers[1].url: found 'http://x', expected a url as mqtt://"),
    ("brokers:\n  - url: mqtt://x:99999\n", 2, "not a url"),
    ("brokers:\n  - url: mqtt://x/topic\n", 2, "nothing after host and port"),
    ("brokers:\n  - name: a\n  - name: a\n", 1, "two brokers have the name 'a'"),
    ("brokers:\n  - version: 4\n", 2, "expected 5 or '3.1.1'"),
    ("brokers:\n  - topics: [a/#/b]\n", 2, "brokers[1].topics[1]"),
    ("brokers:\n  - topics: [a+]\n", 2, "+ only as a whole level"),
    ("brokers:\n  - topics: [$share/g/a]\n", 2, "share_group"),
    ("brokers:\n  - topics: []\n", 2, "no source is for it"),
    ("brokers: []\n", 1, "at least one entry"),
    (f"{SOURCE}    format: tasmoto\n", 4, "did you mean 'tasmota'"),
    (f"{SOURCE}    format: tasmota\n    timezone: Asia/Hanoy\n", 5, "expected an IANA timezone"),
    (f"{SOURCE}    format: tasmota\n    broker: other\n", 5, "expected the name of a broker"),
    (f"{SOURCE}    format: tasmota\n    options: {{typo: 1}}\n", 5, "unknown key"),
    (f"{SOURCE}    format: tasmota\n    topics: [a]\n", 5, "twice"),
    (f"{SOURCE}    format: homie\n    id: {{topic: 0}}\n", 5, "count from 1"),
    (f"{SOURCE}    format: homie\n    id: {{topic: 1, fixed: x}}\n", 5, "one of topic, path and fixed"),
    (f"{SOURCE}    format: homie\n    id: {{path: a..b}}\n", 5, "expected a key"),
    (f"{SOURCE}    format: homie\n    id: {{path: 'a[*].b'}}\n", 5, "in one place"),
    (f"{SOURCE}    format: homie\n    fields: {{a: {{quantity: registr}}}}\n", 5, "did you mean 'register'"),
    (f"{SOURCE}    format: homie\n    fields: {{a: {{unit: parsec}}}}\n", 5, "expected a unit"),
    (f"{SOURCE}    format: homie\n    fields: {{a: {{quantity: register, unit: kW}}}}\n", 5, "no unit of register"),
    (f"{SOURCE}    format: homie\n    fields: {{a: {{unti: kW}}}}\n", 5, "did you mean 'unit'"),
    (f"{SOURCE}    format: homie\n    modes: {{'1': colder}}\n", 5, "expected one of off, cool"),
    (f"{SOURCE}    format: homie\n    scale: {{energy: 1}}\n", 5, "expected one of register"),
    (f"{SOURCE}    format: native\n    timezone: UTC\n", 5, "no effect on the native format"),
    (f"{SOURCE}    format: homie\n  - {{name: a, topics: [b], format: esphome}}\n", 1, "two sources have the name"),
    ("brokers:\n  - topics: a\n", 2, "brokers[1].topics"),
    ("brokers:\n  - share_group: a/b\n", 2, "without /, + and #"),
    ("brokers:\n  - client_id: 12\n", 2, "found '12', expected a valid string, as it is in quotes"),
    (
        f"{SOURCE}    format: homie\n    fields: {{a: {{quantity: on}}}}\n",
        5,
        "found 'on', expected a valid string, as it",
    ),
    ("sources:\n  - {name: a, format: homie}\n", 2, "sources[1].topics: missing"),
    ("brokers:\n  - receive_maximum: 0\n", 2, "greater than or equal to 1"),
    ("brokers:\n  - ca_file: x\n", 2, "no effect with mqtt://"),
    ("brokers:\n  - url: mqtts://x\n    cert_file: x\n", 2, "belong together"),
    ("brokers:\n  - url: mqtts://x\n    ca_file: x\n", 3, "ca_file: found"),
    ("brokers:\n  - password_env: A\n", 2, "without username"),
    ("brokers:\n  - username: u\n    password_env: A\n", 3, "environment variable A is not set"),
    ("brokers:\n  - username: u\n    password_file: a\n", 3, "cannot be read"),
    ("brokers:\n  - username: u\n    password_file: a\n    password_env: A\n", 2, "both given"),
    ("influx: {url: ftp://x}\n", 1, "influx.url"),
    ("influx:\n  version: 2\n", 1, "needs org and bucket"),
    ("influx:\n  version: 1\n", 1, "needs database"),
    ("influx:\n  version: 3\n", 1, "needs database"),
    ("influx: {version: 3, database: d, token_env: A}\n", 1, "influx.token_env"),
    ("a: [\n", 2, "not valid YAML"),
    ("- 1\n", 1, "found a list"),
]


@pytest.mark.parametrize(("text", "line", "found"), ERRORS)
def test_errors(tmp_path: Path, text: str, line: int, found: str) -> None:
    problems = errors(tmp_path, text)
    assert len(problems) == 1, problems
    assert problems[0].startswith(f"monitor.yaml:{line} ") or problems[0].startswith(f"monitor.yaml:{line}: ")
    assert found in problems[0]


def test_every_error_at_once(tmp_path: Path) -> None:
    problems = errors(tmp_path, "foo: 1\nsettle_s: -1\nlog: {level: 1}\nbrokers:\n  - url: x\n    keepalive_s: 0\n")
    assert len(problems) == 5
    sources = "sources:\n  - {name: a, format: homey, topics: [a], broker: b}\n  - {name: b, format: homie}\n"
    problems = errors(tmp_path, f"{sources}  - {{name: c, format: homie, topics: [c], timezone: Mars}}\n")
    assert [problem.partition(": ")[0] for problem in problems] == [
        "monitor.yaml:3 sources[2].topics",
        "monitor.yaml:2 sources[1].format",
        "monitor.yaml:4 sources[3].timezone",
    ]


def test_an_alias_that_holds_itself_is_an_error(tmp_path: Path) -> None:
    assert any("nested too deeply" in problem for problem in errors(tmp_path, "journal: &a {x: *a}\n"))


@pytest.mark.parametrize(
    "text",
    [
        f"brokers:\n  - password: {SECRET}\n",
        f"brokers:\n  - username: u\n    password_env: {SECRET}\n",
        f"brokers:\n  - url: mqtt://u:{SECRET.replace(' ', '-')}@host\n",
        f"influx: {{version: 3, database: d, token: {SECRET}}}\n",
        f"influx: {{version: 3, database: d, token_env: {SECRET}}}\n",
        f"influx: {{version: 3, database: d, password: [{SECRET}]}}\n",
    ],
)
def test_no_error_shows_a_secret(tmp_path: Path, text: str) -> None:
    problems = errors(tmp_path, text)
    assert problems
    assert not any("horse" in problem for problem in problems)


def test_a_secret_in_the_file_is_told_where_it_belongs(tmp_path: Path) -> None:
    (problem,) = errors(tmp_path, f"brokers:\n  - password: {SECRET}\n")
    assert "use password_env or password_file" in problem


def test_secrets_are_read_when_used_and_shown_by_nothing(tmp_path: Path) -> None:
    (tmp_path / "token").write_text(f"{SECRET}\n", "utf-8")
    env = {"MQTT_PASSWORD": SECRET}
    settings = load(
        tmp_path,
        """
brokers: [{username: u, password_env: MQTT_PASSWORD}]
influx: {org: o, bucket: b, token_file: token}
""",
        env,
    )
    assert settings.influx is not None
    password, token = settings.brokers[0].password(env), settings.influx.token(env)
    assert password is not None
    assert token is not None
    assert password.get_secret_value() == token.get_secret_value() == SECRET
    assert settings.influx.password(env) is None
    shown = [repr(settings), str(settings), settings.model_dump_json(), repr(settings.model_dump()), repr(password)]
    assert not any("horse" in text for text in shown)

    env["MQTT_PASSWORD"] = "another"
    password = settings.brokers[0].password(env)
    assert password is not None
    assert password.get_secret_value() == "another"


@pytest.mark.parametrize("content", [b"", b"\nsecond line\n", b"\xff\n"])
def test_a_secret_file_without_a_secret_is_an_error(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "password").write_bytes(content)
    (problem,) = errors(tmp_path, "brokers:\n  - username: u\n    password_file: password\n")
    assert problem.startswith("monitor.yaml:3 brokers[1].password_file")


def test_files_are_looked_for_in_the_folder(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("x")
    settings = load(tmp_path, "brokers: [{url: 'mqtts://x', ca_file: ca.pem}]\n")
    assert settings.brokers[0].ca_file == tmp_path / "ca.pem"


def test_broker_defaults_stand_alone() -> None:
    assert BrokerSettings().port == 1883
    assert BrokerSettings().password({}) is None


@pytest.mark.parametrize(
    ("version", "needed", "other"),
    [
        (1, "database: d", "org: o"),
        (1, "database: d", "token_env: T"),
        (2, "org: o, bucket: b", "username: u"),
        (2, "org: o, bucket: b", "database: d"),
        (3, "database: d", "retention_policy: r"),
    ],
)
def test_what_belongs_to_another_version_is_said(version: int, needed: str, other: str, tmp_path: Path) -> None:
    (tmp_path / "monitor.yaml").write_text(f"influx: {{version: {version}, {needed}, {other}}}\n")
    with pytest.raises(ConfigError, match=f"{other.split(':')[0]} has no effect with version {version}"):
        load_settings(tmp_path, {"T": "secret"})


def test_a_source_with_a_control_character_in_its_name_is_doubted(tmp_path: Path) -> None:
    names = ["pl\\tugs", "pl\\x1b[31m", "pl\\x85", "ổ cắm", "plugs 2"]
    listed = ", ".join(f'{{name: "{name}", format: homie, topics: ["{row}/#"]}}' for row, name in enumerate(names))
    (tmp_path / "monitor.yaml").write_text(f"sources: [{listed}]\n", "utf-8")
    found = [problem for problem in check(tmp_path, {}, 0) if problem.file == "monitor.yaml"]
    assert [(problem.column, problem.warning) for problem in found] == [
        (f"sources[{number}].name", True) for number in (1, 2, 3)
    ]
    assert "found 'pl\\tugs', which holds a control character" in found[0].found
    assert all(problem.found.isprintable() for problem in found)


def test_what_is_hardly_meant_is_a_warning(tmp_path: Path) -> None:
    text = """
brokers: [{name: main, share_group: two}]
sources:
  - {name: wide, format: homie, topics: ["a/#"]}
  - {name: narrow, format: esphome, topics: ["b/c", "a/+/c"]}
  - {name: own, format: native, topics: ["a/x"], broker: main}
"""
    (tmp_path / "monitor.yaml").write_text(text)
    warnings = [str(problem) for problem in check(tmp_path, {}, 0) if problem.file == "monitor.yaml"]
    assert len(warnings) == 4
    assert sum("'a/+/c' is read by 'wide'" in each and "sources[2].topics[2]" in each for each in warnings) == 1
    assert sum("'a/x' is read by 'wide'" in each for each in warnings) == 1
    assert sum("share_group" in each for each in warnings) == 2
    assert all("warning" in each for each in warnings)


@pytest.mark.parametrize(
    ("wide", "narrow", "covers"),
    [
        ("#", "a/b", True),
        ("a/#", "a/b/#", True),
        ("a/+", "a/b", True),
        ("a/+", "a/#", False),
        ("a/b", "a/+", False),
        ("a/b", "a/b", True),
        ("a/b/c", "a/b", False),
        ("a", "a/b", False),
    ],
)
def test_filters_that_leave_nothing_to_others(tmp_path: Path, wide: str, narrow: str, covers: bool) -> None:
    text = (
        f"sources: [{{name: x, format: homie, topics: ['{wide}']}}, {{name: y, format: homie, topics: ['{narrow}']}}]"
    )
    (tmp_path / "monitor.yaml").write_text(text)
    warnings = [problem for problem in check(tmp_path, {}, 0) if "stands before it" in problem.found]
    assert bool(warnings) is covers
