"""A configuration folder is read to the letter, and what is wrong with it is told whole."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from monitor.config import check, load_registry
from monitor.config.field_patterns import common_name
from monitor.errors import ConfigError, Problem
from monitor.registry import Device, Registry, Window

NOW_MS = 1_782_000_000_000  # 2026-06-21
BUILDINGS = "id,timezone,policy\nb1,Asia/Ho_Chi_Minh,p\n"
DEVICES = "id,building,kind,max_rate\nm1,b1,meter,100\n"
POLICY = "id: p\n"


def write(folder: Path, *, buildings: str = BUILDINGS, devices: str = DEVICES, **policies: str) -> Path:
    (folder / "policies").mkdir(exist_ok=True)
    (folder / "buildings.csv").write_text(buildings, "utf-8")
    (folder / "devices.csv").write_text(devices, "utf-8")
    for name, text in (policies or {"p": POLICY}).items():
        (folder / "policies" / f"{name}.yaml").write_text(text, "utf-8")
    return folder


def load(folder: Path, **files: str) -> tuple[Registry, list[Problem]]:
    return load_registry(write(folder, **files), now_ms=NOW_MS)


def errors(folder: Path, **files: str) -> list[Problem]:
    with pytest.raises(ConfigError) as caught:
        load(folder, **files)
    assert not any(problem.warning for problem in caught.value.problems)
    return list(caught.value.problems)


def device(folder: Path, cells: str, *, buildings: str = BUILDINGS) -> Device:
    """The device that one row after the header of all columns gives."""
    header = (
        "id,building,kind,name,gateway,item,source,multiplier,max_rate,register_max,jitter,cadence_s,max_gap_s,exempt"
    )
    return load(folder, buildings=buildings, devices=f"{header}\n{cells}\n")[0].devices[0]


def test_smallest_configuration(tmp_path: Path) -> None:
    registry, problems = load(tmp_path)
    assert [building.id for building in registry.buildings] == ["b1"]
    assert registry.period_names == ("normal",)
    assert problems == []


def test_defaults_of_a_meter(tmp_path: Path) -> None:
    assert device(tmp_path, "m1,b1,meter,,,,,,,,,,,") == Device(
        id="m1", building="b1", kind="meter", item="total", max_rate=None, jitter=0.1, cadence_s=900, max_gap_s=3600
    )


def test_defaults_of_an_ac(tmp_path: Path) -> None:
    assert device(tmp_path, "a1,b1,ac,,,,,,,,,,,") == Device(
        id="a1", building="b1", kind="ac", item="", cadence_s=300, max_gap_s=1200
    )


def test_every_cell_of_a_meter(tmp_path: Path) -> None:
    cells = 'm1,b1,meter,"Công tơ, tầng 1",gw-1,hvac,power,-2.5,80,1000,0,60,90,'
    assert device(tmp_path, cells) == Device(
        id="m1",
        building="b1",
        kind="meter",
        name="Công tơ, tầng 1",
        gateway="gw-1",
        item="hvac",
        source="power",
        multiplier=-2.5,
        max_rate=80,
        register_max=1000,
        jitter=0,
        cadence_s=60,
        max_gap_s=90,
    )


@pytest.mark.parametrize(
    ("cells", "max_rate"),
    [
        ("m1,b1,meter,,,,,,,,,,,", 400),
        ("m1,b1,meter,,,pv,power,,,,,,,", 400),
        ("m1,b1,meter,,,,,,90,,,,,", 90),
        ("m1,b1,meter,,,water,,,,,,,,", None),
        ("m1,b1,meter,,,cooling,,,,,,,,", None),
        ("m1,b1,ac,,,,,,,,,,,", None),
    ],
)
def test_max_rate_is_four_times_the_contract_for_electricity(
    tmp_path: Path, cells: str, max_rate: float | None
) -> None:
    buildings = "id,timezone,policy,contract_kw\nb1,UTC,p,100\n"
    assert device(tmp_path, cells, buildings=buildings).max_rate == max_rate


@pytest.mark.parametrize(
    ("cell", "exempt"),
    [
        ("", set()),
        ("all", {"ac_cool_setpoint", "ac_heat_setpoint", "ac_hours"}),
        ("ac_hours; ac_cool_setpoint;", {"ac_hours", "ac_cool_setpoint"}),
    ],
)
def test_exempt(tmp_path: Path, cell: str, exempt: set[str]) -> None:
    assert device(tmp_path, f"a1,b1,ac,,,,,,,,,,,{cell}").exempt == exempt


def test_every_cell_of_a_building_with_bom_own_columns_and_blank_rows(tmp_path: Path) -> None:
    buildings = (
        "\ufeffid,timezone,policy,name,org,kind,area_m2,occupants,contract_kw,peak_limit_kw,peak_budget_kwh,x_note,\r\n"
        ",,,,,,,,,,,,\r\n"
        "b1, Asia/Ho_Chi_Minh ,p,Tòa nhà,Lạng Sơn / Sở Xây dựng,office,12.5,3,100,0,1e2,anything,\r\n"
    )
    building = load(tmp_path, buildings=buildings)[0].buildings[0]
    assert (building.timezone, building.name, building.org) == ("Asia/Ho_Chi_Minh", "Tòa nhà", "Lạng Sơn/Sở Xây dựng")
    assert (building.area_m2, building.occupants, building.contract_kw) == (12.5, 3, 100)
    assert (building.peak_limit_kw, building.peak_budget_kwh) == (0, 100)


def test_rows_are_dense_and_all_that_belongs_to_a_building_is_one_slice(tmp_path: Path) -> None:
    registry, _ = load(
        tmp_path,
        buildings="id,timezone,policy\nb1,UTC,q\nb2,UTC,p\nb3,UTC,p\n",
        devices="id,building,kind,item\nd1,b3,meter,\nd2,b1,meter,hvac\nd3,b3,ac,\nd4,b1,meter,total\nd5,b3,meter,total\n",
        p="id: p\nwindows: [{period: peak, from: 1:00, to: 2:00}, {period: deep, from: 3:00, to: 4:00}]\n",
        q="id: q\ndefault_period: flat\nwindows: [{period: peak, from: 1:00, to: 2:00}]\n",
    )
    assert [device.id for device in registry.devices] == ["d2", "d4", "d1", "d3", "d5"]
    assert registry.device_row == {"d2": 0, "d4": 1, "d1": 2, "d3": 3, "d5": 4}
    assert registry.device_building.tolist() == [0, 0, 2, 2, 2]
    assert registry.device_start.tolist() == [0, 2, 2, 5]
    assert [(item.building, item.name, item.meters) for item in registry.items] == [
        (0, "hvac", (0,)),
        (0, "total", (1,)),
        (2, "total", (2, 4)),
    ]
    assert registry.item_start.tolist() == [0, 2, 2, 3]
    assert registry.period_names == ("normal", "peak", "deep", "flat")


def window_of(folder: Path, text: str) -> Window:
    return load(folder, p=f"id: p\nwindows:\n  - {{period: peak, {text}}}\n")[0].policies["p"].windows[0]


@pytest.mark.parametrize(
    ("text", "from_min", "to_min"),
    [
        ('from: "17:30", to: "22:30"', 1050, 1350),
        ("from: 17:30, to: 22:30", 1050, 1350),
        ("from: 08:15, to: 9:00", 495, 540),
        ("from: 0:00, to: 24:00", 0, 1440),
        ('from: 1050, to: "24:00"', 1050, 1440),
        ("from: 22:00, to: 04:00", 1320, 1680),
        ("from: 16:15, to: 16:15", 975, 2415),
        ("from: 22:00, to: 0", 1320, 1440),
    ],
)
def test_times_of_day(tmp_path: Path, text: str, from_min: int, to_min: int) -> None:
    window = window_of(tmp_path, text)
    assert (window.from_min, window.to_min) == (from_min, to_min)


def test_every_key_of_a_policy(tmp_path: Path) -> None:
    text = """
