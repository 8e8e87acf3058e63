"""Tell people once that a stream does not move, and once that it does.

The table's page shows it too. Looks at the status file of each stream, the process that runs them, what waits in the
landing folder, and the frontier; no Spark, and nothing where no stream ever ran. The verdict is that of the check
`streaming` (`lake/stream/stalled.py` says when a stream is dead, silent, stuck, behind): where it changes, the sensor
also records it, so that the UI shows the table as failing although no run looked at it. After a release no stream is
stalled.

Streams of one process that died, and those that read one that does not move, are one message (`causes.py`). Each
address is told by itself (`notify.py`), and the UI waits for none. After downtime the next tick finds whatever has
changed since.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import dagster as dg

from lake.declare.days import Days
from lake.declare.table import Table
from lake.orchestration.checks import Verdict, checks_of, judge_streaming
from lake.orchestration.resource import Lakehouse
from lake.orchestration.sensors.causes import Ranges
from lake.orchestration.sensors.notify import Notifier
from lake.orchestration.sensors.verdicts import Teller, find_late, tell_verdicts
from lake.project.settings import Settings
from lake.stream.stalled import StreamWatch

__all__ = ["build_stalled_streams"]


def build_stalled_streams(settings: Settings, tables: Iterable[Table]) -> dg.SensorDefinition:
    """Build the sensor `stalled_streams`.

    It is always on, since the UI shows what it finds. Messages need LAKEHOUSE_ALERT_URLS.
    """
    notifier = Notifier(settings.alert_urls)
    by_name = {table.full_name: table for table in tables}
    watched = [table for table in by_name.values() if "streaming" in checks_of(table)]
    teller = Teller("stalled_streams", settings, notifier, by_name, "moves again")

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
        days = {table: _open_days(verdict, settings) for table, verdict in verdicts.items()}
        found = find_late("streaming", verdicts, days, "does not move")
        of_one_process = {
            name: replace(one, origin=one.reason) if one.reason.startswith("dead:") else one
            for name, one in found.items()
        }
        return tell_verdicts(context, teller, "streaming", verdicts, of_one_process)

    return stalled_streams


def _open_days(verdict: Verdict, settings: Settings) -> Ranges:
    first = min((day for day in verdict.failing if day), default=None)
    return (Days.between(first, max(first, settings.today())),) if first else None
