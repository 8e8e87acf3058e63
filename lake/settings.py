"""The settings of an environment: where everything lies, which days exist, what time it is.

Every setting is an environment variable `LAKEHOUSE_...` with a default that suits a laptop. Nothing is read at import.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Literal

from lake.days import ALL_DAYS, Days, parse_day, utc_day
from lake.errors import BadDay, BadSetting, FolderNotWritable
from lake.feed import Landing
from lake.horizon import Horizon
from lake.kafka import KafkaCluster
from lake.landed import landing_day

__all__ = ["Settings"]

FeedKind = Literal["files", "kafka"]
_PREFIX = "LAKEHOUSE_"
_REPLAY_IS_AHEAD = timedelta(days=2)
"""What a replay lands while it sets its clock is no further ahead."""
_REPLAY_COUNTS_FOR = timedelta(days=7)
"""Where topics are read from a broker, nothing lands that says that the lake lives on; so time does."""
_UNUSABLE = re.compile(r"[*?\[\]{}\\`%\n]")


@dataclass(frozen=True)
class Settings:
    """One environment.

    Attributes:
        home: folder for everything that this environment keeps (LAKEHOUSE_HOME, `.lakehouse`).
        tables: folder or URL of the Delta tables (LAKEHOUSE_TABLES, `<home>/tables`; relative to the home).
        first_day: first day of the calendar (LAKEHOUSE_FIRST_DAY).
        last_day: last day of the calendar; None for one that grows every day (LAKEHOUSE_LAST_DAY; `open` for None).
        spark_master: LAKEHOUSE_SPARK_MASTER, `local[*]`.
        spark_remote: a Spark Connect URL that replaces the master (LAKEHOUSE_SPARK_REMOTE).
        alert_urls: Apprise URLs for failed runs, late tables, stalled streams (LAKEHOUSE_ALERT_URLS, comma separated).
        ui_hosts: names under which a proxy serves the web UI (LAKEHOUSE_UI_HOSTS, comma separated).
        lock_timeout_seconds: how long to wait for a table that another process writes (LAKEHOUSE_LOCK_TIMEOUT, 1800).
        storage_options: for object stores, as delta-rs takes them (LAKEHOUSE_STORAGE_OPTIONS, JSON).
        feed: where streams read topics from: `files` or `kafka` (LAKEHOUSE_FEED, `files`).
        kafka: the cluster (LAKEHOUSE_KAFKA, `host:port`; with LAKEHOUSE_KAFKA_USERNAME, LAKEHOUSE_KAFKA_PASSWORD and
            LAKEHOUSE_KAFKA_CA_FILE over SASL_SSL); None for the broker of `lakehouse kafka up`.
        kafka_topics: the topic of a feed that is not called as the feed is (LAKEHOUSE_KAFKA_TOPICS, `feed=topic`, comma
            separated).
        fixed_now: a clock that stands still (LAKEHOUSE_NOW, for tests and post-mortems).
    """

    home: Path
    tables: str
    first_day: date = date(2012, 12, 31)
    last_day: date | None = date(2014, 1, 31)
    spark_master: str = "local[*]"
    spark_remote: str | None = None
    alert_urls: tuple[str, ...] = field(default=(), repr=False)  # they may hold a token
    ui_hosts: tuple[str, ...] = ()
    lock_timeout_seconds: float = 1800.0
    storage_options: Mapping[str, str] = field(default_factory=dict, repr=False)  # and these a key
    feed: FeedKind = "files"
    kafka: KafkaCluster | None = None
    kafka_topics: Mapping[str, str] = field(default_factory=dict)
    fixed_now: datetime | None = None

    @classmethod
    def from_env(cls, env: Mapping[str, str] | None = None) -> Settings:
        """Read the environment.

        Raises:
            BadSetting: a variable holds something that cannot be used.
        """
        given = os.environ if env is None else env
        found = {key.removeprefix(_PREFIX): value for key, value in given.items() if key.startswith(_PREFIX) and value}
        home = Path(found.get("HOME", ".lakehouse")).expanduser().absolute()
        _refuse_no_folder("LAKEHOUSE_HOME", str(home))
        tables = _place(found.get("TABLES", "tables"), home)
        _refuse_no_folder("LAKEHOUSE_TABLES", tables)
        first_day, last_day = _calendar(found)
        return cls(
            home=home,
            tables=tables,
            first_day=first_day,
            last_day=last_day,
            spark_master=found.get("SPARK_MASTER", cls.spark_master),
            spark_remote=found.get("SPARK_REMOTE"),
            alert_urls=_list(found.get("ALERT_URLS", "")),
            ui_hosts=tuple(name.lower() for name in _list(found.get("UI_HOSTS", ""))),
            lock_timeout_seconds=_number(found, "LOCK_TIMEOUT", cls.lock_timeout_seconds),
            storage_options=_options(found.get("STORAGE_OPTIONS", "{}")),
            feed=_feed(found.get("FEED", "files")),
            kafka=_kafka(found),
            kafka_topics=_topics(found.get("KAFKA_TOPICS", "")),
            fixed_now=_moment(found.get("NOW")),
        )

    @property
    def landing(self) -> Landing:
        """Where feeds land."""
        return Landing(self.home / "landing")

    @property
    def locks(self) -> Path:
        """Folder of the lock files of a lake on an object store; one in a folder keeps them itself."""
        return self.home / "locks"

    @property
    def kafka_folder(self) -> Path:
        """Folder of the local Kafka broker."""
        return self.home / "kafka"

    @property
    def dagster_home(self) -> Path:
        """DAGSTER_HOME of this environment."""
        return self.home / "dagster"

    def now(self) -> datetime:
        """The time that freshness is judged by: LAKEHOUSE_NOW, else the replay's where one ran, else the wall's."""
        return self.fixed_now or self.replay_clock() or datetime.now(UTC)

    def replay_clock(self) -> datetime | None:
        """Tell the time of the last replay.

        None where none ran, or where the lake lives on: where more has landed since, or seven days after the replay.
        """
        file = self.landing.root / "_clock.json"
        try:
            now = datetime.fromisoformat(json.loads(file.read_text())["now"]).astimezone(UTC)
            if datetime.now(UTC).timestamp() - file.stat().st_mtime > _REPLAY_COUNTS_FOR.total_seconds():
                return None
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return None if _has_landed_after(self.landing.root, utc_day(now) + _REPLAY_IS_AHEAD) else now

    def calendar(self) -> Days:
        """All days that tables can have so far, the open day included."""
        today = utc_day(self.now())
        last = today if self.last_day is None else self.last_day
        return Days.between(self.first_day, max(last, self.first_day))

    def refuse_days_outside(self, held: Days) -> None:
        """Raise where the calendar is shorter than what the tables hold.

        Raises:
            BadSetting: it is; tables cannot be computed beside it.
        """
        if held.start < self.first_day:
            expected = f"{held.start} or earlier, since the tables hold that day"
            raise BadSetting("LAKEHOUSE_FIRST_DAY", str(self.first_day), expected)
        if self.last_day is not None and held.last > self.last_day:
            expected = f"{held.last} or later, or open, since the tables hold that day"
            raise BadSetting("LAKEHOUSE_LAST_DAY", str(self.last_day), expected)

    @property
    def whole_calendar(self) -> Days:
        """All days that tables can have, those to come included."""
        return Days.between(self.first_day, max(self.last_day or ALL_DAYS.last, self.first_day))

    def horizon(self) -> Horizon:
        """Which times this environment believes now."""
        return Horizon(self.now(), self.whole_calendar)

    def newest_closed_day(self) -> date:
        """The last day that is over, in this environment's time."""
        return min(utc_day(self.now()) - timedelta(days=1), self.calendar().last)

    def make_folders(self) -> None:
        """Create the folders of this environment.

        Raises:
            FolderNotWritable: the home folder cannot be written.
        """
        try:
            for folder in (self.home, self.landing.root, self.dagster_home):
                folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise FolderNotWritable(self.home, str(error)) from error


