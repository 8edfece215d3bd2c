"""The meter monitor of public buildings. ARCHITECTURE.md shows the rooms."""

__version__ = "0.1.0"
