"""The buildings that `make_scenario` makes up: kinds, names and policies."""

from __future__ import annotations

from typing import NamedTuple

from monitor.registry import AcRules, Policy, Source, Window

__all__ = ["PLACES", "POLICIES", "Place"]


class Place(NamedTuple):
    """area_m2, occupants: of a building of usual size; the seed varies both."""

    name: str
    org: str
    kind: str
    timezone: str
    policy: str
    area_m2: float
    occupants: float


_VN, _CN = "Asia/Ho_Chi_Minh", "Asia/Shanghai"
PLACES: tuple[Place, ...] = (
    Place("Bệnh viện Đa khoa tỉnh", "Lạng Sơn/Sở Y tế/Bệnh viện", "hospital", _VN, "sim-vn", 18_000, 1_400),
    Place("成都市政务服务中心", "四川/成都/机关事务管理局", "office", _CN, "sim-cn", 12_000, 650),
    Place("Trường THPT Chu Văn An", "Lạng Sơn/Sở Giáo dục và Đào tạo/Trường", "school", _VN, "sim-vn", 7_500, 1_200),
    Place("石家庄市第二医院", "河北/石家庄/卫生健康委", "hospital", _CN, "sim-cn", 26_000, 1_900),
    Place("Sở Xây dựng", "Lạng Sơn/Sở Xây dựng/Văn phòng", "office", _VN, "sim-vn", 5_200, 240),
    Place("树德中学", "四川/成都/教育局", "school", _CN, "sim-cn", 14_000, 2_100),
    Place("Ủy ban nhân dân tỉnh", "Lạng Sơn/Ủy ban/Văn phòng", "office", _VN, "sim-vn", 9_000, 420),
    Place("四川省人民医院分院", "四川/成都/卫生健康委", "hospital", _CN, "sim-cn", 31_000, 2_300),
    Place("Trường Tiểu học Đông Kinh", "Lạng Sơn/Sở Giáo dục và Đào tạo/Trường", "school", _VN, "sim-vn", 4_100, 800),
    Place("河北省财政厅", "河北/石家庄/财政厅", "office", _CN, "sim-cn", 15_500, 700),
    Place("Trung tâm Y tế Cao Lộc", "Lạng Sơn/Sở Y tế/Trung tâm", "hospital", _VN, "sim-vn", 6_300, 380),
    Place("石家庄第一中学", "河北/石家庄/教育局", "school", _CN, "sim-cn", 11_000, 1_800),
)
"""Repeated with a number behind the name when more are asked for."""

_MADE_UP = tuple(
    Source(rule, document="Made up for the simulator: no regulation", article="-", verified=False)
    for rule in ("windows", "ac.cool_min_c", "ac.heat_max_c", "ac.allowed")
)
_WORKING_DAY = frozenset({"workday"})
# Peak hours on every day of the week and no months for the set-points; in Việt Nam, where the building stands that
# breaks every rule, air conditioners run every day: a run of a day shows every rule on any day of any year.
POLICIES: dict[str, Policy] = {
    "sim-vn": Policy(
        id="sim-vn",
        name="Simulated, Việt Nam",
        windows=(
            Window("peak", 9 * 60 + 30, 11 * 60 + 30),
            Window("peak", 17 * 60 + 30, 22 * 60 + 30),
            Window("offpeak", 0, 6 * 60),
        ),
        country="VN",
        ac=AcRules(cool_min_c=26.0, heat_max_c=20.0, allowed=(Window("", 7 * 60, 18 * 60),)),
        sources=_MADE_UP,
    ),
    "sim-cn": Policy(
        id="sim-cn",
        name="模拟",
        windows=(
            Window("critical", 15 * 60, 17 * 60, months=frozenset({7, 8})),
            Window("critical", 19 * 60, 21 * 60, months=frozenset({1, 12})),
            Window("peak", 10 * 60, 12 * 60),
            Window("peak", 15 * 60, 21 * 60),
            Window("offpeak", 23 * 60, 31 * 60),
        ),
        country="CN",
        tolerance=0.02,
        clear_ratio=0.98,
        ac=AcRules(cool_min_c=26.0, heat_max_c=20.0, allowed=(Window("", 7 * 60, 18 * 60 + 30, _WORKING_DAY),)),
        sources=_MADE_UP,
    ),
}
