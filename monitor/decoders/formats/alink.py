"""Alink JSON: what devices of Aliyun's IoT platform, and of platforms made after it, report.

Topic `/sys/<product key>/<device name>/thing/event/property/post`; `{"method": "thing.event.property.post", "params":
{name: value}}`, or `{name: {"value": …, "time": ms}}`. Packs and histories hold several devices. Documented in the
platform's "Device properties, events, and services". Names are those of the product's model, which are usual names for
air conditioners; it gives energy and power no unit in the payload, so `fields` must. `WorkMode` is an enumeration that
the platform's model of an air conditioner fixes; numbers under any other name of a mode need the source's `modes`. What
the cloud sets or asks is a command.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from monitor.decoders.formats.lenient_json import lenient_json
from monitor.decoders.formats.plain_values import PlainValues, as_id
from monitor.decoders.options import Options
from monitor.decoders.payloads import shown
from monitor.decoders.times import BadTimeError
from monitor.decoders.values import Found, UnreadableError
from monitor.ingest.message import Message

__all__ = ["Alink", "is_alink_topic"]

_WORK_MODE = {"0": 5, "1": 1, "2": 2, "3": 4, "4": 3}
"""The model's automatic, cooling, heating, ventilation, drying → ours."""
_POSTS = frozenset({"property/post", "property/pack/post", "property/history/post", "property/batch/post"})
_OTHER_POSTS = frozenset({"measurepoint/post", "properties/up"})
"""Behind `thing`, on platforms whose topics are else Aliyun's: EnOS, chn-das."""
_TENCENT = "report"
"""Its method where properties are sent."""
_POST_METHODS = frozenset(
    (
        *("thing.event." + post.replace("/", ".") for post in _POSTS),
        *("thing." + post.replace("/", ".") for post in _OTHER_POSTS),
        _TENCENT,
    )
)
_PACK_KEYS = frozenset({"properties", "events", "subDevices", "identity"})
_PRODUCT_KEYS, _DEVICE_KEYS = ("productKey", "productID", "productId"), ("deviceName", "deviceKey")
_PLATFORMS = frozenset({"$sys", "tylink"})
"""First levels of topics of platforms that are not Aliyun's."""
_REQUESTS = frozenset({"set", "get", "desired", "execute", "invoke"})
"""Last levels of topics by which a cloud sets or asks."""
_CACHED_TOPICS = 2000
_CACHED_SHAPES = 300
_LARGEST_SHAPE = 4000
"""[characters]"""


class _Topic(NamedTuple):
    device: str
    ignored: str
    """Why its messages are no readings; empty: they are, or their method says."""


def is_alink_topic(topic: str) -> bool:
    return topic.startswith(("/sys/", "/ota/", "/ext/", "$thing/")) or "/thing/" in topic


