"""What Alertmanager posts to its receivers, kept for the test to look at."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

from tests.services.scripted_http import Answer, ScriptedServer

__all__ = ["Webhook", "until"]


class Webhook(ScriptedServer):
    def __init__(self) -> None:
        super().__init__(lambda request: Answer(200))

    def told(self, receiver: str, status: str) -> list[dict[str, str]]:
        """The labels of each alert of this status (`firing`, `resolved`) in each message to the receiver."""
        messages: list[dict[str, Any]] = [
            json.loads(request.body) for request in list(self.requests) if request.path == f"/{receiver}"
        ]
        return [alert["labels"] for message in messages for alert in message["alerts"] if alert["status"] == status]


def until(condition: Callable[[], object], what: str, deadline_s: float = 30.0) -> None:
    """Polls. Fails when the time is over."""
    deadline = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < deadline, f"not within {deadline_s:g} s: {what}"
        time.sleep(0.05)  # polling a condition with a deadline, not hoping
