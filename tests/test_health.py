"""Health and metrics as a client on the port sees them."""

from __future__ import annotations

import gzip
import json
import socket
import threading
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPResponse
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, Gauge
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from monitor.errors import MonitorError
from monitor.health import Health, HealthServer, Kind

CHECKS: dict[str, Kind] = {"loop": "live", "broker": "ready", "sink": "info"}


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


class Served:
    def __init__(self) -> None:
        self.clock = Clock()
        self.registry = CollectorRegistry()
        self.health = Health(CHECKS, now_s=self.clock)
        self.server = HealthServer("127.0.0.1", 0, self.registry, self.health)

    def ask(self, path: str, method: str = "GET", **headers: str) -> tuple[HTTPResponse, bytes]:
        connection = HTTPConnection("127.0.0.1", self.server.port, timeout=20)
        try:
            connection.request(method, path, headers={key.replace("_", "-"): text for key, text in headers.items()})
            response = connection.getresponse()
            return response, response.read()
        finally:
            connection.close()

    def ask_json(self, path: str) -> tuple[int, Any]:
        response, body = self.ask(path)
        assert response.headers["Content-Type"] == "application/json; charset=utf-8"
        return response.status, json.loads(body)


@pytest.fixture
def served() -> Iterator[Served]:
    served = Served()
    served.server.start()
    yield served
    served.server.stop()


# -- the state ---------------------------------------------------------------------------------------------------------


def test_at_first_it_is_alive_and_not_ready() -> None:
    health = Health(CHECKS, now_s=Clock())
    assert health.is_alive()
    assert health.not_ready() == {"broker": "not known yet"}


def test_a_failed_live_check_is_no_longer_alive_nor_ready() -> None:
    health = Health(CHECKS, now_s=Clock())
    health.set("broker", True)
    assert health.not_ready() == {}
    health.set("loop", False, "stuck")
    assert not health.is_alive()
    assert health.not_ready() == {"loop": "stuck"}


def test_what_is_only_shown_fails_nothing() -> None:
    health = Health({"sink": "info"}, now_s=Clock())
    health.set("sink", False, "unreachable")
    assert health.is_alive()
    assert health.not_ready() == {}
    assert not health.checks()[0].ok


def test_since_counts_from_the_last_change_of_ok_alone() -> None:
    clock = Clock()
    health = Health({"broker": "ready"}, now_s=clock)
    for ok, detail in ((True, "a"), (True, "b"), (False, "c"), (False, "d")):
        clock.now_s += 10
        health.set("broker", ok, detail)
    clock.now_s += 5
    [check] = health.checks()
    assert (check.ok, check.detail, check.since_s) == (False, "d", 15.0)


def test_a_check_that_is_not_renewed_fails_and_recovers() -> None:
    clock = Clock()
    health = Health({"loop": "live"}, now_s=clock)
    health.set("loop", True, "beats", valid_s=30)
    clock.now_s += 30
    assert health.is_alive()
    clock.now_s += 12
    [check] = health.checks()
    assert (check.ok, check.since_s) == (False, 12.0)
    assert check.detail == "not renewed in time, 12 s overdue; last: beats"
    health.set("loop", True, "beats", valid_s=30)
    [check] = health.checks()
    assert (check.ok, check.since_s) == (True, 0.0)


def test_a_name_that_was_not_given_is_a_mistake() -> None:
    with pytest.raises(KeyError, match="no check has the name 'brokre'; known: loop, broker, sink"):
        Health(CHECKS).set("brokre", True)


# -- the pages ---------------------------------------------------------------------------------------------------------


def test_healthz_says_everything_and_fails_with_a_live_check_only(served: Served) -> None:
    served.health.set("broker", False, "Trụ sở: connection refused")
    served.clock.now_s += 2.5
    status, content = served.ask_json("/healthz")
    assert (status, content["status"]) == (200, "alive")
    assert content["checks"]["broker"] == {
        "ok": False,
        "kind": "ready",
        "detail": "Trụ sở: connection refused",
        "since_s": 2.5,
    }
    assert list(content["checks"]) == list(CHECKS)
    served.health.set("loop", False, "stuck")
    status, content = served.ask_json("/healthz")
    assert (status, content["status"]) == (503, "failed")


def test_readyz_names_what_is_missing(served: Served) -> None:
    assert served.ask_json("/readyz") == (503, {"status": "not ready", "not_ready": {"broker": "not known yet"}})
    served.health.set("broker", True)
    assert served.ask_json("/readyz") == (200, {"status": "ready", "not_ready": {}})


def test_a_detail_that_is_no_proper_text_does_not_break_the_page(served: Served) -> None:
    served.health.set("broker", False, "\ud800 \x00")
    status, content = served.ask_json("/readyz")
    assert status == 503
    assert "broker" in content["not_ready"]


