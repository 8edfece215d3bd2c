"""Words for modes and switches, as controllers of many makes write them."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["MODE_WORDS", "SAYS_OTHERWISE", "SWITCH_WORDS", "mode_number", "switch_value"]

MODE_WORDS: dict[str, int] = {
    "off": 0, "stop": 0, "standby": 0, "power_off": 0, "关": 0, "关机": 0, "关闭": 0, "停止": 0, "tắt": 0,
    "cool": 1, "cooling": 1, "cold": 1, "refrigeration": 1, "precooling": 1, "制冷": 1, "制冷模式": 1, "lạnh": 1,
    "làm_lạnh": 1, "mát": 1, "làm_mát": 1,
    "heat": 2, "heating": 2, "emergency_heat": 2, "emergency_heating": 2, "制热": 2, "制热模式": 2, "sưởi": 2,
    "sưởi_ấm": 2, "nóng": 2, "làm_nóng": 2,
    "dry": 3, "drying": 3, "dehumidify": 3, "dehumidification": 3, "dehumidifying": 3, "dehum": 3, "除湿": 3,
    "除湿模式": 3, "抽湿": 3, "khô": 3, "làm_khô": 3, "hút_ẩm": 3,
    "fan": 4, "fan_only": 4, "fanonly": 4, "fan_mode": 4, "vent": 4, "ventilation": 4, "ventilate": 4, "wind": 4,
    "blow": 4, "air_supply": 4, "送风": 4, "送风模式": 4, "通风": 4, "quạt": 4, "quạt_gió": 4, "thông_gió": 4,
    "auto": 5, "automatic": 5, "heat_cool": 5, "heatcool": 5, "cool_heat": 5, "auto_heat_cool": 5, "changeover": 5,
    "自动": 5, "自动模式": 5, "tự_động": 5,
}  # fmt: skip
"""Word, in lower case, spaces and hyphens as `_` → mode: 0 off, 1 cool, 2 heat, 3 dry, 4 fan, 5 auto."""

SWITCH_WORDS: dict[str, float] = {
    "on": 1.0, "true": 1.0, "yes": 1.0, "open": 1.0, "running": 1.0, "run": 1.0, "enabled": 1.0, "1": 1.0,
    "开": 1.0, "开机": 1.0, "开启": 1.0, "打开": 1.0, "运行": 1.0, "bật": 1.0, "mở": 1.0, "chạy": 1.0,
    "off": 0.0, "false": 0.0, "no": 0.0, "closed": 0.0, "close": 0.0, "stopped": 0.0, "stop": 0.0, "disabled": 0.0,
    "standby": 0.0, "0": 0.0, "关": 0.0, "关机": 0.0, "关闭": 0.0, "停止": 0.0, "停机": 0.0, "tắt": 0.0, "dừng": 0.0,
}  # fmt: skip
"""Word, in lower case → on."""

SAYS_OTHERWISE = frozenset(
    {
        "today", "daily", "day", "yesterday", "week", "weekly", "month", "monthly", "year", "yearly", "hour",
        "hourly", "max", "maximum", "min", "minimum", "peak", "avg", "average", "mean", "demand", "estimate",
        "estimated", "forecast", "limit", "rated", "nominal", "apparent", "reactive", "export", "exported",
        "returned", "generated", "production", "produced", "solar", "pv", "battery", "l1", "l2", "l3", "phase",
        "outdoor", "outside", "water", "supply", "flow", "return", "inlet", "outlet", "dew", "cpu", "board",
        "internal", "chip", "setpoint", "target",
    }
)  # fmt: skip
"""Words of a name that make what is measured another thing than its unit alone says."""


def mode_number(raw: object, modes: Mapping[str, int] | None = None) -> int | None:
    """The mode that a word or a number stands for, None if none. `modes`: the installer's own come first.

    A number is one of ours, 0 to 5, unless `modes` says otherwise.
    """
    if isinstance(raw, bool):
        return None
    if isinstance(raw, float) and raw.is_integer():
        raw = int(raw)
    if not isinstance(raw, int | str):
        return None
    if isinstance(raw, int) and abs(raw) > 1_000_000:
        return None
    word = str(raw).strip().lower()
    if modes and word in modes:
        return modes[word]
    if len(word) == 1 and word in "012345":
        return int(word)
    return MODE_WORDS.get(word.replace(" ", "_").replace("-", "_"))


def switch_value(raw: object) -> float | None:
    """1.0 or 0.0 for what says on or off: true, false, 1, 0 or a word; None for anything else."""
    if isinstance(raw, bool):
        return float(raw)
    if isinstance(raw, int | float):
        return float(raw) if raw in (0, 1) else None
    return SWITCH_WORDS.get(raw.strip().lower()) if isinstance(raw, str) else None
