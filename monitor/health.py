"""The HTTP side door: /metrics for Prometheus, /healthz and /readyz for whoever keeps the service running.

It answers from threads of its own, so it also answers when the event loop hangs. For that case a check can be given a
time for which it is valid: when nobody renews it in time, it has failed.
"""

from __future__ import annotations

import gzip
import json
import socket
import socketserver
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal, NamedTuple

import structlog
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from monitor.errors import MonitorError

__all__ = ["Check", "Health", "HealthServer", "Kind"]

Kind = Literal["live", "ready", "info"]
"""live: restart the service if it fails. ready: it does not do its work now, and waits until it can. info: shown."""

_MAX_CONNECTIONS = 16
_CONNECTION_TIMEOUT_S = 10.0
_GZIP_FROM_BYTES = 1024
_STOP_POLL_S = 0.1

_log = structlog.get_logger(__name__)


class Check(NamedTuple):
    """What is known of one thing now."""

    name: str
    kind: Kind
    ok: bool
    detail: str
    since_s: float
    """For so long it has been ok, or not [s]."""


@dataclass(frozen=True, slots=True)
class _Said:
    ok: bool
    detail: str
    changed_s: float
    valid_until_s: float | None


class Health:
    """Named checks. All methods may be called from any thread.

    What nobody has spoken of yet is not ready, but alive: a start may take its time."""

    def __init__(self, checks: Mapping[str, Kind], *, now_s: Callable[[], float] = time.monotonic) -> None:
        """checks: every name that `set` may be called with, in the order in which they are shown. now_s: seconds of a
        clock that never goes back."""
        self._kinds = dict(checks)
        self._now_s = now_s
        self._began_s = now_s()
        self._said: dict[str, _Said] = {}
        self._lock = threading.Lock()

    def set(self, name: str, ok: bool, detail: str = "", *, valid_s: float | None = None) -> None:
        """detail: for a human, and for everybody who can reach the port: no secrets. valid_s: without another `set`
        within so many seconds the check fails; None: it stands until then. Raises KeyError for an unknown name."""
        if name not in self._kinds:
            raise KeyError(f"no check has the name {name!r}; known: {', '.join(self._kinds)}")
        now_s = self._now_s()
        with self._lock:
            said = self._said.get(name)
            changed_s = now_s
            if said is not None and said.ok == ok and not _is_overdue(said, now_s):
                changed_s = said.changed_s
            self._said[name] = _Said(ok, detail, changed_s, None if valid_s is None else now_s + valid_s)

    def checks(self) -> list[Check]:
        with self._lock:
            said = dict(self._said)
            now_s = self._now_s()
        return [self._check(name, kind, said.get(name), now_s) for name, kind in self._kinds.items()]

    def is_alive(self) -> bool:
        return all(check.ok for check in self.checks() if check.kind == "live")

    def not_ready(self) -> dict[str, str]:
        """Name to detail of each failed check that matters; empty: ready."""
        return {check.name: check.detail for check in self.checks() if not check.ok and check.kind != "info"}

    def _check(self, name: str, kind: Kind, said: _Said | None, now_s: float) -> Check:
        if said is None:
            return Check(name, kind, kind == "live", "not known yet", now_s - self._began_s)
        if said.valid_until_s is not None and _is_overdue(said, now_s):
            overdue_s = now_s - said.valid_until_s
            detail = f"not renewed in time, {overdue_s:.0f} s overdue"
            return Check(name, kind, False, f"{detail}; last: {said.detail}" if said.detail else detail, overdue_s)
        return Check(name, kind, said.ok, said.detail, now_s - said.changed_s)


def _is_overdue(said: _Said, now_s: float) -> bool:
    return said.valid_until_s is not None and now_s > said.valid_until_s


