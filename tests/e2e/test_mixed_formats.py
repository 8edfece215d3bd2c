"""Gateways of many makes on one broker: their registers add up, over a kill -9; a new id is commissioned by paste."""

from __future__ import annotations

import datetime as dt
import json
import queue
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from tests.e2e.monitor_process import Monitor
from tests.e2e.plant import STOP_WITHIN_S
from tests.e2e.test_reload import POLICY
from tests.services.mosquitto import Mosquitto, Publisher
from tests.sparkplug import birth, data

pytestmark = pytest.mark.services

QUARTER_MS = 900_000
STEPS = 12
KILLED_AFTER = 6
SOURCES: list[dict[str, Any]] = [
    {"name": "plugs", "format": "tasmota", "topics": ["tele/+/SENSOR"], "timezone": "Asia/Ho_Chi_Minh"},
    {"name": "radio", "format": "chirpstack_v4", "topics": ["application/+/device/+/event/up"]},
    {"name": "p1", "format": "dsmr_p1", "topics": ["p1/telegram"]},
    {"name": "edge", "format": "sparkplug_b", "topics": ["spBv1.0/#"]},
    {"name": "clamps", "format": "shelly_gen2", "topics": ["+/events/rpc"]},
    {"name": "wired", "format": "wirenboard", "topics": ["/devices/#"]},
    {
        "name": "lines",
        "format": "mapper",
        "topics": ["lines"],
        "options": {
            "payload": "csv",
            "columns": ["sn", "t", "wh"],
            "id": "sn",
            "time": {"path": "t"},
            "values": [{"path": "wh", "quantity": "register", "unit": "Wh"}],
        },
    },
]
DEVICES = """\
id,building,kind,item,gateway,source_id,field,max_rate
plug,B1,meter,plug,plugs,pow1,,500
radio,B1,meter,radio,radio,0011223344556677,,500
p1,B1,meter,p1,p1,4530303132,,500
edge,B1,meter,edge,edge,site/node/panel,,500
clamp,B1,meter,clamp,clamps,shellypro-1/switch:0,,500
line,B1,meter,line,lines,L-7,,500
native,B1,meter,native,,,,500
wired,B1,meter,wired,wired,mercury,,500
unit,B1,ac,,edge,site/node/panel,,
"""
KWH_PER_STEP = {"plug": 1.0, "radio": 2.0, "p1": 3.0, "edge": 4.0, "clamp": 5.0, "line": 6.0, "native": 7.0}


def kwh(item: str, step: int) -> float:
    return 1000.0 + KWH_PER_STEP[item] * step