def _has_landed_after(landing: Path, day: date) -> bool:
    """Whether a feed has a landing day after this one."""
    folders = landing.glob("[!._]*/landed_on=*")
    return any((landed := landing_day(folder.name)) is not None and landed > day for folder in folders)


def _place(text: str, home: Path) -> str:
    """A URL as it is; a folder as an absolute path, from the home where it is relative."""
    return text.rstrip("/") if "://" in text else str(home / Path(text).expanduser())


def _list(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _feed(text: str) -> FeedKind:
    if text == "files":
        return "files"
    if text == "kafka":
        return "kafka"
    raise BadSetting("LAKEHOUSE_FEED", text, "files or kafka")


def _topics(text: str) -> Mapping[str, str]:
    pairs = [tuple(part.strip() for part in pair.split("=")) for pair in text.split(",") if pair.strip()]
    if not all(len(pair) == 2 and all(pair) for pair in pairs):
        raise BadSetting("LAKEHOUSE_KAFKA_TOPICS", text, "feed=topic, or several with commas")
    return {pair[0]: pair[1] for pair in pairs}


def _kafka(found: Mapping[str, str]) -> KafkaCluster | None:
    if "KAFKA" not in found:
        return None
    return KafkaCluster(
        found["KAFKA"], found.get("KAFKA_USERNAME"), found.get("KAFKA_PASSWORD", ""), found.get("KAFKA_CA_FILE")
    )


def _refuse_no_folder(name: str, folder: str) -> None:
    """Refuse what cannot be a folder, or is a pattern or an escape to one of the programs that will read it."""
    if "://" in folder:
        return
    if _UNUSABLE.search(folder):
        raise BadSetting(name, folder, "a folder name without * ? [ ] { } \\ ` % and line breaks")
    existing = next(path for path in (Path(folder).absolute(), *Path(folder).absolute().parents) if path.exists())
    if not existing.is_dir():
        raise BadSetting(name, folder, f"a folder, and {existing} is none")


def _calendar(found: Mapping[str, str]) -> tuple[date, date | None]:
    """First and last day; no last one where the calendar is open."""
    first = _day(found, "FIRST_DAY", Settings.first_day)
    last = None if found.get("LAST_DAY") == "open" else _day(found, "LAST_DAY", date(2014, 1, 31))
    if last is not None and last < first:
        name, other = ("LAST_DAY", f"{first} or later") if "LAST_DAY" in found else ("FIRST_DAY", f"{last} or earlier")
        beside = "LAKEHOUSE_FIRST_DAY" if name == "LAST_DAY" else "LAKEHOUSE_LAST_DAY"
        raise BadSetting(f"LAKEHOUSE_{name}", found[name], f"{other}, by {beside}")
    return first, last


def _day(found: Mapping[str, str], name: str, default: date) -> date:
    try:
        return parse_day(found[name]) if name in found else default
    except BadDay as error:
        raise BadSetting(f"LAKEHOUSE_{name}", found[name], "a day like 2024-01-31") from error


def _number(found: Mapping[str, str], name: str, default: float) -> float:
    try:
        return float(found.get(name, default))
    except ValueError as error:
        raise BadSetting(f"LAKEHOUSE_{name}", found[name], "a number of seconds") from error


def _moment(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise BadSetting("LAKEHOUSE_NOW", text, "a UTC time like 2024-02-03T00:00:00Z") from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _options(text: str) -> dict[str, str]:
    try:
        return {str(key): str(value) for key, value in json.loads(text).items()}
    except (ValueError, AttributeError) as error:
        shown = f"({len(text)} characters, not shown: it may hold a key)"
        raise BadSetting("LAKEHOUSE_STORAGE_OPTIONS", shown, f"a JSON object of strings ({error})") from None