id: 007
name: An example
demand_interval_min: 30
grace_s: 0900
default_period: flat
windows:
  - period: critical
    days: [mon, holiday]
    from: 22:00
    to: 04:00
    months: [08, 9]
    since: 2024-01-01
    until: "2026-04-22"
holidays: {country: NO, extra: [2026-05-04, "2026-05-05"], workdays: [2026-08-22]}
peak_demand: {tolerance: 0.05, clear_ratio: 1.05, min_coverage: 1}
ac:
  cool_min_c: 26
  heat_max_c: 20.0
  tolerance_c: 0.5
  auto_counts: heat
  min_duration_s: 0
  clear_duration_s: 120
  cool_months: [4, 5]
  heat_months: [12]
  allowed:
    - {days: [workday], from: 07:31, to: "17:29"}
sources:
  - {rule: windows, document: "…", date: 2026-04-22, article: 4, verified: yes}
"""
    policy = load(tmp_path, buildings="id,timezone,policy\nb1,UTC,007\n", p=text)[0].policies["007"]
    assert (policy.name, policy.demand_interval_min, policy.grace_s, policy.default_period) == (
        *("An example", 30),
        *(900.0, "flat"),
    )
    assert policy.windows == (
        Window(
            "critical",
            1320,
            1680,
            days=frozenset({"mon", "holiday"}),
            months=frozenset({8, 9}),
            since=dt.date(2024, 1, 1),
            until=dt.date(2026, 4, 22),
        ),
    )
    assert policy.country == "NO"
    assert policy.extra_holidays == {dt.date(2026, 5, 4), dt.date(2026, 5, 5)}
    assert policy.extra_workdays == {dt.date(2026, 8, 22)}
    assert (policy.tolerance, policy.clear_ratio, policy.min_coverage) == (0.05, 1.05, 1.0)
    ac = policy.ac
    assert (ac.cool_min_c, ac.heat_max_c, ac.tolerance_c, ac.auto_counts) == (26.0, 20.0, 0.5, "heat")
    assert (ac.min_duration_s, ac.clear_duration_s, ac.cool_months, ac.heat_months) == (
        0.0,
        120.0,
        frozenset({4, 5}),
        frozenset({12}),
    )
    assert ac.allowed == (Window("", 451, 1049, days=frozenset({"workday"})),)
    source = policy.sources[0]
    assert (source.rule, source.date, source.article, source.verified) == ("windows", dt.date(2026, 4, 22), "4", True)


@pytest.mark.parametrize("text", ["''", "", "null", '""', "~"])
def test_empty_values_of_a_policy_take_the_default(tmp_path: Path, text: str) -> None:
    policy = load(tmp_path, p=f"id: p\nac: {{auto_counts: {text}, cool_min_c: }}\nwindows:\nsources: []\n")[0].policies[
        "p"
    ]
    assert policy.ac.auto_counts == ""
    assert policy.ac.cool_min_c is None
    assert policy.windows == ()


POLICY_ERRORS = [
    ("id: p\nname: x\nfoo: 1\n", 3, "foo", "unknown key"),
    ("id: p\npeak_demand:\n  tolerence: 0\n", 3, "peak_demand.tolerence", "did you mean 'tolerance'"),
    ("id: p\nid: p\n", 2, "id", "given twice, first in line 1"),
    ("name: x\n", 1, "id", "missing"),
    ("id: p\ndemand_interval_min: 20\n", 2, "demand_interval_min", "5, 15, 30, 60"),
    ("id: p\ndemand_interval_min: 15.5\n", 2, "demand_interval_min", "15.5"),
    ("id: p\ngrace_s: -1\n", 2, "grace_s", "at least 0"),
    ('id: p\ngrace_s: "900"\n', 2, "grace_s", "without quotes"),
    ("id: p\ngrace_s: .inf\n", 2, "grace_s", "'.inf'"),
    ("id: p\ngrace_s: 1e999\n", 2, "grace_s", "too large"),
    ("id: p\ngrace_s: 15:00\n", 2, "grace_s", "15:00"),
    ("id: p\ngrace_s: [1]\n", 2, "grace_s", "a list"),
    ("id: p\npeak_demand: {min_coverage: 1.1}\n", 2, "peak_demand.min_coverage", "0 to 1"),
    ("id: p\npeak_demand: {tolerance: 0.1, clear_ratio: 1.2}\n", 2, "peak_demand.clear_ratio", "1.1"),
    ("id: p\npeak_demand: 3\n", 2, "peak_demand", "keys with values"),
    ("id: p\nholidays: {country: Vn}\n", 2, "holidays.country", "did you mean"),
    ("id: p\nholidays:\n  extra: [2026-02-30]\n", 3, "holidays.extra", "no date"),
    ("id: p\nholidays:\n  extra: [20260504]\n", 3, "holidays.extra", "2026-05-04"),
    ("id: p\nholidays:\n  extra: 2026-05-04\n", 3, "holidays.extra", "a list of dates"),
    ("id: p\nwindows: peak\n", 2, "windows", "expected a list"),
    ("id: p\nwindows:\n  -\n", 3, "windows[1]", "nothing"),
    ("id: p\nwindows:\n  - {from: 1:00, to: 2:00}\n", 3, "windows[1].period", "missing"),
    ("id: p\nwindows:\n  - {period: peak, to: 2:00}\n", 3, "windows[1].from", "missing"),
    ("id: p\nwindows:\n  - {period: peak, from: 25:00, to: 2:00}\n", 3, "windows[1].from", "'25:00'"),
    ('id: p\nwindows:\n  - {period: peak, from: "1:75", to: 2:00}\n', 3, "windows[1].from", "'1:75'"),
    ("id: p\nwindows:\n  - {period: peak, from: 17:30:00, to: 2:00}\n", 3, "windows[1].from", "'17:30:00'"),
    ("id: p\nwindows:\n  - {period: peak, from: 24:00, to: 2:00}\n", 3, "windows[1].from", "24:00"),
    ("id: p\nwindows:\n  - {period: peak, from: 1:10, to: 2:00}\n", 3, "windows[1].from", "edge of the 15 min"),
    ("id: p\nwindows:\n  - {period: peak, from: 1:00, to: 2:05}\n", 3, "windows[1].to", "02:05"),
    ("id: p\nwindows:\n  - {period: peak, from: 1:00, to: 2:00, days: [Mon]}\n", 3, "windows[1].days", "'mon'"),
    ("id: p\nwindows:\n  - {period: peak, from: 1:00, to: 2:00, days: mon}\n", 3, "windows[1].days", "[a, b]"),
    ("id: p\nwindows:\n  - {period: peak, from: 1:00, to: 2:00, months: [13]}\n", 3, "windows[1].months", "'13'"),
    ("id: p\nwindows:\n  - {period: peak, from: 1:00, to: 2:00, since: soon}\n", 3, "windows[1].since", "'soon'"),
    ("id: p\nac: {auto_counts: fan}\n", 2, "ac.auto_counts", "(empty), cool, heat"),
    ("id: p\nac: {cool_min_c: nan}\n", 2, "ac.cool_min_c", "'nan'"),
    ("id: p\nac:\n  allowed:\n    - {period: x, from: 1:00, to: 2:00}\n", 4, "ac.allowed[1].period", "unknown key"),
    ("id: p\nsources:\n  - {rule: x}\n", 3, "sources[1].document", "missing"),
    ("id: p\nsources:\n  - {rule: x, document: y, verified: maybe}\n", 3, "sources[1].verified", "true or false"),
    ("id: [\n", 2, None, "not valid YAML"),
    ("- a\n", 1, None, "a list"),
    ("", None, None, "empty"),
    ("id: p\nname: \x07\n", 2, None, "does not allow"),
    ("id: " + "[" * 3000, None, None, "nested too deeply"),
]


@pytest.mark.parametrize(("text", "line", "column", "found"), POLICY_ERRORS)
def test_errors_of_a_policy(tmp_path: Path, text: str, line: int | None, column: str | None, found: str) -> None:
    problems = errors(tmp_path, good=POLICY, p=text.replace("id: p", "id: q"))
    assert len(problems) == 1, problems
    assert problems[0].file == "policies/p.yaml"
    assert (problems[0].line, problems[0].column or None) == (line, column)
    assert found in problems[0].found


BUILDING_ERRORS = [
    ("id,timezone,policy\nb1,Asia/Ho_Chi_Min,p\n", 2, "timezone", "did you mean 'Asia/Ho_Chi_Minh'?"),
    ("id,timezone,policy\nb1,Asia/Hanoi,p\n", 2, "timezone", "did you mean 'Asia/Ho_Chi_Minh'?"),
    ("id,timezone,policy\nb1,asia/beijing,p\n", 2, "timezone", "did you mean 'Asia/Shanghai'?"),
    ("id,timezone,policy\nb1,America,p\n", 2, "timezone", "IANA"),
    ("id,timezone,policy\nb1,../../etc/passwd,p\n", 2, "timezone", "IANA"),
    ("id,timezone,policy\nb1,UTC,P1\n", 2, "policy", "expected the id of a policy (p)"),
    ("id,timezone,policy\nb1,UTC,\n", 2, "policy", "empty"),
    ("id,timezone,policy\nb1,UTC,p\n\nb1,UTC,p\n", 4, "id", "line 2 has already"),
    ("id,timezone,policy,org\nb1,UTC,p,A//B\n", 2, "org", "empty level"),
    ("id,timezone,policy,name\nb1,UTC,p,a\x07b\n", 2, "name", "control character"),
    ('id,timezone,policy,name\nb1,UTC,p,"two\nlines"\n', 2, "name", "control character"),
    ("id,timezone,policy,contract_kw\nb1,UTC,p,-1\n", 2, "contract_kw", "above 0"),
    ("id,timezone,policy,contract_kw\nb1,UTC,p,nan\n", 2, "contract_kw", "'nan'"),
    ('id,timezone,policy,contract_kw\nb1,UTC,p,"12,5"\n', 2, "contract_kw", "decimal point"),
    ("id,timezone,policy,peak_limit_kw\nb1,UTC,p,1e999\n", 2, "peak_limit_kw", "too large"),
    ("id,timezone,policy,peak_limit\nb1,UTC,p,1\n", 1, "peak_limit", "did you mean 'peak_limit_kw'?"),
    ("id,timezone,policy\nb1,UTC,p,Lạng Sơn\n", 2, None, "found 4 cells, expected 3"),
    ('id,timezone,policy\nb1,"UTC,p\n', 2, None, "not valid CSV"),
]


@pytest.mark.parametrize(("text", "line", "column", "found"), BUILDING_ERRORS)
def test_errors_of_a_building(tmp_path: Path, text: str, line: int, column: str | None, found: str) -> None:
    problems = [problem for problem in errors(tmp_path, buildings=text) if problem.file == "buildings.csv"]
    assert len(problems) == 1, problems
    assert (problems[0].line, problems[0].column) == (line, column)
    assert found in problems[0].found


def test_no_other_zone_is_offered_for_a_city_that_has_none(tmp_path: Path) -> None:
    (problem,) = errors(tmp_path, buildings="id,timezone,policy\nb1,Asia/Mumbai,p\n")
    assert problem.found == "found 'Asia/Mumbai', expected an IANA timezone as Asia/Ho_Chi_Minh"


def test_comments_are_passed_over(tmp_path: Path) -> None:
    text = '# mine, "not CSV\nid,building,kind\n# plugs: {"a": 1,"b"}\nm1,b1,meter\n'
    text += '"# from, a sheet",,\n#m2,b1,meter\nm3,b1,x\n'
    (problem,) = errors(tmp_path, devices=text)
    assert (problem.line, problem.column) == (7, "kind")
    registry, _ = load(tmp_path, devices=text.replace("x\n", "meter\n"))
    assert [device.id for device in registry.devices] == ["m1", "m3"]


def test_lines_of_a_cell_are_no_comments(tmp_path: Path) -> None:
    text = 'id,x_note,building,kind\nm1,"a ""b""\n# c",b1,meter\n# 5" and "so\nm2,5",b1,meter\nm3,"# d\n#\n",b1,meter\n'
    registry, _ = load(tmp_path, devices=text)
    assert [device.id for device in registry.devices] == ["m1", "m2", "m3"]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", "empty"),
        ("id,policy\nb1,p\n", "timezone: the column is missing"),
        ("id,id,timezone,policy\nb1,b1,UTC,p\n", "is there twice"),
        ("id;timezone;policy\nb1;UTC;p\n", "not parted by commas"),
    ],
)
def test_errors_of_a_header(tmp_path: Path, text: str, found: str) -> None:
    assert any(found in str(problem) for problem in errors(tmp_path, buildings=text))


DEVICE_ERRORS = [
    ("id,building,kind\nm1,B1,meter\n", "building", "did you mean 'b1'?"),
    ("id,building,kind\nm1,b1,Meter\n", "kind", "did you mean 'meter'?"),
    ("id,building,kind\nm1,b1,\n", "kind", "empty"),
    ("id,building,kind\n,b1,meter\n", "id", "empty"),
    ("id,building,kind,source\nm1,b1,meter,counter\n", "source", "register, power"),
    ("id,building,kind,multiplier\nm1,b1,meter,0\n", "multiplier", "other than 0"),
    ("id,building,kind,jitter\nm1,b1,meter,-0.1\n", "jitter", "at least 0"),
    ("id,building,kind,cadence_s\nm1,b1,ac,0\n", "cadence_s", "above 0"),
    ("id,building,kind,exempt\nm1,b1,ac,ac_hour\n", "exempt", "did you mean 'ac_hours'?"),
    ("id,building,kind,exempt\nm1,b1,ac,peak_demand\n", "exempt", "ac_cool_setpoint"),
]


@pytest.mark.parametrize(("text", "column", "found"), DEVICE_ERRORS)
def test_errors_of_a_device(tmp_path: Path, text: str, column: str, found: str) -> None:
    problems = errors(tmp_path, devices=text)
    assert len(problems) == 1, problems
    assert (problems[0].file, problems[0].line, problems[0].column) == ("devices.csv", 2, column)
    assert found in problems[0].found


def test_a_device_id_is_used_once_in_the_whole_file(tmp_path: Path) -> None:
    problems = errors(
        tmp_path,
        buildings="id,timezone,policy\nb1,UTC,p\nb2,UTC,p\n",
        devices="id,building,kind\nm1,b1,meter\nm1,b2,meter\n",
    )
    assert [str(problem) for problem in problems] == ["devices.csv:3 id: found 'm1', which line 2 has already"]


def test_a_policy_id_is_used_once_in_all_files(tmp_path: Path) -> None:
    problems = errors(tmp_path, a=POLICY, b=POLICY)
    assert [str(problem) for problem in problems] == [
        "policies/b.yaml:1 id: found 'p', which policies/a.yaml:1 has already; give one another id"
    ]


@pytest.mark.parametrize(
    ("timezone", "interval_min", "is_good"),
    [
        ("Asia/Kathmandu", 15, True),
        ("Asia/Kathmandu", 30, False),
        ("Australia/Lord_Howe", 30, True),
        ("Australia/Lord_Howe", 60, False),
    ],
)
def test_utc_offset_and_demand_interval(tmp_path: Path, timezone: str, interval_min: int, *, is_good: bool) -> None:
    files = {
        "buildings": f"id,timezone,policy\nb1,{timezone},p\n",
        "p": f"id: p\ndemand_interval_min: {interval_min}\n",
    }
    if is_good:
        assert load(tmp_path, **files)[0].buildings[0].timezone == timezone
    else:
        (problem,) = errors(tmp_path, **files)
        assert (problem.line, problem.column) == (2, "timezone")
        assert "UTC offset" in problem.found


def test_every_error_of_every_file_at_once(tmp_path: Path) -> None:
    problems = errors(
        tmp_path,
        buildings="id,timezone,policy\nb1,Mars/Olympus,p\nb2,UTC,q\n",
        devices="id,building,kind,jitter\nm1,b3,meter,-1\nm2,b1,boiler,\n",
        p="id: p\ngrace_s: x\nwindows:\n  - {period: peak, from: 1:01, to: 25:00}\n",
    )
    assert [(problem.file, problem.line, problem.column) for problem in problems] == [
        ("policies/p.yaml", 2, "grace_s"),
        ("policies/p.yaml", 4, "windows[1].to"),
        ("policies/p.yaml", 4, "windows[1].from"),
        ("buildings.csv", 2, "timezone"),
        ("buildings.csv", 3, "policy"),
        ("devices.csv", 2, "building"),
        ("devices.csv", 2, "jitter"),
        ("devices.csv", 3, "kind"),
    ]


def test_files_that_are_not_there_or_not_utf8(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load_registry(tmp_path, now_ms=NOW_MS)
    assert [problem.file for problem in caught.value.problems] == ["policies/", "buildings.csv", "devices.csv"]
    write(tmp_path)
    (tmp_path / "devices.csv").write_bytes(b"id,building,kind\nm1,b1,meter\nm2,b1,m\xe9ter\n")
    (tmp_path / "policies" / "p.yaml").write_bytes(b"id: p\nname: \xff\n")
    with pytest.raises(ConfigError) as caught:
        load_registry(tmp_path, now_ms=NOW_MS)
    assert [(problem.file, problem.line) for problem in caught.value.problems if "UTF-8" in problem.found] == [
        ("policies/p.yaml", 2),
        ("devices.csv", 3),
    ]


def test_policies_end_in_yaml_or_yml_and_hidden_files_are_none(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "policies" / "q.yml").write_text("id: q\n")
    (tmp_path / "policies" / ".r.yaml").write_text("id: [\n")
    (tmp_path / "policies" / "notes.txt").write_text("id: [\n")
    assert list(load_registry(tmp_path, now_ms=NOW_MS)[0].policies) == ["p", "q"]


AC_POLICY = "id: p\nac: {cool_min_c: 26}\nsources: [{rule: ac, document: x, verified: true}]\n"
WARNINGS = [
    ({"devices": "id,building,kind\nm1,b1,meter\n"}, "devices.csv:2 max_rate"),
    ({"p": "id: p\nwindows: [{period: peak, from: 1:00, to: 2:00}]\n"}, "no source is named for windows"),
    ({"p": "id: p\nsources: [{rule: windows, document: x}]\n"}, "not verified for windows"),
    ({"buildings": BUILDINGS + "b2,UTC,p\n"}, "buildings.csv:3 id: warning: building b2 has no meter"),
    ({"devices": "id,building,kind,max_rate,max_gap_s\nm1,b1,meter,1,604801\n"}, "longer than the revision horizon"),
    ({"devices": DEVICES + "a1,b1,ac,\n"}, "devices.csv:3 building: warning: policy p has no rule"),
    ({"devices": "id,building,kind,max_rate,exempt\nm1,b1,meter,1,all\n"}, "no effect on a meter"),
    ({"devices": DEVICES + "a1,b1,ac,5\n", "p": AC_POLICY}, "devices.csv:3 max_rate: warning: has no effect on an ac"),
    ({"buildings": "id,timezone,policy,peak_limit_kw\nb1,UTC,p,9\n"}, "no window of period peak or critical"),
    ({"p": "id: p\nac: {allowed: [{from: 1:00, to: 2:00, since: 2026-01-02, until: 2026-01-02}]}\n"}, "never holds"),
    ({"p": "id: p\nac: {cool_months: []}\n"}, "an empty list holds never"),
]


@pytest.mark.parametrize(("files", "expected"), WARNINGS)
def test_warnings(tmp_path: Path, files: dict[str, str], expected: str) -> None:
    _, problems = load(tmp_path, **files)
    assert all(problem.warning for problem in problems)
    assert len([problem for problem in problems if expected in str(problem)]) == 1, problems


def test_an_hour_written_as_a_number_is_taken_as_minutes_with_a_warning(tmp_path: Path) -> None:
    _, problems = load(tmp_path, p="id: p\nac: {allowed: [{from: 8, to: 17:00}]}\n")
    assert any('8 is read as minutes after midnight; write "08:00"' in problem.found for problem in problems)


def test_no_warning_where_nothing_is_wrong(tmp_path: Path) -> None:
    _, problems = load(tmp_path, devices=DEVICES + "a1,b1,ac,\n", p=AC_POLICY)
    assert problems == []


def test_check_tells_of_settings_and_registry_together(tmp_path: Path) -> None:
    write(tmp_path, buildings="id,timezone,policy\nb1,Nowhere,p\n", devices="id,building,kind\nm1,b1,meter\n")
    (tmp_path / "monitor.yaml").write_text("settle_s: -1\n")
    assert [(problem.file, problem.line, problem.warning) for problem in check(tmp_path, {}, NOW_MS)] == [
        ("buildings.csv", 2, False),
        ("devices.csv", 2, True),
        ("monitor.yaml", 1, False),
    ]


def test_check_of_a_folder_that_is_not_there(tmp_path: Path) -> None:
    (problem,) = check(tmp_path / "nothing", {}, NOW_MS)
    assert "no such folder" in problem.found
    assert not problem.warning


def test_check_doubts_a_gateway_that_is_no_source(tmp_path: Path) -> None:
    write(
        tmp_path,
        buildings="id,timezone,policy,contract_kw\nb1,UTC,p,9\n",
        devices="id,building,kind,gateway,source_id\nm1,b1,meter,plug,x\nm2,b1,meter,plugs,y\n"
        "m3,b1,meter,gw,\nm4,b1,meter,,z\n",
    )
    (tmp_path / "monitor.yaml").write_text('sources: [{name: plugs, format: tasmota, topics: ["tele/#"]}]\n')
    (problem,) = check(tmp_path, {}, NOW_MS)
    assert (problem.line, problem.column, problem.warning) == (2, "gateway", True)
    assert problem.found.startswith("'plug' is no source of monitor.yaml")
    assert problem.found.endswith("did you mean 'plugs'?")
    (tmp_path / "monitor.yaml").write_text("sources: 5\n")
    assert {problem.file for problem in check(tmp_path, {}, NOW_MS)} == {"monitor.yaml"}


def test_check_knows_the_horizon_of_the_settings(tmp_path: Path) -> None:
    write(tmp_path, devices="id,building,kind,max_rate,max_gap_s\nm1,b1,meter,1,7200\n")
    assert check(tmp_path, {}, NOW_MS) == []
    (tmp_path / "monitor.yaml").write_text("revision_horizon_h: 1\n")
    assert [problem.column for problem in check(tmp_path, {}, NOW_MS)] == ["max_gap_s"]


SAME_ID = "id,building,kind,item,gateway,source_id,field\n"


@pytest.mark.parametrize(
    ("one", "other", "name"),
    [
        ("a", "a", "a"),
        ("a", "b", None),
        ("power*", "power1", "power1"),
        ("power*", "*1", "power1"),
        ("*", "*", ""),
        ("*a*", "*b", "ab"),
        ("a*c", "ab*bc", "abbc"),
        ("l1*", "l2*", None),
        ("*_in", "*_out", None),
        ("a*b", "a", None),
        ("power[1]", "power?1?", None),
        ("power[1]", "power[*", "power[1]"),
        ("x*" * 20, "y*", None),
    ],
)
def test_a_name_that_fits_both_of_two_patterns(one: str, other: str, name: str | None) -> None:
    assert common_name(one, other) == name
    assert common_name(other, one) == name


@pytest.mark.parametrize(
    "rows",
    [
        "m1,b1,meter,,,x,power*\nm2,b1,meter,,,x,a;power1\n",
        "m1,b1,meter,,gw,x,*1\nm2,b1,meter,hvac,,x,power*\n",
        "m1,b1,meter,,,x,*1\nx,b1,meter,,,,power*\n",
    ],
)
def test_devices_that_may_take_the_same_value_are_doubted(tmp_path: Path, rows: str) -> None:
    (problem,) = overlaps(tmp_path, rows)
    assert (problem.file, problem.line, problem.column, problem.warning) == ("devices.csv", 3, "field", True)
    assert "of m1 both fit a value that the payload calls 'power1'" in problem.found


@pytest.mark.parametrize(
    "rows",
    [
        "m1,b1,meter,,,x,l1*\nm2,b1,meter,,,x,l2*\nm3,b1,meter,,,x,\n",
        "m1,b1,meter,,gw1,x,*\nm2,b1,meter,,gw2,x,*1\n",
        "m1,b1,meter,,,x,*\na1,b1,ac,,,x,*1\n",
        "m1,b1,meter,,,x,*\nm2,b1,meter,,,y,*1\n",
    ],
)
def test_patterns_that_never_meet_are_not_doubted(tmp_path: Path, rows: str) -> None:
    assert overlaps(tmp_path, rows) == []


def overlaps(folder: Path, rows: str) -> list[Problem]:
    write(folder, devices=SAME_ID + rows)
    return [problem for problem in check(folder, {}, NOW_MS) if problem.column == "field"]


@pytest.mark.parametrize(
    "rows",
    [
        "m1,b1,meter,,,x,\nm2,b1,meter,,,x,\n",
        "m1,b1,meter,,,x,\nx,b1,meter,hvac,,,\n",
        "m1,b1,meter,,,x,a;b\nm2,b1,meter,,,x,b\n",
        "a1,b1,ac,,gw,x,\na2,b1,ac,,,x,\n",
        "m1,b1,meter,water,,x,\nm2,b1,meter,water,,x,\n",
    ],
)
def test_two_devices_that_take_the_same_values(tmp_path: Path, rows: str) -> None:
    (problem,) = errors(tmp_path, devices=SAME_ID + rows)
    assert (problem.file, problem.column) == ("devices.csv", "source_id")
    assert "would both take the values of 'x'" in problem.found


@pytest.mark.parametrize(
    "rows",
    [
        "m1,b1,meter,,,x,\na1,b1,ac,,,x,\n",
        "m1,b1,meter,,gw1,x,\nm2,b1,meter,,gw2,x,\n",
        "m1,b1,meter,,,x,a\nm2,b1,meter,,,x,b\nm3,b1,meter,,,x,\n",
        "m1,b1,meter,total,,x,\nm2,b1,meter,water,,x,\nm3,b1,meter,gas,,x,\nm4,b1,meter,cooling,,x,\n",
    ],
)
def test_devices_that_share_an_id_and_are_told_apart(tmp_path: Path, rows: str) -> None:
    registry, _ = load(tmp_path, devices=SAME_ID + rows)
    assert all(each.source_id == "x" for each in registry.devices)
