"""monitor.yaml: what the service connects to and where it writes. Schema, defaults, secrets.

Secrets are never part of the settings: a setting names an environment variable or a file, and the value is read when
it is used. So no print, log line or error can show one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    model_validator,
)
from pydantic_core import PydanticCustomError

from monitor.errors import ConfigError, Problem

__all__ = [
    "BrokerSettings",
    "CheckpointSettings",
    "FieldSettings",
    "IdSettings",
    "InfluxSettings",
    "JournalSettings",
    "LogSettings",
    "MetricsSettings",
    "OutboxSettings",
    "QuarantineSettings",
    "Settings",
    "SourceSettings",
    "SqliteSettings",
    "read_secret",
]

SETTINGS_FILE = "monitor.yaml"
T = TypeVar("T")
_ENVIRONMENT_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)


def _bad(text: str) -> PydanticCustomError:
    return PydanticCustomError("monitor", "{text}", {"text": text})


def _split_url(url: str, schemes: tuple[str, ...], example: str) -> str:
    # The url is not repeated where it may hold a password.
    try:
        parts = urlsplit(url)
        port_is_good = parts.port is None or parts.port > 0
    except ValueError:
        raise _bad(f"not a url; expected one as {example}") from None
    if parts.username is not None or parts.password is not None:
        raise _bad("user and password do not belong in a url; use username and password_env or password_file")
    if parts.scheme not in schemes or not parts.hostname or not port_is_good:
        raise _bad(f"found {url!r}, expected a url as {example}")
    return url


def _broker_url(url: str) -> str:
    url = _split_url(url, ("mqtt", "mqtts"), "mqtt://broker.example or mqtts://broker.example:8883")
    parts = urlsplit(url)
    if parts.path not in ("", "/") or parts.query or parts.fragment:
        raise _bad(f"found {url!r}, expected nothing after host and port")
    return url


def _http_url(url: str) -> str:
    return _split_url(url, ("http", "https"), "http://influx.example:8086").rstrip("/")


def _environment_name(name: str) -> str:
    if _ENVIRONMENT_NAME.fullmatch(name) is None:
        raise _bad("expected the name of an environment variable, not a value")
    return name


def _topic_filter(topic: str) -> str:
    levels = topic.split("/")
    if topic.startswith("$share/"):
        raise _bad(f"found {topic!r}; give the group in share_group and the plain topic here")
    if "#" in "".join(levels[:-1]) or any(len(level) > 1 and ("#" in level or "+" in level) for level in levels):
        raise _bad(f"found {topic!r}, expected # only as the last level and + only as a whole level")
    if "\0" in topic or len(topic.encode()) > 65_535:
        raise _bad("not a topic that MQTT allows")
    return topic


def _share_group(group: str) -> str:
    if set(group) & set("/+#"):
        raise _bad(f"found {group!r}, expected a name without /, + and #")
    return group


def _not_empty(values: tuple[T, ...]) -> tuple[T, ...]:
    # min_length would count only the good values, and complain of an empty list where one value is bad.
    if not values:
        raise _bad("found an empty list, expected at least one entry")
    return values


def _raise_all(*checks: tuple[object, str]) -> None:
    """One error that says everything that is wrong between the keys of a section."""
    wrong = [text for is_wrong, text in checks if is_wrong]
    if wrong:
        raise _bad("; ".join(wrong))


def _unquoted(version: object) -> object:
    """A version number means the same in quotes and without."""
    return int(version) if isinstance(version, str) and version.isascii() and version.isdecimal() else version


def _unbooled(mode: object) -> object:
    """YAML reads an unquoted off as false."""
    return "off" if mode is False else mode


EnvironmentName = Annotated[str, AfterValidator(_environment_name)]
LocalPath = Annotated[Path, Field(strict=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Text = Annotated[str, Field(min_length=1)]
TopicFilter = Annotated[Text, AfterValidator(_topic_filter)]


class _Section(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, hide_input_in_errors=True)


class BrokerSettings(_Section):
    """One MQTT broker. `password` reads the secret at the time of the call."""

    name: Text = "main"
    url: Annotated[str, AfterValidator(_broker_url)] = "mqtt://127.0.0.1:1883"
    client_id: Text = "meter-monitor"
    username: str | None = None
    password_env: EnvironmentName | None = None
    password_file: LocalPath | None = None
    ca_file: LocalPath | None = None
    cert_file: LocalPath | None = None
    key_file: LocalPath | None = None
    version: Annotated[Literal[5, "3.1.1"], BeforeValidator(_unquoted)] = 5
    topics: Annotated[tuple[TopicFilter, ...], Field(strict=False)] = ("meters/#",)
    share_group: Annotated[Text, AfterValidator(_share_group)] | None = None
    session_expiry_s: Annotated[int, Field(ge=1, le=4_294_967_295)] = 604_800
    receive_maximum: Annotated[int, Field(ge=1, le=65_535)] = 5_000
    keepalive_s: Annotated[int, Field(ge=1, le=65_535)] = 60
    reconnect_min_s: Positive = 1.0
    reconnect_max_s: Positive = 60.0

    @property
    def is_encrypted(self) -> bool:
        return urlsplit(self.url).scheme == "mqtts"

    @property
    def host(self) -> str:
        return urlsplit(self.url).hostname or ""

    @property
    def port(self) -> int:
        return urlsplit(self.url).port or (8883 if self.is_encrypted else 1883)

    @property
    def subscriptions(self) -> tuple[str, ...]:
        """The topic filters as they are sent to the broker."""
        if self.share_group is None:
            return self.topics
        return tuple(f"$share/{self.share_group}/{topic}" for topic in self.topics)

    def password(self, env: Mapping[str, str]) -> SecretStr | None:
        """Raises `ConfigError` if the variable or file that is named is not there."""
        return read_secret(env, self.password_env, self.password_file, f"brokers {self.name} password")

    @model_validator(mode="after")
    def _check(self) -> Self:
        _raise_all(
            (self.password_env and self.password_file, "password_env and password_file are both given; keep one"),
            (
                (self.password_env or self.password_file) and self.username is None,
                "a password without username; give both",
            ),
            ((self.cert_file is None) != (self.key_file is None), "cert_file and key_file belong together"),
            (
                not self.is_encrypted and (self.ca_file or self.cert_file),
                "ca_file, cert_file and key_file have no effect with mqtt://; use mqtts://",
            ),
            (self.reconnect_max_s < self.reconnect_min_s, "reconnect_max_s is less than reconnect_min_s"),
        )
        return self


class IdSettings(_Section):
    """Where the id of a source's readings stands. One of the three."""

    topic: int | Annotated[tuple[int, ...], Field(strict=False), AfterValidator(_not_empty)] | None = None
    path: Text | None = None
    fixed: Text | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        given = [name for name in ("topic", "path", "fixed") if getattr(self, name) is not None]
        levels = self.topic if isinstance(self.topic, tuple) else (1 if self.topic is None else self.topic,)
        _raise_all(
            (len(given) != 1, f"found {' and '.join(given) or 'nothing'}, expected one of topic, path and fixed"),
            (0 in levels, "found level 0; the levels of a topic count from 1, or from -1 at its end"),
        )
        return self