class HealthServer:
    """Serves one metrics registry and one `Health` until `stop`. `start` and `stop` take no noticeable time."""

    def __init__(self, host: str, port: int, registry: CollectorRegistry, health: Health) -> None:
        """port: 0 takes a free one."""
        self._host = host
        self._port = port
        self._registry = registry
        self._health = health
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None

    @property
    def port(self) -> int:
        """The one that it listens on; before `start` the one that was asked for."""
        return self._port if self._server is None else int(self._server.server_address[1])

    @property
    def url(self) -> str:
        return f"http://{f'[{self._host}]' if ':' in self._host else self._host}:{self.port}"

    def start(self) -> None:
        """Listens when it returns. Raises MonitorError if the address cannot be had."""
        try:
            server = _Server(self._host, self._port, _pages(self._registry, self._health))
        except OSError as error:
            raise MonitorError(
                f"metrics: cannot listen on {self._host} port {self._port}: {error.strerror or error}. Is another "
                "monitor running? Otherwise give another host or port under `metrics` in monitor.yaml"
            ) from error
        self._server = server
        self._thread = threading.Thread(
            target=server.serve_forever, args=(_STOP_POLL_S,), name="health-server", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """Calling it again, or without `start`, does nothing."""
        server, thread = self._server, self._thread
        self._server = self._thread = None
        if server is not None and thread is not None:
            self._port = int(server.server_address[1])
            server.shutdown()
            server.server_close()
            thread.join()


# -- pages -------------------------------------------------------------------------------------------------------------


class _Page(NamedTuple):
    status: int
    content_type: str
    body: bytes


def _pages(registry: CollectorRegistry, health: Health) -> dict[str, Callable[[str], _Page]]:
    """Path to what makes the page out of the request's Accept."""

    def metrics(accept: str) -> _Page:
        encoder, content_type = choose_encoder(accept)
        return _Page(200, content_type, encoder(registry))

    def healthz(_accept: str) -> _Page:
        checks = {
            check.name: {
                "ok": check.ok,
                "kind": check.kind,
                "detail": check.detail,
                "since_s": round(check.since_s, 3),
            }
            for check in health.checks()
        }
        alive = all(check["ok"] for check in checks.values() if check["kind"] == "live")
        return _json(200 if alive else 503, {"status": "alive" if alive else "failed", "checks": checks})

    def readyz(_accept: str) -> _Page:
        missing = health.not_ready()
        status = "not ready" if missing else "ready"
        return _json(503 if missing else 200, {"status": status, "not_ready": missing})

    return {"/metrics": metrics, "/healthz": healthz, "/readyz": readyz}


def _json(status: int, content: dict[str, Any]) -> _Page:
    body = json.dumps(content, ensure_ascii=False, indent=2) + "\n"
    return _Page(status, "application/json; charset=utf-8", body.encode("utf-8", "backslashreplace"))


def _text(status: int, text: str) -> _Page:
    return _Page(status, "text/plain; charset=utf-8", text.encode())


# -- HTTP --------------------------------------------------------------------------------------------------------------


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False  # a client that reads slowly is not waited for at the end
    request_queue_size = 32

    def __init__(self, host: str, port: int, pages: dict[str, Callable[[str], _Page]]) -> None:
        self.pages = pages
        self._free = threading.BoundedSemaphore(_MAX_CONNECTIONS)
        family, _, _, _, address = socket.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        self.address_family = family
        super().__init__((str(address[0]), port), _Handler)

    def server_bind(self) -> None:
        # HTTPServer's own asks the name service for the host's full name, which can take many seconds.
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    def process_request(self, request: Any, client_address: Any) -> None:
        """One thread each, but not without bound: who comes when all are busy is sent away."""
        if not self._free.acquire(blocking=False):
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except BaseException:
            self._free.release()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Called while the exception is handled. Clients that go away early are none of our concern."""
        if not isinstance(sys.exception(), ConnectionError | TimeoutError):
            _log.exception("health_request_failed", client=str(client_address))


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    server_version = "meter-monitor"
    sys_version = ""
    timeout = _CONNECTION_TIMEOUT_S

    def do_GET(self) -> None:
        self._send(self._page(), with_body=True)

    def do_HEAD(self) -> None:
        self._send(self._page(), with_body=False)

    def _refuse(self) -> None:
        if self._path() not in self.server.pages:
            self._send(self._page(), with_body=True)
        else:
            page = _text(405, f"{self.command} is not allowed here; use GET or HEAD\n")
            self._send(page, with_body=True, allow="GET, HEAD")

    def do_POST(self) -> None:
        self._refuse()

    def do_PUT(self) -> None:
        self._refuse()

    def do_PATCH(self) -> None:
        self._refuse()

    def do_DELETE(self) -> None:
        self._refuse()

    def do_OPTIONS(self) -> None:
        self._refuse()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the base class names it so
        """A scrape every few seconds is no news."""

    def _path(self) -> str:
        return self.path.partition("?")[0]

    def _page(self) -> _Page:
        make = self.server.pages.get(self._path())
        if make is None:
            return _text(404, f"not found; there is {', '.join(self.server.pages)}\n")
        try:
            return make(self.headers.get("Accept", ""))
        except Exception:  # noqa: BLE001  # whatever a collector raises: it is logged, and the server lives on
            _log.exception("health_page_failed", path=self._path())
            return _text(500, "the page could not be made; the service's log says why\n")

    def _send(self, page: _Page, *, with_body: bool, allow: str = "") -> None:
        body = page.body
        self.send_response(page.status)
        self.send_header("Content-Type", page.content_type)
        self.send_header("Cache-Control", "no-store")
        self.send_header("Vary", "Accept, Accept-Encoding")
        if allow:
            self.send_header("Allow", allow)
        if len(body) >= _GZIP_FROM_BYTES and _takes_gzip(self.headers.get("Accept-Encoding", "")):
            body = gzip.compress(body, compresslevel=1)
            self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if with_body:
            self.wfile.write(body)


def _takes_gzip(accepted: str) -> bool:
    """Accept-Encoding names gzip, and not with weight 0 (RFC 9110, 12.5.3)."""
    for entry in accepted.lower().split(","):
        name, *parameters = (part.strip() for part in entry.split(";"))
        if name == "gzip":
            weights = [parameter[2:].strip() for parameter in parameters if parameter.startswith("q=")]
            return not weights or weights[0].strip("0.") != ""
    return False
