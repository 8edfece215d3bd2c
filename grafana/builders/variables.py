"""The dashboard variables. All dashboards use the same names, so that links carry the choice from one to the next."""

from __future__ import annotations

from grafana_foundation_sdk.builders.dashboard import QueryVariable
from grafana_foundation_sdk.models.dashboard import VariableOption, VariableRefresh, VariableSort

from grafana.builders.influx import INFLUX, ORG_LEVELS, in_org
from grafana.builders.prometheus import MONITOR, PROMETHEUS
from grafana.builders.texts import Words

__all__ = ["broker_variable", "building_variable", "instance_variable", "item_variable", "org_variables"]

_MEASUREMENT = "consumption_day"
"""Every building with a meter is in it, and it has the fewest points."""

_LEVEL = r"[^\/]+"
_REGEX = {
    "org1": rf"/^({_LEVEL})/",
    "org2": rf"/^({_LEVEL}\/{_LEVEL})/",
    "org3": rf"/^({_LEVEL}\/{_LEVEL}\/{_LEVEL})/",
    "org4": "/^(.+)$/",
}


def _query(name: str, label: str, query: str, *, multi: bool = True, all_value: str | None = ".*") -> QueryVariable:
    variable = (
        QueryVariable(name)
        .label(label)
        .datasource(INFLUX)
        .query(query)
        .refresh(VariableRefresh.ON_DASHBOARD_LOAD)
        .sort(VariableSort.NATURAL_ASC)
        .multi(multi)
        .include_all(all_value is not None)
    )
    if all_value is None:
        return variable
    return variable.all_value(all_value).current(VariableOption(text=["All"], value=["$__all"], selected=True))


def org_variables(words: Words) -> list[QueryVariable]:
    """One for each level of the tree, each offering what lies below the choice before it."""
    common = words.of("common.variables")
    variables = []
    for row, name in enumerate(ORG_LEVELS):
        above = " AND ".join(rf'"org" =~ /^(${{{level}:regex}})(\/|$)/' for level in ORG_LEVELS[:row])
        where = f" WHERE {above}" if above else ""
        query = f'SHOW TAG VALUES FROM "{_MEASUREMENT}" WITH KEY = "org"{where}'
        variables.append(_query(name, common(name), query).regex(_REGEX[name]))
    return variables


def building_variable(words: Words, *, one: bool = False) -> QueryVariable:
    """one: exactly one building, for dashboards that show its devices; else any number, or all."""
    query = f'SHOW TAG VALUES FROM "{_MEASUREMENT}" WITH KEY = "building" WHERE {in_org()}'
    label = words.of("common.variables")("building")
    return _query("building", label, query, multi=not one, all_value=None if one else ".*")


def item_variable(words: Words) -> QueryVariable:
    query = f'SHOW TAG VALUES FROM "{_MEASUREMENT}" WITH KEY = "item" WHERE "building" =~ /^(${{building:regex}})$/'
    return _query("item", words.of("common.variables")("item"), query)


def instance_variable(words: Words) -> QueryVariable:
    """Which monitor, where Prometheus scrapes several."""
    query = f"label_values(meter_monitor_build_info{{{MONITOR}}}, instance)"
    return _query("instance", words.of("common.variables")("instance"), query).datasource(PROMETHEUS)


def broker_variable(words: Words) -> QueryVariable:
    query = f'label_values(meter_monitor_connected{{{MONITOR}, instance=~"${{instance}}"}}, broker)'
    return _query("broker", words.of("common.variables")("broker"), query).datasource(PROMETHEUS)
