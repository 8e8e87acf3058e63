"""Replay into this environment's landing folder, with a progress bar."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from airline.replay import FlightKey, ReplayReport, replay
from lake.declare.days import Days
from lake.project.settings import Settings

__all__ = ["replay_with_progress"]


def _nobody(_flight: FlightKey) -> bool:
    return False


def replay_with_progress(
    console: Console,
    *,
    days: Days | None,
    source: Path | None = None,
    late: float = 0.0,
    duplicates: float = 0.0,
    malformed: float = 0.0,
    seed: int = 0,
    hold_back: Callable[[FlightKey], bool] = _nobody,
) -> ReplayReport:
    """Replay to the landing folder of this environment, with a bar.

    Arguments as for `airline.replay.replay`.
    """
    settings = Settings.from_env()
    settings.make_folders()
    columns = (TextColumn("replay {task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("", total=len(days) if days else None)

        def landed(day: date, _lines: int) -> None:
            bar.update(task, advance=1, description=str(day))

        return replay(
            settings.landing.root,
            days,
            source,
            late=late,
            duplicates=duplicates,
            malformed=malformed,
            seed=seed,
            progress=landed,
            hold_back=hold_back,
        )
