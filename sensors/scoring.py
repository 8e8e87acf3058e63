"""Score the flights of today and yesterday anew every ten minutes.

They are scored from what streams and files have brought so far. Batch leaves days alone that depend on open ones, until
streams have sealed them. These scores are wanted before: so they are computed early, over and over, with what batch
alone computes of their inputs. Only days that differ are committed. `lakehouse follow` does the same whenever streams
bring news, so this schedule is for lakes without streams.
"""

from collections.abc import Sequence

import dagster as dg

from lake.declare.days import Days
from lake.declare.table import Table
from lake.orchestration.assets import CAUSE, UNLESS_EQUAL
from lake.orchestration.keys import asset_key
from lake.orchestration.partitions import range_tags
from lake.project.settings import Settings

__all__ = ["build_scoring"]

CRON = "*/10 * * * *"


def build_scoring(settings: Settings, tables: Sequence[Table]) -> dg.ScheduleDefinition:
    """Build the schedule `score_today`, every ten minutes.

    It is off until somebody switches it on.

    Args:
        settings: say which day it is.
        tables: what is computed, upstream first; a flight of yesterday's local date may still leave today.
    """
    job = dg.define_asset_job("score_today", selection=[asset_key(table) for table in tables], description=__doc__)

    @dg.schedule(name="score_today", job=job, cron_schedule=CRON, execution_timezone="UTC", description=__doc__)
    def score_today() -> dg.RunRequest:
        days = Days.between(settings.newest_closed_day(), settings.today())
        return dg.RunRequest(tags={**range_tags(days), UNLESS_EQUAL: "true", CAUSE: "schedule"})

    return score_today
