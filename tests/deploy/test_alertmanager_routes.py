"""Each alert reaches the people whom it concerns, by Alertmanager's own means."""

from __future__ import annotations

import csv
import subprocess

import pytest

from tests.deploy.alerting_files import ALERTMANAGER, ROOT, load
from tests.deploy.shortened import walk
from tests.services.process import require

pytestmark = pytest.mark.services

VIET_NAM, CHINA = "Việt Nam", "中国"
ORGS = {
    "Việt Nam/Lạng Sơn/Sở Xây dựng/Văn phòng Sở": "lang-son",
    "Việt Nam/Lạng Sơn": "lang-son",
    "Việt Nam/Lạng Sơn Mới": "viet-nam",
    "Việt Nam/TP. Hồ Chí Minh/Sở Giáo dục và Đào tạo/Khối THCS": "viet-nam",
    "Việt Nam": "viet-nam",
    "中国/四川省/成都市/教育局": "sichuan",
    "中国/四川省": "sichuan",
    "中国/河北省/石家庄市/发展和改革委员会": "china",
    "中国": "china",
    "Somewhere/Việt Nam": "operations",
    "": "operations",
}
"""Of the building, to who looks after it."""
CASES = [
    ({"scope": "service", "severity": "critical", "instance": "a"}, "operations"),
    ({"scope": "service", "severity": "warning", "instance": "a"}, "operations"),
    *(
        ({"scope": scope, "severity": severity, "building": "b"} | ({"org": org} if org else {}), people)
        for org, people in ORGS.items()
        for scope, severity in (("data", "warning"), ("verdict", "warning"), ("verdict", "critical"))
    ),
]


def amtool(*arguments: str) -> str:
    done = subprocess.run([require("amtool"), *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_configuration_is_good() -> None:
    assert "SUCCESS" in amtool("check-config", str(ALERTMANAGER))


@pytest.mark.parametrize(
    ("labels", "people"), CASES, ids=lambda value: "/".join(value.values()) if isinstance(value, dict) else value
)
def test_route(labels: dict[str, str], people: str) -> None:
    """Everything is mailed and, unless it is night, paged."""
    said = amtool(
        "config",
        "routes",
        "test",
        f"--config.file={ALERTMANAGER}",
        *(f'{name}="{value}"' for name, value in labels.items()),
    )
    assert said.strip() == f"{people}-page,{people}-mail"


def test_the_sign_of_life_goes_out_every_minute_to_the_switch_alone() -> None:
    said = amtool("config", "routes", "test", f"--config.file={ALERTMANAGER}", "scope=watchdog", "severity=none")
    assert said.strip() == "watchdog"
    (route,) = [route for route in walk(load(ALERTMANAGER)["route"]) if route["receiver"] == "watchdog"]
    assert load(ALERTMANAGER)["route"]["group_interval"] == "1m"
    assert "group_interval" not in route
    assert route["repeat_interval"] == "30s", "less: the last message is not yet a whole minute old a minute later"
    assert "mute_time_intervals" not in route


def test_every_receiver_is_somebody_s() -> None:
    config = load(ALERTMANAGER)
    reached = {"watchdog"} | {f"{people}-{by}" for _, people in CASES for by in ("page", "mail")}
    assert {receiver["name"] for receiver in config["receivers"]} == reached
    assert {route["receiver"] for route in walk(config["route"])} == reached


def test_every_org_of_the_sample_has_a_route_of_its_own() -> None:
    with (ROOT / "config/buildings.csv").open(encoding="utf-8", newline="") as file:
        orgs = {row["org"] for row in csv.DictReader(file)}
    for org in orgs:
        said = amtool("config", "routes", "test", f"--config.file={ALERTMANAGER}", f'org="{org}"', "scope=verdict")
        assert "operations" not in said, org


def test_only_warnings_are_held_back_at_night_and_only_pages_of_them() -> None:
    """And by the clock of the country whose people would be woken."""
    for route in walk(load(ALERTMANAGER)["route"]):
        is_page_of_warning = route["receiver"].endswith("-page") and 'severity="warning"' in route["matchers"]
        assert bool(route.get("mute_time_intervals")) == is_page_of_warning, route
        if is_page_of_warning:
            country = "china" if route["receiver"].startswith(("china", "sichuan")) else "viet-nam"
            assert route["mute_time_intervals"] == [f"night-{country}"]


def test_what_goes_out_is_grouped_by_building() -> None:
    route = load(ALERTMANAGER)["route"]
    assert route["group_by"] == ["building"]
    grouped_otherwise = [child for child in walk(route) if child.get("group_by", ["building"]) != ["building"]]
    assert [child["matchers"] for child in grouped_otherwise] == [['scope="service"']]
