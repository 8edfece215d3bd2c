"""What LoRaWAN network servers and their codecs send, made up."""

from __future__ import annotations

import base64
import struct
from typing import Any

from monitor.bench.turns import Turn, as_json, utc_text

__all__ = ["chirpstack_v3", "chirpstack_v4_frame", "chirpstack_v4_object", "milesight", "tts_v3"]

_EUI = "24e124"
"""Milesight's part of its devices' ids."""


def _lorawan_radio(turn: Turn) -> list[dict[str, Any]]:
    return [
        {
            "gatewayId": f"00005a5a{number:08x}",
            "uplinkId": 1_000_000 + turn.device * 100 + turn.round,
            "nsTime": utc_text(turn.utc, ".284117902"),
            "rssi": -71 - number,
            "snr": 9.5 - number,
            "channel": 3,
            "rfChain": 1,
            "location": {"latitude": 10.7731, "longitude": 106.6589, "altitude": 14.0},
            "context": "qm9ybA==",
            "metadata": {"region_common_name": "AS923", "region_config_id": "as923"},
            "crcStatus": "CRC_OK",
        }
        for number in range(2)
    ]


def _chirpstack_v4(turn: Turn, **body: Any) -> tuple[str, bytes]:
    eui = _EUI + turn.hexadecimal(10)
    document = {
        "deduplicationId": f"00000000-0000-4000-8000-{turn.device:06x}{turn.round:06x}",
        "time": utc_text(turn.utc, ".284117902")[:-1] + "+00:00",
        "deviceInfo": {
            "tenantId": "7d2f0e6a-5a10-4d0b-9d8e-000000000001",
            "tenantName": "schools",
            "applicationId": "c1a54f63-1b22-4a0b-9b8e-000000000002",
            "applicationName": "meters",
            "deviceProfileId": "0b8e2f10-77aa-4c41-8c7e-000000000003",
            "deviceProfileName": "three-phase meter",
            "deviceName": f"floor-{turn.device}",
            "devEui": eui,
            "deviceClassEnabled": "CLASS_C",
            "tags": {"building": f"school-{turn.device // 10}"},
        },
        "devAddr": turn.hexadecimal(8),
        "adr": True,
        "dr": 3,
        "fCnt": turn.round,
        "fPort": 85,
        "confirmed": False,
        **body,
        "rxInfo": _lorawan_radio(turn),
        "txInfo": {
            "frequency": 923_200_000,
            "modulation": {"lora": {"bandwidth": 125_000, "spreadingFactor": 9, "codeRate": "CR_4_5"}},
        },
        "regionConfigId": "as923",
    }
    return f"application/c1a54f63-1b22-4a0b-9b8e-000000000002/device/{eui}/event/up", as_json(document)


def _milesight_object(turn: Turn) -> dict[str, Any]:
    return {
        "active_power": turn.watt,
        "current": turn.watt * 4.4,
        "power_consumption": round(turn.kwh * 1000),
        "power_factor": 97,
        "socket_status": "on",
        "voltage": 229.8,
    }


def chirpstack_v4_object(turn: Turn) -> tuple[str, bytes]:
    return _chirpstack_v4(turn, data="A2cKAQRoZQ==", object=_milesight_object(turn))


def chirpstack_v4_frame(turn: Turn) -> tuple[str, bytes]:
    """Milesight's channels: voltage, power, power factor, energy, current, switch."""
    frame = struct.pack(
        "<BBHBBIBBBBBIBBHBBB",
        *(0x03, 0x74, 2298, 0x04, 0x80, round(turn.watt), 0x05, 0x81, 97, 0x06, 0x83, round(turn.kwh * 1000)),
        *(0x07, 0xC9, 4100, 0x08, 0x70, 1),
    )
    info = _chirpstack_v4(turn, data=base64.b64encode(frame).decode())
    return info[0], info[1].replace(b'"three-phase meter"', b'"Milesight WS523"')


def chirpstack_v3(turn: Turn) -> tuple[str, bytes]:
    eui = _EUI + turn.hexadecimal(10)
    document = {
        "applicationID": "7",
        "applicationName": "meters",
        "deviceName": f"floor-{turn.device}",
        "deviceProfileName": "plug",
        "deviceProfileID": "0b8e2f10-77aa-4c41-8c7e-000000000003",
        "devEUI": eui,
        "rxInfo": [
            {
                "gatewayID": f"00005a5a{number:08x}",
                "uplinkID": f"00000000-0000-4000-8000-{turn.device:06x}{turn.round:06x}",
                "name": f"roof-{number}",
                "time": utc_text(turn.utc, ".284117Z")[:-1],
                "rssi": -80,
                "loRaSNR": 7.2,
                "location": {"latitude": 10.7731, "longitude": 106.6589, "altitude": 14},
            }
            for number in range(2)
        ],
        "txInfo": {"frequency": 923_200_000, "dr": 5},
        "adr": True,
        "fCnt": turn.round,
        "fPort": 85,
        "data": "A2cKAQRoZQ==",
        "object": _milesight_object(turn),
        "tags": {"building": f"school-{turn.device // 10}"},
    }
    return f"application/7/device/{eui}/event/up", as_json(document)


def tts_v3(turn: Turn) -> tuple[str, bytes]:
    received = utc_text(turn.utc, ".284117902")
    document = {
        "end_device_ids": {
            "device_id": f"floor-{turn.device}",
            "application_ids": {"application_id": "meters"},
            "dev_eui": (_EUI + turn.hexadecimal(10)).upper(),
            "join_eui": "0000000000000000",
            "dev_addr": turn.hexadecimal(8).upper(),
        },
        "correlation_ids": [f"gs:uplink:01J{turn.device:011X}{turn.round:012X}"],
        "received_at": received,
        "uplink_message": {
            "session_key_id": "AZAAAAAAAAAAAAAAAAAAAA==",
            "f_port": 85,
            "f_cnt": turn.round,
            "frm_payload": "A2cKAQRoZQ==",
            "decoded_payload": _milesight_object(turn),
            "rx_metadata": [
                {
                    "gateway_ids": {"gateway_id": f"roof-{number}", "eui": f"00005A5A{number:08X}"},
                    "time": received,
                    "timestamp": 3_100_000_000 + turn.round,
                    "rssi": -81,
                    "channel_rssi": -81,
                    "snr": 8.2,
                    "location": {
                        "latitude": 10.7731,
                        "longitude": 106.6589,
                        "altitude": 14,
                        "source": "SOURCE_REGISTRY",
                    },
                    "uplink_token": "Ch4KHAoQcm9vZi0wMDAwMDAwMDAwMBIIAABaWgAAAAEQ" + turn.hexadecimal(12),
                    "received_at": received,
                }
                for number in range(2)
            ],
            "settings": {
                "data_rate": {"lora": {"bandwidth": 125_000, "spreading_factor": 9, "coding_rate": "4/5"}},
                "frequency": "923200000",
                "timestamp": 3_100_000_000 + turn.round,
                "time": received,
            },
            "received_at": received,
            "consumed_airtime": "0.205824s",
            "network_ids": {
                "net_id": "000013",
                "ns_id": "EC656E0000000181",
                "tenant_id": "school",
                "cluster_id": "au1",
            },
        },
    }
    return f"v3/meters@school/devices/floor-{turn.device}/up", as_json(document)


def milesight(turn: Turn) -> tuple[str, bytes]:
    return f"milesight/{turn.hexadecimal(16)}", as_json(_milesight_object(turn))
