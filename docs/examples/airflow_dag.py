"""Refresh a lakehouse once a day from Airflow 3: copy this file into the folder of DAGs.

Three variables of Airflow say where the project lies, which command it has and in which environment it runs, in the UI
or as AIRFLOW_VAR_LAKEHOUSE_PROJECT, AIRFLOW_VAR_LAKEHOUSE_COMMAND and AIRFLOW_VAR_LAKEHOUSE_ENVIRONMENT. Airflow needs
no package of the lakehouse, and the lakehouse none of Airflow.
"""

from __future__ import annotations

import os
from datetime import datetime
from functools import cached_property

from airflow.providers.standard.hooks.subprocess import SubprocessHook
from airflow.sdk import DAG, BaseOperator, Context, CronDataIntervalTimetable, Param
from airflow.sdk.exceptions import AirflowException, AirflowFailException

NO_RETRY_MENDS = {2, 3}
"""Exit codes that mean: somebody has to change something first."""


class Lakehouse(BaseOperator):
    """Run the command `lakehouse`; a task that is stopped stops it too."""

    template_fields = ("command", "project", "environment", "arguments")

    def __init__(self, *, command: str, project: str, environment: str, arguments: list[str], **kwargs: object) -> None:
        super().__init__(**kwargs)
        self.command, self.project, self.environment, self.arguments = command, project, environment, arguments

    @cached_property
    def hook(self) -> SubprocessHook:
        return SubprocessHook()

    def execute(self, context: Context) -> None:
        del context
        env = {**os.environ, "LAKEHOUSE_ENVIRONMENT": self.environment}
        code = self.hook.run_command([self.command, *self.arguments], env=env, cwd=self.project).exit_code
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
        environment="{{ var.value.lakehouse_environment }}",
        arguments=["refresh", "--days", "{{ params.days or ds }}"],
        retries=5,
    )
