"""Write every generated file. A file that no builder makes any more is deleted."""

from __future__ import annotations

import sys

from grafana.builders.files import GRAFANA, generated, stale
from grafana.builders.texts import TextError


def main() -> int:
    try:
        files = generated()
    except TextError as error:
        print(error, file=sys.stderr)  # noqa: T201  # a command line tool
        return 2
    for path in stale(files):
        path.unlink()
    for name, content in files.items():
        path = GRAFANA / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
