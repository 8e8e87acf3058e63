"""Measure how long a late message takes until every number is right again, with `lakehouse up --auto`.

A file of one late departure lands in a lake that is up to date. The seconds are those from the file's landing to the
commit of bronze, to that of the hourly table, and to the end of the last run, after which nothing is due. After the
start and after each message a day of a table is materialized as by a click in the UI. The sides take turns: `cold`
gives each run a process and a JVM of its own, as before there was a warm process, and `warm` is the default. Fewer
messages land in `cold`, because each of its runs starts anew, so a later message is as slow as the first, and takes
minutes.
"""

from __future__ import annotations

import http.client
import json
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from itertools import islice
from pathlib import Path
from statistics import median

import dagster as dg

from airline.replay import Message
from benchmarks.errors import SideFailed
from benchmarks.machine import load
from benchmarks.streams.reaction import FOLLOWED_FROM, OWNED_BY_BATCH, land_aside, late_departures
from benchmarks.streams.rounds import clean_env, run_in, started, wait_until
from lake.batch.plan import steps_to_date
from lake.declare.days import Days
from lake.engine.ports import HOST, free_ports
from lake.orchestration.dagster_home import open_instance
from lake.orchestration.sensors.reconcile import RESTS
from lake.project.environment import Environment, open_environment
from lake.project.settings import Settings
from lake.storage.log import Log

__all__ = ["SIDES", "Late", "measure_late", "render_late"]

SIDES = {"cold": ["--cold"], "warm": []}
BRONZE, HOURLY = "bronze/departure_events", "gold/hourly_airport_performance"
CLICKED = ["silver", "departures"]
LANDED_DAYS = Days.between(date(2012, 12, 31), FOLLOWED_FROM.last)
"""From the day on which the timetable of the first flights landed."""
READY_WITHIN_SECONDS = 300.0
SETTLED_WITHIN_SECONDS = {"cold": 480.0, "warm": 180.0}
"""For one message, and for one click: what takes longer ends the measurement."""
WARM_WITHIN_SECONDS = 120.0
POLL_SECONDS = 0.5
CLICK = """mutation($asked: ExecutionParams!) { launchPipelineExecution(executionParams: $asked) {
    __typename ... on LaunchRunSuccess { run { runId } } } }"""


@dataclass(frozen=True)
class Late:
    """What one late message took, in seconds since its file landed.

    Attributes:
        side: cold or warm.
        number: of the message since `lakehouse up` was started, from 1.
        busy: share of the processor that others took just before.
        runs: Dagster runs that it called for.
        bronze, hourly, gold: until it was in bronze, until the hourly table was right, until nothing was due.
        click: a day of a table, from the click to the end of its run.
    """

    side: str
    number: int
    busy: float
    runs: int
    bronze: float
    hourly: float
    gold: float
    click: float


def measure_late(home: Path, rounds: int, messages: Mapping[str, int], say: Callable[[str], None]) -> list[Late]:
    """Measure both sides in turn.

    Args:
        home: an empty folder, or that of an earlier measurement.
        rounds: how often each side starts.
        messages: how many land after each start, by side.
        say: told of the progress.

    Raises:
        SideFailed: a process failed, or a message was not settled in time.
    """
    if not (home / "computed.log").is_file():
        say(f"a lake of {LANDED_DAYS}")
        run_in(home, "landed", ["lake.commands.cli", "replay", "--days", str(LANDED_DAYS)], {})
        # Who names days is not told by the exit code that the first days lack what landed before them.
        run_in(home, "computed", ["lake.commands.cli", "refresh", "--days", str(LANDED_DAYS.widen(after=1))], {})
    before = len(list((home / "landing" / "departures").glob("*/late-*.jsonl")))
    late = islice(late_departures(before + rounds * sum(messages.values())), before, None)
    found: list[Late] = []
    for number in range(1, rounds + 1):
        for side in SIDES:
            say(f"{side}, start {number}")
            found += _side(home, side, messages[side], late, say)
    return found


def _side(home: Path, side: str, messages: int, late: Iterator[Message], say: Callable[[str], None]) -> list[Late]:
    env = {"LAKEHOUSE_HOME": str(home)}
    settings, (port,), log = Settings.from_env(env), free_ports(1), home / "up.log"
    command = ["lake.commands.cli", "up", "--auto", "--port", str(port), *SIDES[side]]
    found = []
    with started(command, clean_env(env), log) as process, open_instance(settings) as instance:
        lake = _Lake(process, log, open_environment(settings), instance, port, SETTLED_WITHIN_SECONDS[side])
        wait_until(process, log, READY_WITHIN_SECONDS, lambda: "is ready" in log.read_text())
        if side == "warm":
            wait_until(process, log, WARM_WITHIN_SECONDS, (settings.dagster_home / "warm_worker.json").exists)
        lake.await_settled()
        say(f"  a day is materialized after {lake.click()} s, first of all")
        for number in range(1, messages + 1):
            lake.await_settled()  # of the click before, too
            lake.await_rested()
            busy = load()
            say(f"  message {number} lands, {busy:.0%} of the processor are busy")
            runs, bronze, hourly, gold = lake.settle(next(late))
            say(f"  in bronze after {bronze} s, hourly {hourly} s, all of gold {gold} s, by {runs} runs")
            found.append(Late(side, number, busy, runs, bronze, hourly, gold, lake.click()))
            say(f"  {json.dumps(asdict(found[-1]))}")
    return found


