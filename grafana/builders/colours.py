"""Colours that can be told apart by colour-blind eyes and read on Grafana's dark and light panels alike.

Each has a contrast of at least 3 : 1 to both backgrounds (WCAG 2.1, 1.4.11), which a test computes.
"""

from __future__ import annotations

__all__ = ["AMBER", "BLUE", "BROWN", "GREEN", "GREY", "PURPLE", "RED", "TEAL"]

BLUE = "#3274d9"
GREEN = "#2f8f46"
RED = "#d6453d"
AMBER = "#b87a00"
PURPLE = "#9a5fc9"
TEAL = "#1b8a99"
BROWN = "#9c6b42"
GREY = "#808080"
