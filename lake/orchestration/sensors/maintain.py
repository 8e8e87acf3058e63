"""Once a day, join small files, remove unneeded ones and keep logs short.

It is one run of the job `maintain`, which does what `lakehouse maintain` does. Tables stay writable meanwhile: each
step holds a table's lock for seconds.
"""

from collections.abc import Sequence

import dagster as dg

from lake.batch.maintain import describe, maintain, summarize
from lake.declare.table import Table
from lake.declare.words import plural
from lake.orchestration.resource import Lakehouse
from lake.orchestration.sensors.automatic import default_schedule_status
from lake.project.environment import open_environment
from lake.project.opening import open_checkpoints
from lake.project.settings import Settings
from lake.serve.publish import find_promises

__all__ = ["build_maintenance"]

CRON = "30 3 * * *"


def build_maintenance(settings: Settings, tables: Sequence[Table]) -> dg.ScheduleDefinition:
    """Build the schedule `maintain`, at half past three UTC.

    It is off until somebody switches it on, here or by `lakehouse up --auto`.
    """

    @dg.op(name="maintain_tables", description=__doc__)
    def maintain_lake(context: dg.OpExecutionContext, lakehouse: Lakehouse) -> None:
        environment, store = open_environment(settings), lakehouse.store()
        promises = find_promises(environment.sinks.values(), store, environment.place)
        done = maintain(tables, store, checkpoints=open_checkpoints(settings), promises=promises)
        for one in done:
            if one.did_anything or one.note:
                context.log.info(f"{one.name}: {describe(one)}")
        context.add_output_metadata({plural(what): number for what, number in summarize(done).items()})

    @dg.job(name="maintain", description=__doc__)
    def maintain_job() -> None:
        maintain_lake()

    return dg.ScheduleDefinition(
        name="maintain",
        job=maintain_job,
        cron_schedule=CRON,
        execution_timezone="UTC",
        default_status=default_schedule_status(settings),
        description=__doc__,
    )
