"""InfluxDB over HTTP: the v2 write API (2.x, 3.x and what speaks it) and v1's `/write`. One request, no retries: when
to try again is the sender's matter.

influxdb-client retries by default, compresses what is compressed already, and lets urllib3's errors and undecodable
answers through; here its retries are off, and whatever happens is a SinkError.
"""

from __future__ import annotations

import email.utils
import ssl
import urllib.parse
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import urllib3
from influxdb_client.client.exceptions import InfluxDBError
from influxdb_client.client.influxdb_client import InfluxDBClient
from influxdb_client.service.write_service import WriteService

from monitor.errors import StoreError

__all__ = ["InfluxTarget", "LineWriter", "SinkError", "V1Writer", "V2Writer", "make_writer"]

_GZIP_LEVEL = 1
_UNTYPED_SERVICE: Any = WriteService
_MESSAGE_CHARACTERS = 500

_KIND_BY_STATUS = {
    400: "rejected",
    401: "auth",
    403: "auth",
    404: "missing",
    408: "timeout",
    413: "rejected",
    422: "rejected",
    429: "busy",
}


@dataclass(frozen=True, slots=True)
class InfluxTarget:
    """Where points go. Secrets do not appear in its repr."""

    version: Literal[1, 2, 3]
    url: str
    """As `http://127.0.0.1:8086`, with a path where a proxy has one."""
    org: str = ""
    """Versions 2 and 3."""
    bucket: str = ""
    """Versions 2 and 3 (there the database)."""
    token: str = field(default="", repr=False)
    database: str = ""
    """Version 1."""
    retention_policy: str = ""
    """Version 1; empty: the database's default."""
    username: str = ""
    password: str = field(default="", repr=False)
    timeout_s: float = 10.0
    gzip: bool = True
    verify_tls: bool = True
    ca_file: str | None = None
    create_database: bool = True
    """Version 1: make the database when the server says that it is missing."""


class SinkError(StoreError):
    """A sink did not take a request.

    kind: rejected (the points are at fault: 400, 413, 422), auth (401, 403), missing (404), busy (429), server (5xx),
    timeout, unreachable, tls, unexpected (any other answer). `retryable` is false where somebody has to change
    something first: rejected, auth, missing, tls, unexpected.
    """

    def __init__(self, message: str, *, kind: str, retry_after_s: float | None = None) -> None:
        self.retry_after_s = retry_after_s
        super().__init__(message, kind=kind, retryable=kind in {"busy", "server", "timeout", "unreachable"})


class LineWriter(Protocol):
    """Sends lines, in one thread."""

    def write(self, body: bytes) -> None:
        """Returns when the server has accepted every line of the body. Raises SinkError."""
        ...

    def close(self) -> None: ...


def make_writer(target: InfluxTarget, *, now_ms: Callable[[], int]) -> LineWriter:
    """The writer for the target's version. now_ms: the clock against which a Retry-After date is read [UTC ms]."""
    return V1Writer(target, now_ms=now_ms) if target.version == 1 else V2Writer(target, now_ms=now_ms)


class V2Writer:
    """`POST /api/v2/write` through influxdb-client."""

    def __init__(self, target: InfluxTarget, *, now_ms: Callable[[], int]) -> None:
        self._target = target
        self._now_ms = now_ms
        self._client: Any = InfluxDBClient(
            url=target.url,
            token=target.token,
            org=target.org,
            timeout=round(target.timeout_s * 1000),
            enable_gzip=False,
            verify_ssl=target.verify_tls,
            ssl_ca_cert=target.ca_file,
            retries=False,
        )
        self._service = _UNTYPED_SERVICE(self._client.api_client)

    def write(self, body: bytes) -> None:
        """See `LineWriter.write`."""
        encoding = {"content_encoding": "gzip"} if self._target.gzip else {}
        try:
            self._service.post_write(
                org=self._target.org,
                bucket=self._target.bucket,
                body=_compressed(body) if self._target.gzip else body,
                precision="ms",
                **encoding,
            )
        except InfluxDBError as error:
            status = getattr(error, "status", None) or 0
            if not status:  # influxdb-client's only own one without an answer is for urllib3's SSLError
                raise SinkError(f"{self._target.url}: {_short(error)}", kind="tls") from error
            raise _refusal(
                self._target.url, status, _short(error.message), error.retry_after, self._now_ms()
            ) from error
        except UnicodeDecodeError as error:
            raise SinkError(f"{self._target.url}: answered what is no text", kind="unexpected") from error
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise _broken(self._target.url, error) from error

    def close(self) -> None:
        self._client.close()


