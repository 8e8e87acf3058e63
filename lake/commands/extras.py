"""Load commands and checks that a project or a distribution adds."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from typing import Any

from lake.project.project_file import read_extras

__all__ = ["extras"]


def extras(kind: str) -> Iterator[tuple[str, Any]]:
    """Load what distributions and the project add to the framework.

    Those of distributions come by name, those of the project as it names them. What cannot be loaded is named on
    standard error and left out.

    Args:
        kind: "commands" (functions as Typer takes them), "checks" (functions that return a `Check` of the doctor) or
            "pages" (functions that draw a page of the dashboard of a `lake.dashboard.sight.Sight`).
            An installed distribution declares them as entry points of the group `lakehouse.<kind>`; a project that is
            not installed, in the table `[tool.lakehouse.<kind>]`.
    """
    from importlib.metadata import EntryPoint, entry_points  # which commands of the framework do not need

    group = f"lakehouse.{kind}"
    points = {point.name: point for point in sorted(entry_points(group=group), key=lambda one: one.name)}
    root, own = read_extras(os.environ, kind)
    if own and str(root) not in sys.path:
        sys.path.insert(0, str(root))
    points |= {name: EntryPoint(name, value, group) for name, value in own.items()}
    for name, point in points.items():
        try:
            yield name, point.load()
        except Exception as error:  # one broken extra must not take all other commands along
            print(f"error: {name} ({point.value}) is left out: {error}", file=sys.stderr, flush=True)