def telegram(ts_ms: int, step: int) -> bytes:
    """A P1 telegram with two tariffs, of which the first counts at even steps and the second at odd ones."""
    local = dt.datetime.fromtimestamp(ts_ms / 1000, ZoneInfo("Europe/Amsterdam"))
    season = "S" if local.dst() else "W"
    first, second = 600.0 + 3.0 * ((step + 1) // 2), 400.0 + 3.0 * (step // 2)
    lines = [
        "/KMP5 KA6U001660297912",
        "",
        "1-3:0.2.8(50)",
        f"0-0:1.0.0({local:%y%m%d%H%M%S}{season})",
        "0-0:96.1.1(4530303132)",
        f"1-0:1.8.1({first:010.3f}*kWh)",
        f"1-0:1.8.2({second:010.3f}*kWh)",
        "1-0:1.7.0(12.000*kW)",
        "1-0:2.7.0(00.000*kW)",
        "!",
    ]
    body = "\r\n".join(lines).encode()
    crc = 0
    for byte in body:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ 0xA001 if crc & 1 else crc >> 1
    return body + f"{crc:04X}\r\n".encode()


def uplink(ts_ms: int, step: int) -> str:
    return json.dumps(
        {
            "deduplicationId": f"00000000-0000-0000-0000-{step:012d}",
            "time": dt.datetime.fromtimestamp(ts_ms / 1000, dt.UTC).isoformat(),
            "deviceInfo": {"devEui": "0011223344556677", "deviceName": "Panel"},
            "fCnt": step,
            "object": {"energy_wh": 1000 * kwh("radio", step)},
        }
    )


def step_messages(ts_ms: int, step: int) -> Iterator[tuple[str, bytes | str]]:
    local = dt.datetime.fromtimestamp(ts_ms / 1000, ZoneInfo("Asia/Ho_Chi_Minh")).replace(tzinfo=None)
    yield (
        "tele/pow1/SENSOR",
        json.dumps({"Time": local.isoformat(), "ENERGY": {"Total": kwh("plug", step), "Today": 1}}),
    )
    for _ in range(2):  # a network server that delivers twice
        yield "application/a/device/0011223344556677/event/up", uplink(ts_ms, step)
    yield "p1/telegram", telegram(ts_ms, step)
    status = {"ts": ts_ms / 1000, "switch:0": {"id": 0, "aenergy": {"total": 1000 * kwh("clamp", step)}}}
    yield "shellypro-1/events/rpc", json.dumps({"src": "shellypro-1", "method": "NotifyStatus", "params": status})
    yield "lines", f"L-7;{ts_ms};{1000 * kwh('line', step)}\n"
    yield "meters/gw/native", json.dumps({"ts": ts_ms, "register": kwh("native", step)})
    if step == 0:
        yield "spBv1.0/site/NBIRTH/node", birth(ts_ms, seq=0, bd_seq=1)
        metrics: dict[int, tuple[str, str, float | str]] = {
            1: ("Active Energy Import", "kWh", kwh("edge", step)),
            2: ("Setpoint", "°C", 20.0),
            3: ("Mode", "", "cool"),
        }
        yield "spBv1.0/site/DBIRTH/node/panel", birth(ts_ms, seq=1, metrics=metrics)
    else:
        values: dict[int, float | str] = {1: kwh("edge", step), 2: 20.0, 3: "cool"}
        yield "spBv1.0/site/DDATA/node/panel", data(ts_ms, seq=step + 1, values=values)


class Host:
    """Somebody who listens on the broker."""

    def __init__(self, port: int, topic: str) -> None:
        self.heard: queue.Queue[str] = queue.Queue()
        self._client = paho.Client(CallbackAPIVersion.VERSION2)
        subscribed: queue.Queue[bool] = queue.Queue()
        self._client.on_message = lambda _, __, message: self.heard.put(message.topic)
        self._client.on_subscribe = lambda *_: subscribed.put(True)
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        self._client.subscribe(topic)
        assert subscribed.get(timeout=10)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


def configure(monitor: Monitor, more: str = "") -> None:
    (monitor.config / "policies").mkdir(exist_ok=True)
    (monitor.config / "policies" / "always-peak.yaml").write_text(POLICY)
    (monitor.config / "buildings.csv").write_text("id,timezone,policy\nB1,UTC,always-peak\n")
    (monitor.config / "devices.csv").write_text(DEVICES + more)


def energy(monitor: Monitor) -> dict[str, float]:
    rows = monitor.rows("SELECT item, SUM(measured + estimated) FROM intervals GROUP BY item")
    return {item: round(total, 6) for item, total in rows if item in KWH_PER_STEP}


def expected(steps: int) -> dict[str, float]:
    return {item: round(amount * steps, 6) for item, amount in KWH_PER_STEP.items()}


def test_what_brokers_keep_comes_again_when_the_database_is_lost(tmp_path: Path) -> None:
    """The unit of a wired meter is said in a retained message alone, and the broker's session outlives the file."""
    with ExitStack() as stack:
        broker = stack.enter_context(Mosquitto(tmp_path / "broker"))
        publisher = stack.enter_context(Publisher(broker.port))
        control = "/devices/mercury/controls/Total energy"
        publisher.publish(f"{control}/meta", '{"type": "power_consumption", "readonly": true}', retain=True)
        publisher.settle()
        sections: dict[str, Any] = {"sources": SOURCES}
        monitor = Monitor(tmp_path, broker.url, **sections)
        configure(monitor)
        stack.callback(monitor.kill)
        for start, value in enumerate(("55.5", "56.0", "56.5")):
            monitor.start()
            # The last start, with nothing lost in between, asks for nothing.
            monitor.until(lambda: monitor.metric("connected") == 1, "connected")
            publisher.publish(control, value)
            publisher.settle()
            monitor.until(lambda: monitor.metric("readings_total", outcome="accepted") == 1, f"start {start}: read")
            asked = monitor.metric("source_messages_total", source="wired", outcome="ignored")
            assert asked == (start < 2), "the unit comes with the first start, and with the one after the loss"
            monitor.terminate(STOP_WITHIN_S)
            if start == 0:
                for path in monitor.state.glob("monitor.sqlite*"):
                    path.unlink()


def test_many_makes_on_one_broker(tmp_path: Path) -> None:
    start_ms = (time.time_ns() // 1_000_000 // QUARTER_MS - STEPS - 1) * QUARTER_MS
    with ExitStack() as stack:
        broker = stack.enter_context(Mosquitto(tmp_path / "broker"))
        publisher = stack.enter_context(Publisher(broker.port))
        host = Host(broker.port, "spBv1.0/site/NCMD/#")
        stack.callback(host.close)
        control = "/devices/mercury/controls/Total energy"
        publisher.publish(f"{control}/meta", '{"type": "power_consumption", "readonly": true}', retain=True)
        publisher.publish(control, "55.5", retain=True)
        publisher.settle()
        sections: dict[str, Any] = {"sources": SOURCES}
        monitor = Monitor(tmp_path, broker.url, **sections)
        configure(monitor)
        monitor.start()
        stack.callback(monitor.kill)
        for step in range(KILLED_AFTER + 1):
            for topic, payload in step_messages(start_ms + step * QUARTER_MS, step):
                publisher.publish(topic, payload)
            publisher.settle()
        monitor.until(lambda: energy(monitor) == expected(KILLED_AFTER), "the first half adds up")
        # The value that the broker had kept, which comes before its unit or after it, is no reading.
        kept = ("waits_for_meta", "retained_without_time")
        assert sum(monitor.metric("readings_total", outcome=outcome) for outcome in kept) == 1
        broker.save()
        monitor.kill()
        monitor.start()
        for step in range(KILLED_AFTER + 1, STEPS + 1):
            for topic, payload in step_messages(start_ms + step * QUARTER_MS, step):
                publisher.publish(topic, payload)
        publisher.settle()
        monitor.until(lambda: energy(monitor) == expected(STEPS), "all of it adds up")
        # What comes fresh of the wired meter is one, in the unit that the broker had kept.
        accepted = monitor.metric("readings_total", outcome="accepted")
        assert monitor.number("SELECT COUNT(*) FROM intervals WHERE item = 'wired'") == 0
        publisher.publish(control, "56.0")
        publisher.settle()
        monitor.until(lambda: monitor.metric("readings_total", outcome="accepted") == accepted + 1, "it is read")
        events = monitor.rows("SELECT rule, device, start_ms FROM events WHERE state <> 'withdrawn'")
        assert events == [("ac_cool_setpoint", "unit", start_ms)]
        assert monitor.rows("SELECT reason, detail FROM quarantine") == []
        assert host.heard.empty(), "the aliases outlived the kill: nobody had to be born again"

        # A message that went missing: the node is asked to be born again, once.
        late_ms = start_ms + STEPS * QUARTER_MS + 1000
        for _ in range(2):
            values: dict[int, float | str] = {1: 5000.0}
            publisher.publish("spBv1.0/site/DDATA/node/panel", data(late_ms, seq=100, values=values))
        publisher.settle()
        assert host.heard.get(timeout=30) == "spBv1.0/site/NCMD/node"

        # A new plug: quarantined once, offered as a row, pasted, read.
        for step in range(3):
            local = dt.datetime.fromtimestamp(start_ms / 1000 + step, ZoneInfo("Asia/Ho_Chi_Minh"))
            payload = json.dumps({"Time": local.replace(tzinfo=None).isoformat(), "ENERGY": {"Total": 7.5 + step}})
            publisher.publish("tele/new plug/SENSOR", payload)
        publisher.settle()
        waiting = "SELECT COUNT(*) FROM unmapped"
        monitor.until(lambda: monitor.number(waiting) == 1, "the new id is noted")
        assert monitor.rows("SELECT reason FROM quarantine") == [("unknown_device",)]
        command = [sys.executable, "-m", "monitor", "devices", "--config", str(monitor.config), "--unmapped"]
        listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
        (row,) = [line for line in listed if not line.startswith("#")]
        assert row == "new plug,B1,meter,total,plugs,new plug,,"
        configure(monitor, f"{row}\n")
        of_plugs = monitor.metric("source_messages_total", source="plugs")
        reloads = monitor.metric("reloads_total", outcome="ok")
        monitor.reload()
        monitor.until(lambda: monitor.metric("reloads_total", outcome="ok") > reloads, "reloaded")
        accepted = monitor.metric("readings_total", outcome="accepted")
        publisher.publish("tele/new plug/SENSOR", payload)
        publisher.settle()
        monitor.until(lambda: monitor.metric("readings_total", outcome="accepted") == accepted + 1, "it is read")
        assert monitor.metric("source_messages_total", source="plugs") == of_plugs + 1, "a reload forgets no figure"
        monitor.terminate(STOP_WITHIN_S)
