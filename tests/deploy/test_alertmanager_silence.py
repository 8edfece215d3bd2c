"""What a real Alertmanager keeps back: what follows from another alert, and pages of warnings at night."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deploy.alerting_files import ALERTMANAGER, alert_rules, load
from tests.deploy.shortened import ALWAYS, NEVER, shortened_alertmanager
from tests.deploy.webhook import Webhook, until
from tests.services.alertmanager import Alertmanager

pytestmark = pytest.mark.services

ALERTS = alert_rules()
VERDICTS = {"PeakLimitExceeded", "PeakBudgetExceeded", "AcViolationLong", "ManyAcViolations"}
OF_BUILDINGS = VERDICTS | {"BuildingSilent", "DevicesSilent", "BuildingClockBehind", "BuildingClockAhead"}
OF_ALERTMANAGER = {"AlertsNotDelivered"}
KEPT_BACK = {
    "MonitorDown": set(ALERTS) - OF_ALERTMANAGER - {"MonitorDown"},
    "BrokerNotConnected": {"NoReadings"},
    "NoReadings": OF_BUILDINGS,
    "BuildingSilent": VERDICTS | {"BuildingClockBehind"},
    "ManyAcViolations": {"AcViolationLong"},
    "OutboxNearlyFull": {"OutboxOld", "OutboxGrowing", "SinkErrors"},
    "OutboxOld": {"OutboxGrowing", "SinkErrors"},
    "DiskNearlyFull": {"DiskFillingUp"},
}
"""An alert, and all that it silences."""


def labels_of(alert: str, instance: str, building: str = "b") -> dict[str, str]:
    """As the rules give them. A verdict has an org, so that it has people."""
    rule = ALERTS[alert]["labels"]
    labels = {"alertname": alert, "job": "meter-monitor", "instance": instance, **rule}
    if alert in OF_ALERTMANAGER:
        labels["job"] = "alertmanager"
    if alert in OF_BUILDINGS:
        labels |= {"building": building, "org": "Việt Nam/Lạng Sơn"}
    return labels


@pytest.fixture(scope="module")
def alertmanager(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Alertmanager]:
    folder = tmp_path_factory.mktemp("alertmanager")
    with Webhook() as webhook:
        server = Alertmanager(folder, shortened_alertmanager(folder, webhook.url))
        server.start()
        yield server
        server.stop()


def test_every_alert_that_silences_others_is_tried() -> None:
    sources = {rule["source_matchers"][0] for rule in load(ALERTMANAGER)["inhibit_rules"]}
    assert sources == {f'alertname="{alert}"' for alert in KEPT_BACK}


@pytest.mark.parametrize("source", list(KEPT_BACK))
def test_an_alert_silences_what_follows_from_it_and_nothing_else(source: str, alertmanager: Alertmanager) -> None:
    """Each other alert is tried against it alone, each on an instance of its own."""
    others = set(ALERTS) - {source}
    instances = {f"{source} {other}": other for other in others}
    for instance, other in instances.items():
        alertmanager.post([labels_of(source, instance), labels_of(other, instance)])

    def in_state(state: str) -> set[str]:
        found = [labels for labels, is_in in alertmanager.states() if is_in == state]
        return {labels["alertname"] for labels in found if labels["alertname"] == instances.get(labels["instance"], "")}

    until(lambda: in_state("suppressed") >= KEPT_BACK[source], f"{source} silences {sorted(KEPT_BACK[source])}")
    assert in_state("suppressed") == KEPT_BACK[source]
    assert in_state("active") == others - KEPT_BACK[source]


@pytest.mark.parametrize(
    ("source", "same", "another"),
    [
        ("MonitorDown", ("down", "b"), ("up", "b")),
        ("NoReadings", ("idle", "b"), ("busy", "b")),
        ("BuildingSilent", ("one", "silent"), ("one", "loud")),
    ],
)
def test_another_monitor_and_another_building_are_not_silenced(
    source: str, same: tuple[str, str], another: tuple[str, str], alertmanager: Alertmanager
) -> None:
    verdict = "PeakLimitExceeded"
    alertmanager.post([labels_of(source, *same), labels_of(verdict, *same), labels_of(verdict, *another)])

    def state(place: tuple[str, str]) -> str:
        return next(state for labels, state in alertmanager.states() if labels == labels_of(verdict, *place))

    until(lambda: state(same) == "suppressed", "the one of the same place is silenced")
    assert state(another) == "active"


def test_a_monitor_that_is_no_target_any_more_silences_what_was_said_of_it(tmp_path: Path) -> None:
    """absent() gives an alert without an instance. Else people would be told that all is well when a pod goes away."""
    down = labels_of("MonitorDown", "gone")
    del down["instance"]
    verdict, failing = labels_of("PeakLimitExceeded", "gone"), labels_of("AlertsNotDelivered", "alertmanager:9093")
    with Webhook() as webhook:
        alertmanager = Alertmanager(tmp_path, shortened_alertmanager(tmp_path, webhook.url))
        alertmanager.start()
        try:
            alertmanager.post([down, verdict, failing])

            def state(labels: dict[str, str]) -> str:
                return next(state for found, state in alertmanager.states() if found == labels)

            until(lambda: state(verdict) == "suppressed", "the verdict is silenced")
            assert state(failing) == "active"
            assert state(down) == "active"
        finally:
            alertmanager.stop()


@pytest.mark.parametrize("is_night", [True, False])
def test_at_night_nobody_is_paged_for_a_warning(is_night: bool, tmp_path: Path) -> None:
    with Webhook() as webhook:
        config = shortened_alertmanager(tmp_path, webhook.url, nights=ALWAYS if is_night else NEVER, repeat=True)
        server = Alertmanager(tmp_path, config)
        server.start()
        try:
            server.post([labels_of("PeakLimitExceeded", "a", "urgent"), labels_of("BuildingSilent", "a", "later")])

            def told(receiver: str, building: str) -> int:
                return sum(alert["building"] == building for alert in webhook.told(receiver, "firing"))

            # Both routes say again each second what goes on: by the third mail a page would long be there.
            until(lambda: told("lang-son-mail", "later") >= 3, "the warning is mailed three times")
            until(lambda: told("lang-son-page", "urgent"), "the critical one is paged")
            until(lambda: told("lang-son-mail", "urgent"), "and mailed")
            if is_night:
                assert told("lang-son-page", "later") == 0
            else:
                until(lambda: told("lang-son-page", "later"), "the warning is paged")
        finally:
            server.stop()
