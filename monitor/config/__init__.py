"""A configuration folder, read whole: every error at once, each with its file and line (SEMANTICS 7)."""

from monitor.config.registry_files import load_registry
from monitor.config.report import check, doubts_of_settings, sources_with_ids
from monitor.config.settings_file import load_settings

__all__ = ["check", "doubts_of_settings", "load_registry", "load_settings", "sources_with_ids"]
