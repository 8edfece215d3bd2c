"""Shelly devices of the second generation and later (Plus, Pro, Gen3, Gen4): notifications and answers in JSON-RPC.

Meaning: Shelly's documentation of Gen2+, "RPC Protocol" and "Mqtt"; of the values see `shelly_components`.

A message is `{"src": device, "method": "NotifyStatus", "params": {"ts": s, "switch:0": {…}}}` and tells only what has
changed; `NotifyFullStatus` tells everything, and so does the answer to Shelly.GetStatus. The topics
`<prefix>/status/<component>` carry the bare object of a component, without a time.
"""

from __future__ import annotations

from typing import Any

import msgspec

from monitor.decoders.formats.plug_values import is_id
from monitor.decoders.formats.shelly_components import Component, Components, kind_of
from monitor.decoders.options import Options
from monitor.decoders.payloads import read_json, shown
from monitor.decoders.state import SourceState
from monitor.decoders.times import BadTimeError, epoch_ms
from monitor.decoders.values import Found, UnreadableError
from monitor.ingest.message import Message

__all__ = ["ShellyGen2"]

_CACHED = 2000
_MAX_COMPONENTS = 200
"""In one message; a device has some dozens at most."""


class _Envelope(msgspec.Struct, gc=False):
    src: Any = None
    method: Any = None
    params: dict[str, Component | float | str | bool | list[Any] | None] | None = None
    result: Any = None
    error: Any = None


_decode = msgspec.json.Decoder(_Envelope).decode
_decode_component = msgspec.json.Decoder(Component).decode


class ShellyGen2:
    """Format `shelly_gen2`.

    A meter's id is `<src>/<component>` (`shellyplus1pm-…/switch:0`), of a three-phase meter as a whole `<src>`; the
    counters of `em1data:N` bear the id of `em1:N`. Without a `src` it is the topic's prefix.
    """

    def __init__(self, options: Options, state: SourceState) -> None:
        self._components = Components(options, state)
        self._reader = self._components.reader
        self._topics: dict[str, tuple[str, str]] = {}
        self._ids: set[str] = set()
        """Names of devices that were looked at before."""

    def read(self, message: Message, found: Found) -> None:
        what, prefix = self._topics.get(message.topic) or self._remember(message.topic)
        if what == "rpc":
            self._envelope(message.payload, prefix, found)
        elif ":" not in what:
            found.ignore(what)
        elif not message.payload:
            found.ignore("no_value")
        else:
            self._component(found, prefix, what, _component(message.payload))

    def _remember(self, topic: str) -> tuple[str, str]:
        parts = _parts(topic)
        if len(self._topics) >= _CACHED:
            self._topics.clear()
        if is_id(topic):
            self._topics[topic] = parts
        return parts

    def _envelope(self, payload: bytes, prefix: str, found: Found) -> None:
        try:
            envelope = _decode(payload)
        except (ValueError, RecursionError):  # msgspec.DecodeError is a ValueError; of bad UTF-8 it says that itself
            envelope = _envelope_of(read_json(payload))
        method = envelope.method
        if method == "NotifyStatus" or method == "NotifyFullStatus":
            if envelope.params is None:
                raise UnreadableError("expected an object in params, found none")
            ts = envelope.params.get("ts")
            self._status(found, self._device(envelope.src, prefix), envelope.params, _time_of(ts))
        elif method is not None:
            found.ignore("event" if method == "NotifyEvent" else "command")
        elif isinstance(envelope.result, dict):
            self._result(found, self._device(envelope.src, prefix), envelope.result)
        elif envelope.error is not None:
            found.ignore("rpc_error")
        else:
            found.ignore("status")

    def _device(self, src: Any, prefix: str) -> str:
        device = prefix if src is None else src
        ids = self._ids
        try:
            if device in ids:
                return device
        except TypeError:  # a list or an object
            pass
        if not is_id(device):
            raise UnreadableError(f"src: {shown(device)} is no id")
        if len(ids) >= _CACHED:
            ids.clear()
        ids.add(device)
        return device

    def _status(self, found: Found, device: str, body: dict[str, Any], ts_ms: int | None) -> None:
        if len(body) > _MAX_COMPONENTS:
            raise UnreadableError(f"{len(body)} components, expected at most {_MAX_COMPONENTS}")
        known = self._components.known
        for key, value in body.items():
            reader = known[key] if key in known else self._reader(key)
            if reader is None:
                continue
            if type(value) is Component:
                reader(found, device, key, value, ts_ms)
            elif value is None:  # the component was taken away
                found.ignore("no_value")
            else:
                found.reject("bad_value", f"{shown(device)} {key}: expected an object, found {shown(value)}")

    def _component(self, found: Found, device: str, key: str, body: Component) -> None:
        reader = self._reader(key)
        if reader is None:
            found.ignore("status")
        else:
            reader(found, device, key, body, None)

    def _result(self, found: Found, device: str, body: dict[str, Any]) -> None:
        """The answer to Shelly.GetStatus, or to GetStatus of one component, which then does not say its name."""
        if any(":" in key for key in body):
            system = body.get("sys")
            ts_ms = _time_of(system.get("unixtime") if isinstance(system, dict) else None)
            self._status(found, device, _components_of(body), ts_ms)
            return
        component = msgspec.convert(body, Component)
        kind = kind_of(component)
        number = component.id
        if kind is None or isinstance(number, bool) or not isinstance(number, int) or not 0 <= number < 10_000:
            # Of what EMData.GetData answers, every value is of an interval that is past.
            found.ignore("history" if "data" in body or "data_blocks" in body else "status")
            return
        self._component(found, device, f"{kind}:{number}", component)


