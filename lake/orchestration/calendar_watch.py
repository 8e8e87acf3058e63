"""Load the definitions anew when a lake's own clock reaches another day.

Dagster's servers know the calendar as it was when the code was loaded, and let it grow by the wall clock. In a replay
the lake's clock is behind that one, and moves by days in minutes.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from threading import Thread
from typing import Any

from dagster._core.workspace.context import IWorkspaceProcessContext

from lake.orchestration.partitions import build_partitions
from lake.project.settings import Settings

__all__ = ["CalendarWatch"]

_LOOK_AFTER_SECONDS = 10.0
_LOG = logging.getLogger("dagster.lakehouse")


@dataclass
class CalendarWatch:
    """Compares the calendar that a web server shows with the one of now.

    Attributes:
        workspace: of the web server. The daemon follows it within a minute, because both ask the same code server.
        asked_for: the calendar that was loaded last, so that one that cannot be loaded is not tried again and again.
    """

    workspace: IWorkspaceProcessContext[Any]
    asked_for: str = ""

    def look(self) -> bool:
        """Load the code locations anew where the calendar is another by now.

        Returns:
            Whether they were.
        """
        wanted = build_partitions(Settings.from_env()).get_serializable_unique_identifier()
        shown = self.workspace.create_request_context()
        calendars = {one.get_serializable_unique_identifier() for one in shown.asset_graph.all_partitions_defs}
        if wanted in calendars or wanted == self.asked_for:
            return False
        self.asked_for = wanted
        for name in shown.code_location_names:
            self.workspace.reload_code_location(name)
        return True

    def start(self) -> None:
        """Look every ten seconds, as long as the process lives."""
        Thread(target=self._look_for_ever, name="calendar", daemon=True).start()

    def _look_for_ever(self) -> None:
        while True:
            time.sleep(_LOOK_AFTER_SECONDS)
            try:
                self.look()
            except Exception:
                _LOG.exception("the calendar that the UI shows could not be compared with the lake's clock")