@dataclass(frozen=True)
class _Lake:
    """A running `lakehouse up`."""

    process: subprocess.Popen[str]
    log: Path
    environment: Environment
    instance: dg.DagsterInstance
    port: int
    within: float

    def settle(self, message: Message) -> tuple[int, float, float, float]:
        """Land a late message and wait.

        Returns:
            How many runs there were, and the seconds to bronze, to the hourly table and until nothing was due.
        """
        settings = self.environment.settings
        logs = [Log(f"{settings.tables}/{table}") for table in (BRONZE, HOURLY)]
        before = [log.version() or 0 for log in logs]
        landed = land_aside(settings.landing.root, message)
        self.await_settled(later_than=landed)
        runs = self._runs_since(landed)
        commits = [log.commit(version + 1) for log, version in zip(logs, before, strict=True)]
        if not all(commits):
            raise SideFailed(f"a late message on its way to {HOURLY}", 1, self.log)
        at = [commit.timestamp_ms / 1000 for commit in commits if commit]
        ended = max(run.end_time or 0.0 for run in runs)
        bronze, hourly, gold = (round(moment - landed, 1) for moment in (*at, ended))
        return len(runs), bronze, hourly, gold

    def await_settled(self, later_than: float | None = None) -> None:
        """Wait until nothing runs and nothing is due, after at least one run where a moment is given."""
        wait_until(self.process, self.log, self.within, lambda: self._is_settled(later_than))

    def await_rested(self) -> None:
        """Wait until the days of the message before rest no more, as those of messages far apart."""
        newest = max((run.end_time or 0.0 for run in self.instance.get_run_records(limit=5)), default=0.0)
        time.sleep(max(0.0, newest + RESTS.total_seconds() - time.time()))

    def _is_settled(self, later_than: float | None) -> bool:
        if later_than is not None and not self._runs_since(later_than):
            return False
        if any(not run.is_finished for run in self.instance.get_runs(limit=20)):
            return False
        survey = self.environment.survey()
        return not steps_to_date(survey, survey.tables)

    def _runs_since(self, moment: float) -> list[dg.RunRecord]:
        asked = dg.RunsFilter(job_name="reconcile", created_after=datetime.fromtimestamp(moment, UTC))
        return list(self.instance.get_run_records(asked))

    def click(self) -> float:
        """Materialize a day of a table as the UI does, and return the seconds until its run has ended."""
        selector = {
            "repositoryLocationName": "lakehouse",
            "repositoryName": "__repository__",
            "pipelineName": "__ASSET_JOB",
            "assetSelection": [{"path": CLICKED}],
        }
        tags = [{"key": "dagster/partition", "value": str(OWNED_BY_BATCH.start)}]
        asked = {"selector": selector, "mode": "default", "runConfigData": "{}", "executionMetadata": {"tags": tags}}
        began = time.time()
        run_id = self._ask(CLICK, {"asked": asked})["launchPipelineExecution"]["run"]["runId"]

        def has_ended() -> bool:
            run = self.instance.get_run_by_id(run_id)
            return run is not None and run.is_finished

        wait_until(self.process, self.log, self.within, has_ended)
        (record,) = self.instance.get_run_records(dg.RunsFilter(run_ids=[run_id]))
        if record.dagster_run.status != dg.DagsterRunStatus.SUCCESS:
            raise SideFailed(f"run {run_id}", 1, self.log)
        return round((record.end_time or 0.0) - began, 1)

    def _ask(self, query: str, variables: object) -> dict[str, dict[str, dict[str, str]]]:
        connection = http.client.HTTPConnection(HOST, self.port, timeout=120)
        asked = json.dumps({"query": query, "variables": variables})
        connection.request("POST", "/graphql", asked, {"Content-Type": "application/json"})
        answer: dict[str, dict[str, dict[str, dict[str, str]]]] = json.loads(connection.getresponse().read())
        connection.close()
        return answer["data"]


def render_late(found: list[Late]) -> Iterator[str]:
    """Give lines of each side: medians of the first message after a start, and of the others."""
    for side in SIDES:
        for what, chosen in (
            ("first after a start", [one for one in found if one.side == side and one.number == 1]),
            ("later ones", [one for one in found if one.side == side and one.number > 1]),
        ):
            if chosen:
                names = ("bronze", "hourly", "gold", "click", "runs", "busy")
                middle = "  ".join(f"{name} {median(getattr(one, name) for one in chosen):6.1f}" for name in names)
                slowest = max(one.click for one in chosen)
                yield f"{side:<5} {what:<20} n={len(chosen):<3} {middle}  slowest click {slowest:.1f}"