def _parts(topic: str) -> tuple[str, str]:
    """What a topic carries (`rpc`, a component, or why it is not read), and the prefix before it."""
    levels = topic.split("/")
    last = levels[-1]
    if len(levels) == 1:
        return "rpc", topic
    if last == "rpc":
        return "rpc", "/".join(levels[: -2 if levels[-2] == "events" else -1])
    if "command" in levels[-2:]:
        return "command", ""
    if "debug" in levels[1:-1]:
        return "log", ""
    if levels[-2] == "status":
        prefix = "/".join(levels[:-2])
        return (last if ":" in last and is_id(prefix) else "status"), prefix
    return ("status", "") if last in ("online", "announce", "status") else ("rpc", topic)


def _component(payload: bytes) -> Component:
    try:
        return _decode_component(payload)
    except (ValueError, RecursionError):
        raw = read_json(payload)
        if not isinstance(raw, dict):
            raise UnreadableError(f"expected an object, found {shown(raw)}") from None
        return msgspec.convert(raw, Component)


def _envelope_of(raw: Any) -> _Envelope:
    """The same from plain values, for what the decoder does not take: NaN, huge numbers, no object in `params`."""
    if not isinstance(raw, dict):
        raise UnreadableError(f"expected an object, found {shown(raw)}")
    params = raw.get("params")
    if params is not None and not isinstance(params, dict):
        if str(raw.get("method")).startswith("Notify"):
            raise UnreadableError(f"expected an object in params, found {shown(params)}")
        params = None
    return _Envelope(
        raw.get("src"),
        raw.get("method"),
        None if params is None else _components_of(params),
        raw.get("result"),
        raw.get("error"),
    )


def _components_of(body: dict[str, Any]) -> dict[str, Any]:
    return {key: msgspec.convert(value, Component) if isinstance(value, dict) else value for key, value in body.items()}


def _time_of(raw: Any) -> int | None:
    if raw is None:
        return None
    if type(raw) is not float and not isinstance(raw, int):
        raise BadTimeError(f"ts: {shown(raw)} is no time")
    return epoch_ms(raw)
