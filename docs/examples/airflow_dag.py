"""Refresh a lakehouse once a day from Airflow 3: copy this file into the folder of DAGs.

Two variables of Airflow say where the project lies and which command it has, in the UI or as
AIRFLOW_VAR_LAKEHOUSE_PROJECT and AIRFLOW_VAR_LAKEHOUSE_COMMAND. Airflow needs no package of the lakehouse, and the
lakehouse none of Airflow.
"""

from __future__ import annotations

from datetime import datetime
from functools import cached_property

from airflow.providers.standard.hooks.subprocess import SubprocessHook
from airflow.sdk import DAG, BaseOperator, Context, CronDataIntervalTimetable, Param
from airflow.sdk.exceptions import AirflowException, AirflowFailException

NO_RETRY_MENDS = {2, 3}
"""Exit codes that mean: somebody has to change something first."""


class Lakehouse(BaseOperator):
    """Run the command `lakehouse`; a task that is stopped stops it too."""

    template_fields = ("command", "project", "arguments")

    def __init__(self, *, command: str, project: str, arguments: list[str], **kwargs: object) -> None:
        super().__init__(**kwargs)
        self.command, self.project, self.arguments = command, project, arguments

    @cached_property
    def hook(self) -> SubprocessHook:
        return SubprocessHook()

    def execute(self, context: Context) -> None:
        del context
        code = self.hook.run_command([self.command, *self.arguments], cwd=self.project).exit_code
        if code:
            kind = AirflowFailException if code in NO_RETRY_MENDS else AirflowException
            raise kind(f"lakehouse ended with {code}")

    def on_kill(self) -> None:
        self.hook.send_sigterm()


with DAG(
    "lakehouse",
    # By this timetable the logical date is the day that is over. By a bare cron line it is the one that begins.
    schedule=CronDataIntervalTimetable("30 0 * * *", timezone="UTC"),
    start_date=datetime(2024, 1, 1),
    catchup=False,
    max_active_runs=1,
    params={"days": Param("", type="string", description="A day or a range A..B; the logical date if empty.")},
):
    Lakehouse(
        task_id="refresh",
        command="{{ var.value.lakehouse_command }}",
        project="{{ var.value.lakehouse_project }}",
        arguments=["refresh", "--days", "{{ params.days or ds }}"],
        retries=5,
    )
