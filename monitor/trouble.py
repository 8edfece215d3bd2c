"""What the parts say of how they are, passed on: to the log, the metrics and the health checks."""

from __future__ import annotations

import structlog

from monitor.detector import StoreTrouble
from monitor.errors import JournalError
from monitor.health import Health
from monitor.ingest.intake import IntakeStatus
from monitor.ingest.mqtt import LinkStatus
from monitor.logs import Throttle
from monitor.metrics import Metrics
from monitor.store.sender import SinkStatus

__all__ = ["Reporter"]

log = structlog.get_logger(__name__)


class Reporter:
    """One for the service. An outage is said once a minute, its end at once. Methods may be called from any thread."""

    def __init__(self, metrics: Metrics, health: Health, throttle: Throttle) -> None:
        self._metrics = metrics
        self._health = health
        self._throttle = throttle
        self._failures = 0
        self._failing_sinks: set[str] = set()

    def link(self, status: LinkStatus) -> None:
        """How the link to a broker is."""
        broker = status.broker
        self._metrics.connected(broker, status.connected)
        self._health.set(f"broker {broker}", status.connected, status.last_error or status.state)
        key = ("broker", broker)
        if status.connected:
            hidden = self._throttle.over(key)
            log.info("connected", broker=broker, session_present=status.session_present, hidden=hidden)
            if status.session_lost:
                log.error("the broker has lost the session: what it held for this monitor is gone", broker=broker)
        elif status.last_error and (hidden_now := self._throttle.admit(key)) is not None:
            log.warning("not connected", broker=broker, error=status.last_error, hidden=hidden_now)

    def sink(self, status: SinkStatus) -> None:
        """Whether what waits in the outbox is delivered."""
        key = ("sink", status.sink)
        if not status.kind:
            if status.sink in self._failing_sinks:
                self._failing_sinks.discard(status.sink)
                log.info("results are delivered again", sink=status.sink, hidden=self._throttle.over(key))
            return
        self._failing_sinks.add(status.sink)
        if (hidden := self._throttle.admit(key)) is not None:
            log.warning(
                "results cannot be delivered; they wait in the outbox",
                sink=status.sink,
                error=status.last_error,
                hidden=hidden,
            )

    def intake(self, status: IntakeStatus) -> None:
        """Whether readings can be made safe."""
        self._health.set("intake", status.state == "running", status.last_error or status.state)
        if status.state != "failing":
            self._failures = 0
            if hidden := self._throttle.over("intake"):
                log.info("readings are made safe again", hidden=hidden)
            return
        if status.failures > self._failures:
            self._metrics.journal_failed()
        self._failures = status.failures
        if (hidden_now := self._throttle.admit("intake")) is not None:
            log.error(
                "readings cannot be made safe; nothing is acknowledged", error=status.last_error, hidden=hidden_now
            )

    def checkpoint(self, failure: JournalError | None) -> None:
        """Whether a checkpoint was written; without one a restart has more to do, and nothing is lost."""
        self._health.set("checkpoint", failure is None, str(failure) if failure else "written")
        if failure is None:
            self._throttle.over("checkpoint")
            return
        self._metrics.journal_failed()
        if (hidden := self._throttle.admit("checkpoint")) is not None:
            log.error("no checkpoint could be written; it is tried again", error=str(failure), hidden=hidden)

    def store(self, trouble: StoreTrouble | None) -> None:
        """Whether results can be stored; None: they can."""
        if trouble is None:
            self._health.set("store", True, "writable")
            log.info("results are stored again", hidden=self._throttle.over("store"))
            return
        self._health.set("store", False, str(trouble.error))
        self._metrics.failed("sqlite", trouble.error.kind)
        if (hidden := self._throttle.admit("store")) is not None:
            log.error("results cannot be stored; it is tried again", error=str(trouble.error), hidden=hidden)
