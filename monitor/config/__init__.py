"""A configuration folder, read whole: every error at once, each with its file and line (SEMANTICS 7)."""

from monitor.config.registry_files import load_registry

__all__ = ["load_registry"]
