"""The catalogue of texts: one place for every word that a dashboard shows, in every language."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

__all__ = ["LANGUAGES", "Catalogue", "TextError", "Words"]

LANGUAGES = ("en", "vi", "zh")


class TextError(Exception):
    """Texts that are missing, or that nothing shows."""


@dataclass
class Catalogue:
    """`texts.yaml`: nested keys; each leaf has one text for each language.

    Missing texts are collected and said all at once by `check_complete`, and so are leaves that no builder asked for:
    a text that nobody sees is not kept true.
    """

    texts: dict[str, dict[str, str]]
    _missing: set[str] = field(default_factory=set)
    _used: set[str] = field(default_factory=set)

    @classmethod
    def load(cls, path: Path) -> Catalogue:
        texts: dict[str, dict[str, str]] = {}
        _flatten(yaml.safe_load(path.read_text(encoding="utf-8")), "", texts)
        return cls(texts)

    def words(self, language: str) -> Words:
        return Words(self, language)

    def text(self, key: str, language: str) -> str:
        self._used.add(key)
        found = self.texts.get(key, {}).get(language)
        if not found:
            self._missing.add(f"{key}: no text in {language}")
            return key
        return " ".join(found.split())

    def check_complete(self) -> None:
        problems = sorted(self._missing) + [f"{key}: nothing shows it" for key in sorted(set(self.texts) - self._used)]
        for key, by_language in self.texts.items():
            problems += [f"{key}: unknown language {name}" for name in by_language if name not in LANGUAGES]
        if problems:
            raise TextError("grafana/texts.yaml:\n" + "\n".join(f"  {problem}" for problem in problems))


@dataclass(frozen=True)
class Words:
    """The texts of one language. Called with a key, the text."""

    catalogue: Catalogue
    language: str
    section: str = ""

    def __call__(self, key: str) -> str:
        """A text of the section: `words("open.title")` of a dashboard's own."""
        return self.catalogue.text(f"{self.section}{key}", self.language)

    def of(self, section: str) -> Words:
        """The same language in another section of the catalogue, as `common` or a dashboard's own."""
        return Words(self.catalogue, self.language, f"{section}.")

    def table(self, name: str) -> dict[str, str]:
        """All leaves right below a key, by their last name: the words for values of a tag."""
        prefix = f"{self.section}{name}."
        names = [key.removeprefix(prefix) for key in self.catalogue.texts if key.startswith(prefix)]
        return {leaf: self.catalogue.text(prefix + leaf, self.language) for leaf in names if "." not in leaf}


def _flatten(node: dict[str, Any], prefix: str, into: dict[str, dict[str, str]]) -> None:
    for name, below in node.items():
        key = f"{prefix}{name}"
        if isinstance(below, dict) and all(isinstance(value, dict) for value in below.values()):
            _flatten(below, f"{key}.", into)
        elif isinstance(below, dict):
            into[key] = {str(language): str(text) for language, text in below.items()}
        else:
            raise TextError(f"grafana/texts.yaml: {key}: expected a text for each language, found {below!r}")