class FieldSettings(_Section):
    """What one of the payload's own names means."""

    quantity: Text | None = None
    unit: Text | None = None
    scale: Annotated[float, Field(allow_inf_nan=False)] = 1.0
    ignore: bool = False


class SourceSettings(_Section):
    """Messages of one kind of gateway. What formats and units there are, `monitor.config.sources` knows."""

    name: Text
    format: Text
    topics: Annotated[tuple[TopicFilter, ...], Field(strict=False), AfterValidator(_not_empty)]
    broker: Text | None = None
    timezone: Text | None = None
    id: IdSettings | None = None
    fields: dict[str, FieldSettings] = {}
    modes: dict[str, Annotated[str | int, BeforeValidator(_unbooled)]] = {}
    scale: dict[str, Annotated[float, Field(allow_inf_nan=False)]] = {}
    options: dict[str, Any] = {}


class JournalSettings(_Section):
    commit_interval_ms: Positive = 200.0
    commit_readings: Annotated[int, Field(ge=1)] = 50_000
    segment_max_mb: Positive = 64.0
    min_free_mb: NotNegative = 512.0


class CheckpointSettings(_Section):
    interval_s: Positive = 60.0


class SqliteSettings(_Section):
    path: LocalPath | None = None


_OF_VERSION_1 = ("retention_policy", "username", "password_env", "password_file")
_OF_OTHER_VERSIONS = {
    1: ("org", "bucket", "token_env", "token_file"),
    2: ("database", *_OF_VERSION_1),
    3: _OF_VERSION_1,
}


