"""Topics by format, as gateways publish on them, and topics that a broker hands on all the same."""

from __future__ import annotations

__all__ = ["ODD_TOPICS", "TOPICS"]

TOPICS: dict[str, tuple[str, ...]] = {
    "native": (
        "meters/gw-1/M-1",
        "meters/gw-1/all",
    ),
    "mapper": (
        "plant/floor 1/meter-7/data",
        "a",
    ),
    "chirpstack_v4": (
        "application/17c8/device/70b3d5499a000001/event/up",
        "application/1/device/70b3/event/join",
    ),
    "chirpstack_v3": (
        "application/7/device/70b3d5499a000001/event/up",
        "application/7/device/70b3/event/status",
    ),
    "tts_v3": (
        "v3/meters@building/devices/floor-1/up",
        "v3/meters/devices/floor-1/down/queued",
        "v3/a@b/devices/c/join",
    ),
    "milesight_codec": (
        "milesight/floor 1",
        "uplink/24e124000000a001",
    ),
    "wmbusmeters": (
        "wmbusmeters/00112233",
        "wmbusmeters/kitchen",
    ),
    "obis_json": (
        "aiida/4711",
        "obis/meter-1",
    ),
    "dsmr_p1": (
        "dsmr/raw",
        "p1/telegram",
        "dsmr/json",
        "dsmr/reading/electricity_delivered_1",
    ),
    "ams_han": (
        "amsleser/house",
        "amsleser/house/list3",
        "amsleser/house/realtime",
        "pub/import/active/accumulated",
    ),
    "teleinfo2mqtt": (
        "teleinfo/021000000001",
        "teleinfo/021000000001/BASE",
    ),
    "vzlogger": (
        "vzlogger/data/chn0/raw",
        "vzlogger/data/chn0/agg",
        "vzlogger/data/chn0/uuid",
        "vz/6836dd20-00d5-11e0",
    ),
    "shelly_gen2": (
        "shellypro3em-08f9e0000001/events/rpc",
        "shellyplus1pm-08f9e0000002/status/switch:0",
        "x/online",
        "shellyplus1pm-08f9e0000002/command",
    ),
    "shelly_gen1": (
        "shellies/shellyem3-08F9E0000001/emeter/0/total",
        "shellies/shellyem3-08F9E0000001/emeter/0/power",
        "shellies/shellyplug-s-08F9E1/relay/0/energy",
        "shellies/shellyplug-s-08F9E1/relay/0",
        "shellies/announce",
        "shellies/shellyplug-s-08F9E1/relay/0/command",
    ),
    "tasmota": (
        "tele/floor 1/SENSOR",
        "tele/floor 1/STATE",
        "stat/floor 1/STATUS8",
        "cmnd/floor 1/Power",
        "tele/f/LWT",
    ),
    "zigbee2mqtt": (
        "zigbee2mqtt/floor 1/plug",
        "zigbee2mqtt/bridge/devices",
        "zigbee2mqtt/plug/set",
        "zigbee2mqtt/plug/energy",
    ),
    "sparkplug_b": (
        "spBv1.0/plant/NBIRTH/edge 1",
        "spBv1.0/plant/NDATA/edge 1",
        "spBv1.0/plant/NDEATH/edge 1",
        "spBv1.0/plant/DBIRTH/edge 1/m1",
        "spBv1.0/plant/DDATA/edge 1/m1",
        "spBv1.0/plant/DDEATH/edge 1/m1",
        "spBv1.0/plant/NCMD/edge 1",
        "spBv1.0/plant/DCMD/edge 1/m1",
    ),
    "senml": (
        "senml/floor-1",
        "m",
    ),
    "influx_line_protocol": (
        "telegraf/host/modbus",
        "telegraf",
    ),
    "ac_controllers": (
        "state/klima",
        "state/klima/status",
        "command/klima/control",
        "tele/ir/RESULT",
        "stat/ir/RESULT",
        "panasonic_heat_pump/main/Room_Thermostat_Temp",
        "panasonic_heat_pump/main/Operating_Mode_State",
        "P1P2/P/P1P2MQTT/bridge0/T/1/Temperature_Room",
        "P1P2/P/P1P2MQTT/bridge0/S/0/Altherma_On",
        "mitsubishi/unit/settings",
        "mitsubishi/unit/state",
        "MHI-AC-Ctrl/Power",
        "MHI-AC-Ctrl/Mode",
        "gree/f4911e000001/temperature/get",
        "gree/f4911e000001/mode/set",
    ),
    "ha_mqtt_climate": (
        "study/ac/mode/state",
        "study/ac/temperature/state",
        "study/ac/mode/set",
        "study/ac/current_temp",
    ),
    "esphome": (
        "meter/sensor/energy_total/state",
        "ac/climate/unit/mode/state",
        "ac/status",
        "ac/switch/a/command",
    ),
    "homie": (
        "homie/5/meter/electricity/energy",
        "homie/5/meter/$description",
        "homie/5/meter/$state",
        "homie/4/m/$nodes",
        "homie/meter/electricity/energy/$unit",
        "homie/5/meter/ac/mode/set",
        "homie/5/meter/ac/mode/$target",
    ),
    "wirenboard": (
        "/devices/wb-map3e_1/controls/Total AP energy",
        "/devices/wb-map3e_1/controls/Total AP energy/meta",
        "/devices/wb-map3e_1/controls/Total P/meta/units",
        "/devices/wb-map3e_1/controls/K1/on",
        "/devices/d/meta",
    ),
    "thingsboard_gateway": (
        "v1/gateway/telemetry",
        "v1/devices/me/telemetry",
        "v1/gateway/attributes",
        "v1/gateway/rpc",
    ),
    "neuron_gateway": (
        "/neuron/app",
        "neuron/app/upload",
        "/neuron/app/write/req",
    ),
    "chinese_gateway": (
        "device/power/up/gw1",
        "/sys/a1b2c3/gw-1/thing/event/property/post",
        "/sys/a1b2c3/gw-1/thing/service/property/set",
        "device/power/down/gw1",
    ),
    "modbus_gateway": (
        "mbmd/sdm1-1/Import",
        "mbmd/sdm1-1/Power/L1",
        "mbmd/status",
        "wt/410/up",
        "gw/response",
    ),
    "aws_azure": (
        "$aws/things/meter-1/shadow/update",
        "$aws/things/meter-1/shadow/update/accepted",
        "lorawan/s/a/things/t/up",
        "$aws/things/meter-1/shadow/name/ac/update/delta",
        "$iothub/twin/res/200/?$rid=1",
        "$iothub/twin/PATCH/properties/desired/?$version=2",
        "devices/meter-1/messages/events/",
        "devices/m/messages/events/%24.sub=ac&iothub-creation-time-utc=2026-06-28T09%3A15%3A00Z",
    ),
}
"""What is usual in a format; one that is not here is tried with what its fixtures have."""

ODD_TOPICS = (
    *("", "/", "//", "a", "a/", "/a", "+", "#", "$", "$SYS/broker", " / ", "a b/c d/é/終", "x" * 1000, "/" * 1000),
    *(
        "\U0001f600/\ufffe/\u202e",
        "%2F/%",
        "a/" * 200,
        "../..",
        "{}/[]/'\"",
        "\t\n/\x01",
        "0/-1/1e999",
        "NaN/null/true",
    ),
)
"""What a broker hands on all the same, as long as a source lets it be."""
