"""Tell people once that a stream does not move, and once that it does.

The table's page shows it too. Looks at the status file of each stream, the process that runs them, what waits in the
landing folder, and the frontier; no Spark, and nothing where no stream ever ran. The verdict is that of the check
`streaming` (`lake/stream/stalled.py` says when a stream is dead, silent, stuck, behind): where it changes, the sensor
also records it, so that the UI shows the table as failing although no run looked at it. After a release no stream is
stalled.

Each address is told by itself (`notify.py`), and the UI waits for none. After downtime the next tick finds whatever has
changed since.
"""

from __future__ import annotations

from collections.abc import Iterable

import dagster as dg

from lake.declare.table import Table, is_followable
from lake.orchestration.checks import judge_streaming
from lake.orchestration.resource import Lakehouse
from lake.orchestration.sensors.notify import Notifier
from lake.orchestration.sensors.verdicts import tell_verdicts
from lake.project.settings import Settings
from lake.stream.stalled import StreamWatch

__all__ = ["build_stalled_streams"]


def build_stalled_streams(settings: Settings, tables: Iterable[Table]) -> dg.SensorDefinition:
    """Build the sensor `stalled_streams`.

    It is always on, since the UI shows what it finds. Messages need LAKEHOUSE_ALERT_URLS.
    """
    notifier = Notifier(settings.alert_urls)
    watched = [table for table in tables if is_followable(table)]

    @dg.sensor(
        name="stalled_streams",
        minimum_interval_seconds=30,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Fails the check `streaming` of a table whose stream does not move, and sends a message.",
    )
    def stalled_streams(context: dg.SensorEvaluationContext, lakehouse: Lakehouse) -> dg.SensorResult:
        watch = StreamWatch(lakehouse.store(), settings.home, from_files=settings.feed == "files")
        if watch.frontier is None:
            return dg.SensorResult(skip_reason="no stream was ever started", cursor=context.cursor)
        verdicts = {table: judge_streaming(table, watch, settings) for table in watched}
        return tell_verdicts(
            context, notifier, "streaming", verdicts, became="streams stalled", ended="streams move again"
        )

    return stalled_streams