class InfluxSettings(_Section):
    """InfluxDB, or a server that speaks its write API. `password` and `token` read the secret when called."""

    version: Annotated[Literal[1, 2, 3], BeforeValidator(_unquoted)] = 2
    url: Annotated[str, AfterValidator(_http_url)] = "http://127.0.0.1:8086"
    org: str | None = None
    bucket: str | None = None
    database: str | None = None
    retention_policy: str | None = None
    username: str | None = None
    password_env: EnvironmentName | None = None
    password_file: LocalPath | None = None
    token_env: EnvironmentName | None = None
    token_file: LocalPath | None = None
    batch_points: Annotated[int, Field(ge=1, le=1_000_000)] = 5_000
    timeout_s: Positive = 10.0
    gzip: bool = True
    verify_tls: bool = True

    def password(self, env: Mapping[str, str]) -> SecretStr | None:
        """Raises `ConfigError` if the variable or file that is named is not there."""
        return read_secret(env, self.password_env, self.password_file, "influx password")

    def token(self, env: Mapping[str, str]) -> SecretStr | None:
        """Raises `ConfigError` if the variable or file that is named is not there."""
        return read_secret(env, self.token_env, self.token_file, "influx token")

    @model_validator(mode="after")
    def _check(self) -> Self:
        _raise_all(
            (self.password_env and self.password_file, "password_env and password_file are both given; keep one"),
            (self.token_env and self.token_file, "token_env and token_file are both given; keep one"),
            (
                (self.password_env or self.password_file) and self.username is None,
                "a password without username; give both",
            ),
            (self.version == 1 and not self.database, "InfluxDB 1 needs database"),
            (self.version == 2 and not (self.bucket and self.org is not None), "InfluxDB 2 needs org and bucket"),
            (self.version == 3 and not (self.database or self.bucket), "InfluxDB 3 needs database (or bucket)"),
            *(
                (getattr(self, name) is not None, f"{name} has no effect with version {self.version}; take it out")
                for name in _OF_OTHER_VERSIONS[self.version]
            ),
        )
        return self


class OutboxSettings(_Section):
    max_mb: Positive = 1024.0
    retry_min_s: Positive = 1.0
    retry_max_s: Positive = 300.0

    @model_validator(mode="after")
    def _check(self) -> Self:
        _raise_all((self.retry_max_s < self.retry_min_s, "retry_max_s is less than retry_min_s"))
        return self


class QuarantineSettings(_Section):
    max_rows: Annotated[int, Field(ge=1)] = 100_000


class MetricsSettings(_Section):
    host: Text = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65_535)] = 9464


class LogSettings(_Section):
    format: Literal["text", "json"] = "text"
    level: Literal["debug", "info", "warning", "error"] = "info"


class Settings(_Section):
    """All of monitor.yaml. Frozen; `monitor.config.load_settings` reads it."""

    brokers: Annotated[tuple[BrokerSettings, ...], Field(strict=False), AfterValidator(_not_empty)] = (
        BrokerSettings(),
    )
    sources: Annotated[tuple[SourceSettings, ...], Field(strict=False)] = ()
    state_dir: LocalPath = Path("./state")
    journal: JournalSettings = JournalSettings()
    checkpoint: CheckpointSettings = CheckpointSettings()
    sqlite: SqliteSettings = SqliteSettings()
    influx: InfluxSettings | None = None
    outbox: OutboxSettings = OutboxSettings()
    quarantine: QuarantineSettings = QuarantineSettings()
    metrics: MetricsSettings = MetricsSettings()
    settle_s: NotNegative = 5.0
    revision_horizon_h: Positive = 168.0
    max_future_s: NotNegative = 600.0
    max_age_d: Positive = 400.0
    max_payload_bytes: Annotated[int, Field(ge=64, le=268_435_455)] = 262_144
    log: LogSettings = LogSettings()

    @property
    def sqlite_path(self) -> Path:
        return self.sqlite.path or self.state_dir / "monitor.sqlite"

    @model_validator(mode="after")
    def _check(self) -> Self:
        for what, names in (
            ("brokers", [broker.name for broker in self.brokers]),
            ("sources", [source.name for source in self.sources]),
        ):
            twice = sorted({name for name in names if names.count(name) > 1})
            _raise_all(*((True, f"two {what} have the name {name!r}; give each its own") for name in twice))
        return self


def read_secret(env: Mapping[str, str], variable: str | None, file: Path | None, what: str) -> SecretStr | None:
    """A secret out of an environment variable or the first line of a file; None if neither is named.

    Raises `ConfigError` if it is not there or empty. `what` names the secret in that error.
    """
    if variable is not None:
        if not env.get(variable):
            raise ConfigError([Problem(SETTINGS_FILE, f"{what}: environment variable {variable} is not set")])
        return SecretStr(env[variable])
    if file is None:
        return None
    try:
        lines = file.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise ConfigError([Problem(SETTINGS_FILE, f"{what}: {file} cannot be read: {reason}")]) from None
    if not lines or not lines[0]:
        raise ConfigError([Problem(SETTINGS_FILE, f"{what}: the first line of {file} is empty")])
    return SecretStr(lines[0])