def test_metrics_are_given_in_the_format_that_was_asked_for(served: Served) -> None:
    Gauge("meter_monitor_probe", "Probe.", registry=served.registry).set(4)
    response, body = served.ask("/metrics?whatever=1")
    assert response.status == 200
    assert response.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    assert b"\nmeter_monitor_probe 4.0\n" in body
    assert b"# EOF" not in body
    response, body = served.ask("/metrics", Accept="application/openmetrics-text;version=1.0.0,text/plain;q=0.5")
    assert response.headers["Content-Type"].startswith("application/openmetrics-text")
    assert body.endswith(b"# EOF\n")


@pytest.mark.parametrize(
    ("accepted", "is_gzip"),
    [
        ("gzip", True),
        ("deflate, GZIP;q=0.5", True),
        ("gzip; q=1", True),
        ("", False),
        ("br", False),
        ("gzip;q=0", False),
        ("gzip;q=0.000", False),
    ],
)
def test_large_pages_are_compressed_for_who_takes_it(served: Served, accepted: str, is_gzip: bool) -> None:
    Gauge("meter_monitor_probe", "x" * 5000, registry=served.registry)
    response, body = served.ask("/metrics", Accept_Encoding=accepted)
    assert (response.headers["Content-Encoding"] == "gzip") == is_gzip
    assert (gzip.decompress(body) if is_gzip else body).startswith(b"# HELP meter_monitor_probe x")
    assert (len(body) < 5000) == is_gzip


@pytest.mark.parametrize("path", ["/metrics", "/healthz", "/readyz", "/nothing"])
def test_head_is_get_without_the_body(served: Served, path: str) -> None:
    got, body = served.ask(path)
    head, nothing = served.ask(path, "HEAD")
    assert nothing == b""
    assert head.status == got.status
    assert int(head.headers["Content-Length"]) == len(body)


@pytest.mark.parametrize("path", ["/", "/metrics/", "/nothing", "/../metrics"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_what_is_not_there_is_not_found(served: Served, path: str, method: str) -> None:
    response, body = served.ask(path, method)
    assert response.status == 404
    assert b"/metrics, /healthz, /readyz" in body


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_other_methods_are_not_allowed(served: Served, method: str) -> None:
    response, _ = served.ask("/healthz", method)
    assert (response.status, response.headers["Allow"]) == (405, "GET, HEAD")


def test_metrics_that_cannot_be_collected_are_an_error_and_the_server_lives_on(served: Served) -> None:
    class Broken(Collector):
        def collect(self) -> Iterator[Metric]:
            raise RuntimeError("no figures")

        def describe(self) -> Iterator[Metric]:
            return iter(())

    served.registry.register(Broken())
    response, body = served.ask("/metrics")
    assert response.status == 500
    assert b"no figures" not in body
    assert served.ask("/healthz")[0].status == 200


# -- the server --------------------------------------------------------------------------------------------------------


def test_a_port_that_is_taken_is_said_with_what_to_do(served: Served) -> None:
    other = HealthServer("127.0.0.1", served.server.port, served.registry, served.health)
    with pytest.raises(MonitorError, match=rf"cannot listen on 127\.0\.0\.1 port {served.server.port}: .*monitor.yaml"):
        other.start()
    other.stop()


def test_a_host_that_is_not_ours_is_said_too() -> None:
    with pytest.raises(MonitorError, match=r"cannot listen on 192\.0\.2\.1 port 0"):
        HealthServer("192.0.2.1", 0, CollectorRegistry(), Health({})).start()


def test_it_can_be_stopped_twice_and_started_again_on_its_port(served: Served) -> None:
    port = served.server.port
    served.server.stop()
    served.server.stop()
    assert served.server.port == port
    with pytest.raises(ConnectionRefusedError):
        served.ask("/healthz")
    served.server.start()
    assert served.server.port == port
    assert served.ask("/healthz")[0].status == 200


def test_idle_connections_hold_neither_others_nor_the_end_up(served: Served) -> None:
    """More than may be open at once: the ones too many are closed, and the rest ends with the server."""
    idle = [socket.create_connection(("127.0.0.1", served.server.port), timeout=20) for _ in range(20)]
    refused = [connection for connection in idle[16:] if connection.recv(1) == b""]
    assert len(refused) == 4
    for connection in idle[:8]:
        connection.sendall(b"GET /healthz HTTP/1.0\r\n\r\n")
        assert connection.recv(12) == b"HTTP/1.0 200"
    served.server.stop()
    assert not [thread for thread in threading.enumerate() if thread.name == "health-server"]
    for connection in idle:
        connection.close()


def test_it_listens_on_ipv6_where_there_is_any() -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no IPv6")
    server = HealthServer("::1", 0, CollectorRegistry(), Health({}))
    server.start()
    try:
        assert server.url == f"http://[::1]:{server.port}"
        with socket.create_connection(("::1", server.port), timeout=20) as connection:
            connection.sendall(b"GET /readyz HTTP/1.0\r\n\r\n")
            assert connection.recv(12) == b"HTTP/1.0 200"
    finally:
        server.stop()
