"""Measure from a stream's commit to the Dagster run that it calls for.

To the start of that run. `lakehouse up --streams` runs as it would for a user, with the sensor `reconcile` switched on.
Some messages of a day that batch owns land late, one after the other; the stream of bronze commits each, and the sensor
asks for the day.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice, repeat
from pathlib import Path

import dagster as dg

from airline.replay import Message
from benchmarks.streams.messages import flight_messages
from benchmarks.streams.rounds import PROJECT, clean_env, run_in, started, wait_until
from lake.declare.days import Days
from lake.orchestration.dagster_home import open_instance
from lake.project.settings import Settings
from lake.storage.log import Log

__all__ = ["FOLLOWED_FROM", "OWNED_BY_BATCH", "land_aside", "late_departures", "measure_reaction"]

OWNED_BY_BATCH = Days.parse("2013-01-02")
FOLLOWED_FROM = Days.parse("2013-01-05")
LANDED = Days.between(OWNED_BY_BATCH.start, FOLLOWED_FROM.last)
BRONZE = "bronze/departure_events"
OFFSETS_FROM = 10_000_000
"""Far beyond those of the replayed messages."""

READY_WITHIN_SECONDS = 300.0
RUN_WITHIN_SECONDS = 180.0
QUIET_SECONDS = 20.0
POLL_SECONDS = 0.5


def measure_reaction(home: Path, commits: int, say: Callable[[str], None]) -> list[float]:
    """Return the seconds from commit to run, of each late message.

    Args:
        home: an empty folder.
        commits: how many.
        say: told of the progress.

    Raises:
        SideFailed: a process failed, or a run did not start in time.
    """
    run_in(home, "landed", ["lake.commands.cli", "replay", "--days", str(LANDED)], {})
    run_in(home, "computed", ["lake.commands.cli", "refresh"], {})
    settings = Settings.from_env({"LAKEHOUSE_HOME": str(home)})
    command = ["lake.commands.cli", "up", "--streams", "--since", str(FOLLOWED_FROM.start)]
    env, log = clean_env({"LAKEHOUSE_HOME": str(home)}), home / "up.log"
    with started(command, env, log) as process, open_instance(settings) as instance:
        wait_until(process, log, READY_WITHIN_SECONDS, lambda: "streams follow" in log.read_text())
        switch = ["dagster", "sensor", "start", "reconcile", "-w", str(PROJECT / "workspace.yaml")]
        run_in(home, "switch", switch, {"DAGSTER_HOME": str(home / "dagster")})
        _await_quiet(process, log, instance)
        return [_react(process, log, settings, instance, message, say) for message in late_departures(commits)]


def late_departures(count: int) -> Iterator[Message]:
    """Give departures of the day that batch owns, as late messages.

    They are received on the first day that is followed.
    """
    noon = datetime.combine(OWNED_BY_BATCH.start, datetime.min.time(), UTC) + timedelta(hours=12)
    sent = datetime.combine(FOLLOWED_FROM.start, datetime.min.time(), UTC) + timedelta(hours=12)
    departures = (message for message in flight_messages(repeat(noon)) if message.topic == "departures")
    for number, message in enumerate(islice(departures, count)):
        yield message._replace(offset=OFFSETS_FROM + number, timestamp=sent)


def land_aside(landing: Path, message: Message) -> float:
    """Land a file of one message, whole in one step, and return when that was."""
    folder = landing / "departures" / f"landed_on={FOLLOWED_FROM.start}"
    aside = folder / f".late-{message.offset}"
    aside.write_text(message.line + "\n")
    landed = time.time()
    aside.rename(folder / f"late-{message.offset}.jsonl")
    return landed


def _react(
    process: subprocess.Popen[str],
    log: Path,
    settings: Settings,
    instance: dg.DagsterInstance,
    message: Message,
    say: Callable[[str], None],
) -> float:
    bronze = Log(f"{settings.tables}/{BRONZE}")
    version, since = bronze.version() or 0, datetime.now(UTC)
    land_aside(settings.landing.root, message)
    committed: list[float] = []
    starts: list[float] = []

    def has_started() -> bool:
        commits = (bronze.commit(number) for number in range(version + 1, (bronze.version() or 0) + 1))
        committed[:] = [commit.timestamp_ms / 1000 for commit in commits if commit and commit.rows][:1]
        asked = dg.RunsFilter(job_name="reconcile", created_after=since)
        starts[:] = sorted(run.start_time for run in instance.get_run_records(asked) if run.start_time)[:1]
        return bool(committed and starts)

    wait_until(process, log, RUN_WITHIN_SECONDS, has_started)
    say(f"  a run started {starts[0] - committed[0]:.1f} s after the commit")
    _await_quiet(process, log, instance)
    return round(starts[0] - committed[0], 2)


def _await_quiet(process: subprocess.Popen[str], log: Path, instance: dg.DagsterInstance) -> None:
    """Wait until no run was under way for a while.

    One message calls for several, down to gold.
    """
    quiet_since = time.monotonic()

    def is_quiet() -> bool:
        nonlocal quiet_since
        if any(not run.is_finished for run in instance.get_runs(limit=20)):
            quiet_since = time.monotonic()
        return time.monotonic() - quiet_since > QUIET_SECONDS

    wait_until(process, log, RUN_WITHIN_SECONDS * 2, is_quiet)
