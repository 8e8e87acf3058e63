"""Measure the ticks of sensors that look at every table, without Spark.

They are `reconcile` and `stream_commits`. The lake holds a month: batch computed every table, streams own the last
days. A tick is the call of the sensor alone, as Dagster's code server makes it, in one process: once it has found
nothing new, and once it has something to look at.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import dagster as dg

from benchmarks.streams.results import SampledRun
from benchmarks.streams.rounds import run_in
from lake.declare.days import Days
from lake.orchestration.dagster_home import open_instance
from lake.orchestration.definitions import build_definitions
from lake.orchestration.resource import LakehouseResource
from lake.project.environment import Environment, open_environment
from sensors.chosen import sensors

__all__ = ["REPORT", "fill", "measure_ticks", "ticker", "until_quiet"]

REPORT = "ticks.json"
SENSORS = ("reconcile", "stream_commits")
MEETS = ("nothing new", "something new")
LANDED = Days.parse("2012-12-31..2013-01-31")
FOLLOWED_FROM = "2013-01-29"
MOST_TICKS = 100


def fill(home: Path) -> None:
    """Land a month, compute every table and let streams read the last days.

    What they sealed is settled afterwards.
    """
    run_in(home, "landed", ["lake.commands.cli", "replay", "--days", str(LANDED)], {})
    run_in(home, "computed", ["lake.commands.cli", "refresh"], {})
    run_in(home, "followed", ["lake.commands.cli", "follow", "--until-idle", "--since", FOLLOWED_FROM], {})
    run_in(home, "settled", ["lake.commands.cli", "refresh"], {})


def measure_ticks(environment: Environment, times: int) -> list[SampledRun]:
    """Return the seconds of each tick of both sensors.

    In each of the two states that they may meet.
    """
    tables = list(environment.tables.values())
    definitions = build_definitions(environment.settings, tables, sensors=sensors)
    facts = {"tables": len(tables), "days": len(list(LANDED))}
    runs = []
    with open_instance(environment.settings) as instance:
        for name in SENSORS:
            tick = ticker(definitions, instance, name, environment)
            quiet = until_quiet(tick)
            cursors = dict(zip(MEETS, (quiet, _before(quiet, environment)), strict=True))
            for meets, cursor in cursors.items():
                seconds = [tick(cursor)[1] for _ in range(times)]
                runs.append(SampledRun("tick", f"{name}, {meets}", seconds, facts))
    return runs


Tick = Callable[[str | None], tuple[str | None, float]]
"""From a cursor to the next one and the seconds that it took."""


def ticker(definitions: dg.Definitions, instance: dg.DagsterInstance, name: str, environment: Environment) -> Tick:
    """Return a call of a sensor.

    It gives the cursor of the sensor and the seconds that the call took.
    """
    sensor = definitions.get_repository_def().get_sensor_def(name)
    resources = {"lakehouse": LakehouseResource.from_settings(environment.settings)}

    def tick(cursor: str | None) -> tuple[str | None, float]:
        with dg.build_sensor_context(
            instance=instance, cursor=cursor, resources=resources, definitions=definitions
        ) as context:
            started = time.perf_counter()
            done = sensor.evaluate_tick(context)
            return done.cursor, round(time.perf_counter() - started, 4)

    return tick


def until_quiet(tick: Tick) -> str:
    """Return the cursor with which nothing is new."""
    before, after = None, tick(None)[0]
    for _ in range(MOST_TICKS):
        if after == before and after is not None:
            return after
        before, after = after, tick(after)[0]
    raise RuntimeError("the sensor finds something new again and again")


def _before(cursor: str, environment: Environment) -> str:
    """Return the same cursor as it was one commit of each table before."""
    said = json.loads(cursor)
    places = said.get("tables", said)
    for name, place in places.items():
        if name in environment.tables and place is not None and place[0] > 0:
            version = place[0] - 1
            places[name] = [version, environment.store.table_log(environment.tables[name]).fingerprint(version)]
    return json.dumps(said)


def main(times: str) -> None:
    """Measure in a process of its own."""
    environment = open_environment()
    runs = measure_ticks(environment, int(times))
    (environment.settings.home / REPORT).write_text(json.dumps({"runs": [asdict(run) for run in runs]}))


if __name__ == "__main__":
    main(*sys.argv[1:])