class Alink:
    """Reads Alink's messages of one source."""

    def __init__(self, options: Options, plain: PlainValues) -> None:
        self._plain = plain
        self._modes = options.modes
        self._topics: dict[str, _Topic] = {}
        self._mode_keys: dict[tuple[str, ...], tuple[str, ...]] = {}

    def read(self, message: Message, found: Found, document: Any = None) -> None:
        """document: the payload, if it was looked at already."""
        topic = self._topics.get(message.topic)
        if topic is None:
            if len(self._topics) >= _CACHED_TOPICS:
                self._topics.clear()
            topic = self._topics[message.topic] = _classified(message.topic)
        if topic.ignored:
            found.ignore(topic.ignored)
            return
        if document is None:
            document = lenient_json(message.payload)
        if type(document) is not dict:
            raise UnreadableError(f"expected an object, found {shown(document)}")
        method = document.get("method")
        if method is not None and (type(method) is not str or method not in _POST_METHODS):
            is_command = type(method) is str and method.startswith(("thing.service", "thing.property"))
            is_reply = type(method) is str and method.endswith("_reply")
            found.ignore("command" if is_command else "reply" if is_reply else "event")
            return
        if "code" in document and "params" not in document:
            found.ignore("reply")
            return
        device = _device_of(document) or topic.device
        for key in ("params", "items", "data"):  # items: as the platform's rules pass them on; data: Tuya's
            if key in document:
                # Of the others' messages it is no part: their properties have times of their own.
                sent = document.get("timestamp") if method == _TENCENT else None
                ts_ms = self._plain.time_ms(message, found, sent, device)
                self._read_params(message, found, document[key], device, ts_ms)
                return
        raise UnreadableError("neither params nor items")

    def _read_params(
        self, message: Message, found: Found, params: Any, device: str, ts_ms: int | None, depth: int = 0
    ) -> None:
        if type(params) is list:
            for each in params:
                if depth < 2:
                    self._read_params(message, found, each, device, ts_ms, depth + 1)
        elif type(params) is not dict:
            found.reject("malformed", f"{shown(device)}: expected an object of properties, found {shown(params)}")
        elif type(params.get("properties")) in (dict, list) and _PACK_KEYS.issuperset(params):
            identity = params.get("identity")
            device = (_device_of(identity) if type(identity) is dict else None) or device
            properties = params["properties"]
            for each in properties if type(properties) is list else (properties,):
                self._read_params(message, found, each, device, ts_ms, 2)
            if "subDevices" in params and depth < 2:
                self._read_params(message, found, params["subDevices"], device, ts_ms, depth + 1)
        elif type(points := params.get("measurepoints")) is dict:
            try:
                ts_ms = self._plain.time_ms(message, found, params.get("time"), device) or ts_ms
            except BadTimeError as error:
                found.reject(error.reason, error.detail)
                return
            self._read_properties(message, found, points, device, ts_ms)
        else:
            self._read_properties(message, found, params, device, ts_ms)

    def _read_properties(
        self, message: Message, found: Found, properties: dict[str, Any], device: str, ts_ms: int | None
    ) -> None:
        rows = [name for name, value in properties.items() if type(value) is list]
        for name in rows:
            for each in properties[name]:
                if type(each) is dict:
                    self._read_properties(message, found, {name: each}, device, ts_ms)
        modes = self._modes_in(properties)
        for name in modes:
            self._read_mode(message, found, name, properties[name], device, ts_ms)
        if rows or modes:
            properties = {key: value for key, value in properties.items() if key not in rows and key not in modes}
        self._plain.read(message, found, properties, device, ts_ms)

    def _read_mode(self, message: Message, found: Found, name: str, raw: Any, device: str, ts_ms: int | None) -> None:
        if type(raw) is list:
            return
        if type(raw) is dict:
            try:
                ts_ms = self._plain.time_ms(message, found, raw.get("time"), device) or ts_ms
            except BadTimeError as error:
                found.reject(error.reason, error.detail)
                return
            raw = raw.get("value")
        word = str(raw) if type(raw) is int and -1000 < raw < 1000 else raw
        if type(word) is str and word.strip().isdigit() and word.strip() not in self._modes:
            mode = _WORK_MODE.get(word.strip()) if name == "WorkMode" else None
            if mode is None:
                found.reject("bad_value", f"{shown(device)} {shown(name)}: {shown(raw)} is no mode that `modes` knows")
            else:
                found.add(device, "mode", float(mode), ts_ms, name)
        else:
            self._plain.names.add(found, device, name, raw, ts_ms)

    def _modes_in(self, properties: dict[str, Any]) -> tuple[str, ...]:
        shape = tuple(properties)
        modes = self._mode_keys.get(shape)
        if modes is None:
            meaning = self._plain.names.meaning
            modes = tuple(key for key in shape if (known := meaning(key)) is not None and known.quantity == "mode")
            if sum(map(len, shape)) + 8 * len(shape) <= _LARGEST_SHAPE:
                if len(self._mode_keys) >= _CACHED_SHAPES:
                    self._mode_keys.clear()
                self._mode_keys[shape] = modes
        return modes


def _device_of(body: dict[str, Any]) -> str | None:
    product = next((each for key in _PRODUCT_KEYS if (each := as_id(body.get(key))) is not None), None)
    if product is None:
        return None
    name = next((each for key in _DEVICE_KEYS if (each := as_id(body.get(key))) is not None), None)
    return None if name is None else f"{product}/{name}"


def _classified(topic: str) -> _Topic:
    levels = topic.strip("/").split("/")
    if "sys" not in levels[:-2]:
        if topic.startswith(("/ota/", "/ext/")):
            return _Topic(topic, "status")
        return _of_others(topic, levels)
    at = levels.index("sys")
    device = "/".join(levels[at + 1 : at + 3])
    if as_id(device) is None:
        device = topic
    kind, *rest = levels[at + 3 : at + 5] or [""]
    what = "/".join(levels[at + 5 :])
    if topic.endswith("_reply"):
        return _Topic(device, "reply")
    if kind == "thing" and rest == ["event"]:
        return _Topic(device, "" if what in _POSTS else "event")
    if kind == "thing" and "/".join((*rest, what)) in _OTHER_POSTS:
        return _Topic(device, "")
    if kind == "thing" and rest == ["model"]:
        return _Topic(device, "no_mapping" if what == "up_raw" else "command")
    is_command = kind == "rrpc" or (kind == "thing" and rest in (["service"], ["property"]))
    return _Topic(device, "command" if is_command else "status")


def _of_others(topic: str, levels: list[str]) -> _Topic:
    """Platforms made after it: `$sys/<product>/<device>/thing/property/post`, `tylink/<device>/thing/…/report`,
    Tencent's `$thing/up/property/<product>/<device>`."""
    if levels[0] == "$thing":
        device = "/".join(levels[3:]) or topic
        if levels[1:2] == ["down"]:
            return _Topic(device, "command")
        return _Topic(device, "" if levels[2:3] == ["property"] else "event")
    if "thing" not in levels:
        return _Topic(topic, "")
    at = levels.index("thing")
    before = levels[:at]
    if len(before) > 1 and before[0] in _PLATFORMS:
        before = before[1:]
    device = "/".join(before) or topic
    what, last = levels[at + 1 :], levels[-1]
    if last.endswith(("reply", "response")):
        return _Topic(device, "reply")
    if what[:1] == ["service"] or last in _REQUESTS:
        return _Topic(device, "command")
    return _Topic(device, "event" if what[:1] == ["event"] and "property" not in what else "")
