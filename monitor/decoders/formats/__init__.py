"""What gateways send, one file a format, and the table that names them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from monitor.decoders.formats.ac_controllers import AcControllers
from monitor.decoders.formats.ams_han import AmsHan
from monitor.decoders.formats.aws_azure import AwsAzure
from monitor.decoders.formats.chinese_gateway import ChineseGateway
from monitor.decoders.formats.chirpstack import ChirpStackV3, ChirpStackV4
from monitor.decoders.formats.dsmr_p1 import DsmrP1
from monitor.decoders.formats.esphome import Esphome
from monitor.decoders.formats.ha_climate import HaClimate
from monitor.decoders.formats.homie import Homie, check_homie
from monitor.decoders.formats.line_protocol import LineProtocol
from monitor.decoders.formats.line_protocol import check_options as check_line_protocol
from monitor.decoders.formats.mapper import Mapper
from monitor.decoders.formats.mapper import check as check_mapper
from monitor.decoders.formats.milesight import Milesight
from monitor.decoders.formats.modbus_gateway import ModbusGateway
from monitor.decoders.formats.native import Native
from monitor.decoders.formats.neuron import Neuron
from monitor.decoders.formats.obis_json import ObisJson
from monitor.decoders.formats.senml import SenML
from monitor.decoders.formats.shelly_gen1 import ShellyGen1
from monitor.decoders.formats.shelly_gen2 import ShellyGen2
from monitor.decoders.formats.sparkplug_b import SparkplugB
from monitor.decoders.formats.tasmota import Tasmota
from monitor.decoders.formats.teleinfo import Teleinfo
from monitor.decoders.formats.things_stack import ThingsStack
from monitor.decoders.formats.thingsboard import ThingsBoard
from monitor.decoders.formats.vzlogger import Vzlogger
from monitor.decoders.formats.wirenboard import WirenBoard
from monitor.decoders.formats.wmbusmeters import Wmbusmeters
from monitor.decoders.formats.zigbee2mqtt import Zigbee2Mqtt
from monitor.decoders.formats.zigbee2mqtt import check_options as check_zigbee2mqtt
from monitor.decoders.options import Options
from monitor.decoders.state import SourceState
from monitor.decoders.values import Format

__all__ = ["FORMATS", "Entry", "no_options", "one_of"]

Check = Callable[[Mapping[str, Any]], list[tuple[str, str]]]
"""Of a source's further options: what is wrong, each as the key's path (`a.b`) and a text with what was found and what
was expected."""


def no_options(more: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [(key, "unknown key for this format; it has no options of its own") for key in more]


def one_of(**choices: tuple[Any, ...]) -> Check:
    """A check of options that have a few values each: name → what it may be."""

    def check(more: Mapping[str, Any]) -> list[tuple[str, str]]:
        problems = []
        for key, value in more.items():
            if key not in choices:
                problems.append((key, f"unknown key for this format; it has {', '.join(choices)}"))
            elif value not in choices[key] or (isinstance(value, bool) and True not in choices[key]):
                expected = ", ".join(str(choice).lower() for choice in choices[key])
                problems.append((key, f"found {value!r}, expected one of {expected}"))
        return problems

    return check


class Entry(NamedTuple):
    make: Callable[[Options, SourceState], Format]
    check: Check = no_options
    """Of the options that only this format has (`Options.more`)."""


FORMATS: dict[str, Entry] = {
    "native": Entry(Native),
    "mapper": Entry(Mapper, check_mapper),
    "chirpstack_v4": Entry(ChirpStackV4),
    "chirpstack_v3": Entry(ChirpStackV3),
    "tts_v3": Entry(ThingsStack),
    "milesight_codec": Entry(Milesight),
    "wmbusmeters": Entry(Wmbusmeters),
    "obis_json": Entry(ObisJson),
    "dsmr_p1": Entry(DsmrP1),
    "ams_han": Entry(AmsHan),
    "teleinfo2mqtt": Entry(Teleinfo),
    "vzlogger": Entry(Vzlogger),
    "shelly_gen2": Entry(ShellyGen2),
    "shelly_gen1": Entry(ShellyGen1),
    "tasmota": Entry(Tasmota),
    "zigbee2mqtt": Entry(Zigbee2Mqtt, check_zigbee2mqtt),
    "sparkplug_b": Entry(SparkplugB, one_of(rebirth=(True, False))),
    "senml": Entry(SenML),
    "influx_line_protocol": Entry(LineProtocol, check_line_protocol),
    "ac_controllers": Entry(AcControllers, one_of(wishes=(True, False), temperature_unit=("C", "F"))),
    "ha_mqtt_climate": Entry(HaClimate, one_of(temperature_unit=("C", "F"))),
    "esphome": Entry(Esphome),
    "homie": Entry(Homie, check_homie),
    "wirenboard": Entry(WirenBoard),
    "thingsboard_gateway": Entry(ThingsBoard),
    "neuron_gateway": Entry(Neuron, one_of(dlt645=("scaled", "raw"))),
    "chinese_gateway": Entry(ChineseGateway),
    "modbus_gateway": Entry(ModbusGateway),
    "aws_azure": Entry(AwsAzure),
}
"""Name of a format in the configuration → what reads it. In the order in which docs/gateways.md tells of them."""
