"""Launch runs in the warm process of `lakehouse up`.

Where it cannot take one, the run gets a process of its own, as Dagster does it.
"""

from __future__ import annotations

from pathlib import Path

from dagster._core.launcher import LaunchRunContext
from dagster._core.launcher.default_run_launcher import DefaultRunLauncher

from lake.orchestration.warm.hand_over import STOPPING, TAKEN, ask

__all__ = ["WarmLauncher"]


class WarmLauncher(DefaultRunLauncher):
    """Hands runs over to the warm process.

    A run gets a process of its own where none is warm, where it executes another run, or where the project's code has
    changed since it started. Named by `run_launcher` in dagster.yaml.
    """

    def launch_run(self, context: LaunchRunContext) -> None:
        run_id = context.dagster_run.run_id
        try:
            answer = ask(self._home, "take", run_id)
        except OSError as error:
            # It may have taken the run, so nobody else must.
            raise RuntimeError(f"the warm process did not answer: {error}; run the same again") from error
        if answer == TAKEN:
            return
        if answer is not None:
            self._instance.report_engine_event(f"{answer}, so the run gets a process of its own", context.dagster_run)
        super().launch_run(context)

    def terminate(self, run_id: str) -> bool:
        run = self._instance.get_run_by_id(run_id)
        try:
            is_there = run is not None and ask(self._home, "state") == run_id
            if run is None or not is_there:
                return bool(super().terminate(run_id))  # type: ignore[no-untyped-call]  # of Dagster
            self._instance.report_run_canceling(run)
            return ask(self._home, "stop", run_id) == STOPPING
        except OSError:
            return False

    @property
    def _home(self) -> Path:
        return Path(self._instance.root_directory)
