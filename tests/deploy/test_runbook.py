"""The runbook has every alert, and no alert that is gone."""

from __future__ import annotations

import re

from tests.deploy.alerting_files import ROOT, alert_rules

_TEXT = (ROOT / "docs/runbook.md").read_text("utf-8")
_PARTS = ("**Means.**", "**Look at.**", "**Do.**", "**Resolves**")


def sections() -> dict[str, str]:
    """Text by heading of the third level."""
    found = re.split(r"^### (\w+)$", _TEXT, flags=re.MULTILINE)
    return dict(zip(found[1::2], found[2::2], strict=True))


def test_every_alert_has_its_heading_and_every_heading_its_alert() -> None:
    headings = re.findall(r"^### (.*)$", _TEXT, re.MULTILINE)
    assert sorted(headings) == sorted(alert_rules())


def test_every_section_says_what_it_means_and_what_to_do() -> None:
    for name, text in sections().items():
        places = [text.find(part) for part in _PARTS]
        assert -1 not in places, f"{name} lacks {_PARTS[places.index(-1)]}"
        assert places == sorted(places), f"{name}: another order"


def test_links_of_alerts_lead_to_their_headings() -> None:
    """By the rule that code hosts make anchors of: the heading in small letters."""
    anchors = {f"docs/runbook.md#{heading.lower()}" for heading in sections()}
    assert {rule["annotations"]["runbook_url"] for rule in alert_rules().values()} == anchors
