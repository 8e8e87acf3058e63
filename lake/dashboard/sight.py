"""Give the pages of the dashboard their sight of a lake.

They see rows of some days, and what is known of tables and streams.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import pandas as pd
import streamlit as st

from lake.commands.look import Look
from lake.commands.status_report import StatusReport, report_status
from lake.declare.days import ALL_DAYS, Days
from lake.declare.table import Table
from lake.errors import LakeError
from lake.project.environment import Environment, open_environment
from lake.project.settings import Settings
from lake.serve.api.page import Ask, Reader
from lake.serve.api.problems import ProblemError
from lake.serve.api.settled import Settled
from lake.serve.api.snapshot import Snapshot, Snapshots

__all__ = ["EVERY", "Page", "Shown", "Sight", "followed", "guarded", "in_lines", "open_sight"]

EVERY = "10s"
"""How often a page looks again."""
_SECONDS = 20.0
_ALL = 2_000_000


@dataclass(frozen=True)
class Shown:
    """The version and the days that a table has to show.

    Attributes:
        snapshot: its newest version.
        held: days with rows, the newest first.
        settled: those of them that are settled; the others are early.
    """

    snapshot: Snapshot
    held: Sequence[date]
    settled: frozenset[date]

    @property
    def settled_through(self) -> date | None:
        """The newest settled day."""
        return max(self.settled, default=None)


@dataclass(frozen=True)
class Sight:
    """A lake as pages see it.

    Attributes:
        environment: tables, store and settings.
    """

    environment: Environment
    snapshots: Snapshots
    settled: Settled
    reader: Reader

    def show(self, table: Table) -> Shown:
        """Look at the newest version of a table.

        Raises:
            ProblemError: it was never written.
            LogDamaged: it cannot be read.
        """
        settled = self.settled.days(table)
        snapshot = self.snapshots.at(table)
        held = sorted((day for day in snapshot.files if day is not None), reverse=True)
        return Shown(snapshot, held, frozenset(day for day in held if day in settled))

    def rows(
        self,
        shown: Shown,
        days: Days | None = None,
        limit: int = _ALL,
        equal: Mapping[str, Any] | None = None,
    ) -> pd.DataFrame:
        """Read rows of some days.

        They are kept for as long as there is no newer version.

        Args:
            shown: of which table.
            days: which; None for all.
            limit: how many at most, in the order of day and key.
            equal: values that columns have to have.
        """
        return _rows(self, shown.snapshot, days or ALL_DAYS, limit, equal or {})

    def report(self) -> StatusReport:
        """Return what is known of all tables and streams.

        What was found counts for some seconds.
        """
        return _report(self)


def _place(snapshot: Snapshot) -> tuple[str, int]:
    """Tell one version of a table from all others."""
    return snapshot.table_id, snapshot.version


def _lake(sight: Sight) -> str:
    return _settings(sight.environment.settings)


def _settings(settings: Settings) -> str:
    return repr((settings.root, settings.home, settings.tables, settings.fixed_now))


@st.cache_data(max_entries=64, show_spinner=False, hash_funcs={Sight: _lake, Snapshot: _place, Days: str})
def _rows(sight: Sight, snapshot: Snapshot, days: Days, limit: int, equal: Mapping[str, Any]) -> pd.DataFrame:
    frame: pd.DataFrame = sight.reader.arrow(snapshot, snapshot.files.keys(), Ask(days, equal, limit)).rows.to_pandas()
    return frame


@st.cache_resource(ttl=5, show_spinner=False, hash_funcs={Sight: _lake})
def _report(sight: Sight) -> StatusReport:
    return report_status(Look(sight.environment))


def open_sight() -> Sight:
    """Open the lake of this process's settings.

    Once, as long as these are the same.
    """
    return _open(Settings.from_env())


@st.cache_resource(show_spinner="opening the lake", hash_funcs={Settings: _settings})
def _open(settings: Settings) -> Sight:
    environment = open_environment(settings)
    store = environment.store
    return Sight(environment, Snapshots(store), Settled(store), Reader(_SECONDS))


Page = Callable[[Sight], None]
"""A page: it draws what it sees. A project names its own in `[tool.lakehouse.pages]`."""


def guarded(page: Page) -> Callable[[], None]:
    """Draw a page, and what is empty or broken in place of its rows."""

    def draw() -> None:
        try:
            page(open_sight())
        except ProblemError as error:
            (st.info if error.status == 404 else st.error)(in_lines(error.detail))
        except LakeError as error:
            st.error(in_lines(str(error)))

    return draw


def in_lines(text: str) -> str:
    """Keep the lines of a message apart, which Markdown would join."""
    return text.replace("\n", "\n\n")


def followed(page: Page) -> Callable[[], None]:
    """Draw a page again every few seconds.

    So it follows streams without a reload.
    """
    # Guarded within, because Streamlit tells nobody else of what is raised in a fragment.
    drawn: Callable[[], None] = st.fragment(run_every=EVERY)(guarded(page))
    return drawn