class V1Writer:
    """`POST /write?db=&rp=&precision=ms`, as InfluxDB 1.x has it."""

    def __init__(self, target: InfluxTarget, *, now_ms: Callable[[], int]) -> None:
        self._target = target
        self._now_ms = now_ms
        self._base = target.url.rstrip("/")
        self._pool = urllib3.PoolManager(
            retries=False,
            timeout=urllib3.Timeout(total=target.timeout_s),
            cert_reqs=ssl.CERT_REQUIRED if target.verify_tls else ssl.CERT_NONE,
            ca_certs=target.ca_file,
        )
        self._headers: dict[str, str] = {}
        if target.username:
            self._headers.update(urllib3.make_headers(basic_auth=f"{target.username}:{target.password}"))
        elif target.token:
            self._headers["Authorization"] = f"Token {target.token}"

    def write(self, body: bytes) -> None:
        """See `LineWriter.write`."""
        try:
            self._write(body)
        except SinkError as error:
            if error.kind != "missing" or not self._target.create_database:
                raise
            self._create_database()
            self._write(body)

    def _write(self, body: bytes) -> None:
        query = {"db": self._target.database, "precision": "ms"}
        if self._target.retention_policy:
            query["rp"] = self._target.retention_policy
        headers = {**self._headers, "Content-Type": "text/plain; charset=utf-8"}
        if self._target.gzip:
            headers["Content-Encoding"] = "gzip"
            body = _compressed(body)
        self._post(f"/write?{urllib.parse.urlencode(query)}", body, headers)

    def _create_database(self) -> None:
        name = self._target.database.replace("\\", "\\\\").replace('"', '\\"')
        query = urllib.parse.urlencode({"q": f'CREATE DATABASE "{name}"'}).encode()
        answer = self._post("/query", query, {**self._headers, "Content-Type": "application/x-www-form-urlencoded"})
        if '"error"' in answer:  # /query answers 200 and puts it there
            message = f"{self._target.url}: cannot create database {self._target.database!r}: {_short(answer)}"
            raise SinkError(message, kind="missing")

    def _post(self, path: str, body: bytes, headers: dict[str, str]) -> str:
        try:
            answer = self._pool.request("POST", self._base + path, body=body, headers=headers, redirect=False)
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise _broken(self._target.url, error) from error
        text = answer.data.decode("utf-8", "replace")
        if not 200 <= answer.status < 300:
            retry_after = answer.headers.get("Retry-After")
            message = _short(text or answer.reason or "")
            raise _refusal(self._target.url, answer.status, message, retry_after, self._now_ms())
        return text

    def close(self) -> None:
        self._pool.clear()


def _compressed(body: bytes) -> bytes:
    return zlib.compress(body, _GZIP_LEVEL, wbits=31)


def _short(text: object) -> str:
    return " ".join(str(text).split())[:_MESSAGE_CHARACTERS]


def _refusal(url: str, status: int, message: str, retry_after: str | None, now_ms: int) -> SinkError:
    kind = _KIND_BY_STATUS.get(status) or ("server" if status >= 500 else "unexpected")
    return SinkError(
        f"{url}: answered {status}: {message}", kind=kind, retry_after_s=_retry_after_s(retry_after, now_ms)
    )


def _retry_after_s(value: str | None, now_ms: int) -> float | None:
    """Seconds, or an HTTP date (RFC 9110, 10.2.3); what is neither is no wish at all."""
    if not value:
        return None
    if value.strip().isdecimal():
        return float(value)
    try:
        until = email.utils.parsedate_to_datetime(value)
    except ValueError:
        return None
    return max(0.0, until.timestamp() - now_ms / 1000)


def _broken(url: str, error: Exception) -> SinkError:
    """The connection, or the lack of one."""
    if isinstance(error, urllib3.exceptions.SSLError):
        kind = "tls"
    elif isinstance(error, urllib3.exceptions.NewConnectionError):  # a ConnectTimeoutError by descent only
        kind = "unreachable"
    elif isinstance(error, urllib3.exceptions.TimeoutError | TimeoutError):
        kind = "timeout"
    elif isinstance(error, urllib3.exceptions.LocationValueError):
        kind = "unexpected"
    else:
        kind = "unreachable"
    return SinkError(f"{url}: {_short(error)}", kind=kind)
