"""Hold the settings of an environment: places, calendar and clock.

Each is written in the project's pyproject.toml (`lake.project.project_file`) or as a variable LAKEHOUSE_<NAME>. All but
the first day of the calendar have a default, which suits a laptop. Nothing is read at import.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

from lake.declare.days import ALL_DAYS, Days, utc_day
from lake.declare.landed import landing_day
from lake.errors import BadSetting, SettingMissing
from lake.project.project_file import Given, Project, read_project, refuse_folder
from lake.project.values import READERS, read_text
from lake.storage.landing import Landing
from lake.storage.location import is_local
from lake.storage.s3 import options_of
from lake.storage.store_path import StorePath
from lake.stream.kafka import KafkaCluster
from lake.write.horizon import Horizon

__all__ = ["Settings"]

FeedKind = Literal["files", "kafka"]
_REPLAY_IS_AHEAD = timedelta(days=2)
"""What a replay lands while it sets its clock is no further ahead."""
_REPLAY_COUNTS_FOR = timedelta(days=7)
"""Where topics are read from a broker, nothing lands that says that the lake lives on; so time does."""
_UNUSABLE = re.compile(r"[*?\[\]{}\\`%\n]")
_URL = re.compile(r"(s3|s3a|abfs|abfss|az|azure|gs|hdfs)://[^/]|file:///.", re.IGNORECASE)
_FOLDERS = ("home", "tables", "landing", "checkpoints")
_KAFKA = {
    "kafka": "bootstrap_servers",
    "kafka_username": "username",
    "kafka_password": "password",
    "kafka_ca_file": "ca_file",
}
"""The settings of a cluster, and what `KafkaCluster` calls them."""
_FIELDS = {"lock_timeout": "lock_timeout_seconds", "now": "fixed_now"}
"""Fields that are called otherwise than their settings."""


@dataclass(frozen=True)
class Settings:
    """The settings of one environment.

    A setting is called as its field, where nothing else is said.

    Attributes:
        root: folder of the project.
        environment: its name.
        home: folder for everything that this environment keeps (`.lakehouse` of the project).
        tables: folder or URL of the Delta tables (`<home>/tables`; relative to the home).
        checkpoints: folder or URL of the streams' checkpoints (`<home>/checkpoints`; relative to the home).
        landing: folder or URL where feeds land (`<home>/landing`; relative to the home).
        first_day: first day of the calendar.
        package: the package that holds the tables.
        last_day: last day of the calendar; None (`open`) for one that grows every day, as it does by default.
        spark_master: `local[*]`.
        spark_remote: a Spark Connect URL that replaces the master.
        spark: settings of Spark that win over those of `lake.engine.session`.
        alert_urls: Apprise URLs for failed runs, late tables, stalled streams (as variable comma separated).
        ui_url: address of the web UI in messages; `lakehouse up` says its own where none is set.
        ui_hosts: names under which a proxy serves the web UI (as variable comma separated).
        api_tokens: any of them lets a program read by the API; none: not asked for (as variable comma separated).
        lock_timeout_seconds: how long to wait for a table that another process writes (`lock_timeout`, 1800).
        storage_options: for object stores, as delta-rs takes them (as variable JSON).
        feed: where streams read topics from: `files` or `kafka`.
        kafka: the cluster (`kafka = "host:port"`; with `kafka_username`, `kafka_password` and `kafka_ca_file` over
            SASL_SSL); None for the broker of `lakehouse kafka up`.
        kafka_topics: the topic of a feed that is not called as the feed is (as variable `feed=topic`, comma separated).
        openlineage: where events of OpenLineage go: a URL, or a file (relative to the home); None for what
            OpenLineage's own variables and file say.
        openlineage_namespace: names jobs and tables there; OPENLINEAGE_NAMESPACE, else `folder.environment`.
        openlineage_key_from: the variable that holds the receiver's API key.
        fixed_now: a clock that stands still (`now`, for tests and post-mortems).
        given: the settings as they were written.
    """

    root: Path
    environment: str
    home: Path
    tables: str
    landing: Landing
    checkpoints: str
    first_day: date
    package: str = "lakehouse_assets"
    last_day: date | None = None
    spark_master: str = "local[*]"
    spark_remote: str | None = None
    spark: Mapping[str, str] = field(default_factory=dict)
    alert_urls: tuple[str, ...] = field(default=(), repr=False)  # they may hold a token
    ui_url: str = "http://127.0.0.1:3000"
    ui_hosts: tuple[str, ...] = ()
    api_tokens: tuple[str, ...] = field(default=(), repr=False)
    lock_timeout_seconds: float = 1800.0
    storage_options: Mapping[str, str] = field(default_factory=dict, repr=False)  # and these a key
    feed: FeedKind = "files"
    kafka: KafkaCluster | None = None
    kafka_topics: Mapping[str, str] = field(default_factory=dict)
    openlineage: str | None = None
    openlineage_namespace: str | None = None
    openlineage_key_from: str | None = None
    fixed_now: datetime | None = None
    given: Mapping[str, Given] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def from_env(cls, env: Mapping[str, str] | None = None) -> Settings:
        """Read the project and the variables of the environment.

        Raises:
            BadSetting: something that was set cannot be used; it is named with the place where it stands.
            SettingMissing: nobody said when the calendar begins.
        """
        project = read_project(os.environ if env is None else env, NAMES)
        if "first_day" not in project.given:
            raise SettingMissing("first_day", str(project.root) if project.is_found else None)
        settings = cls(**_fields(project))
        _refuse_reversed_calendar(settings)
        return settings.reaching_landing()

    def reaching_landing(self) -> Settings:
        """Return the same with options for landing in an object store."""
        if isinstance(self.landing.location, Path):
            return self
        location = str(self.landing.location)
        return replace(self, landing=Landing(StorePath(location, (), options_of(location, self.storage_options))))

    def refuse(self, name: str, value: object, expected: str) -> BadSetting:
        """Make the error for a setting that turned out to be wrong later."""
        return self.given.get(name, Given(name, value, self.root)).refuse(expected)

    @property
    def locks(self) -> Path:
        """Folder of the lock files of a lake on an object store.

        A lake in a folder keeps them itself.
        """
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
        """Return the time that freshness is judged by.

        It is LAKEHOUSE_NOW, else the replay's time where one ran, else the wall's.
        """
        return self.own_clock() or datetime.now(UTC)

    def own_clock(self) -> datetime | None:
        """Return the lake's time where it is not the wall's.

        None where the lake lives by the wall clock.
        """
        return self.fixed_now or self.replay_clock()

    def replay_clock(self) -> datetime | None:
        """Tell the time of the last replay.

        None where none ran, or where the lake lives on: where more has landed since, or seven days after the replay.
        """
        if isinstance(self.landing.location, StorePath):  # no replay writes there
            return None
        file = self.landing.root / "_clock.json"
        try:
            now = datetime.fromisoformat(json.loads(file.read_text())["now"]).astimezone(UTC)
            if datetime.now(UTC).timestamp() - file.stat().st_mtime > _REPLAY_COUNTS_FOR.total_seconds():
                return None
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return None if _has_landed_after(self.landing.root, utc_day(now) + _REPLAY_IS_AHEAD) else now

    def calendar(self) -> Days:
        """Return all days that tables can have so far, the open day included.

        Days after the lake's clock are none of them, because nothing that claims one is believed.
        """
        today = utc_day(self.now())
        last = min(today, self.last_day or today)
        return Days.between(self.first_day, max(last, self.first_day))

    def refuse_days_outside(self, held: Days) -> None:
        """Raise where the calendar is shorter than what the tables hold.

        Raises:
            BadSetting: it is; tables cannot be computed beside it.
        """
        if held.start < self.first_day:
            expected = f"{held.start} or earlier, since the tables hold that day"
            raise self.refuse("first_day", self.first_day, expected)
        if self.last_day is not None and held.last > self.last_day:
            expected = f"{held.last} or later, or open, since the tables hold that day"
            raise self.refuse("last_day", self.last_day, expected)

    @property
    def whole_calendar(self) -> Days:
        """All days that tables can have, those to come included."""
        return Days.between(self.first_day, max(self.last_day or ALL_DAYS.last, self.first_day))

    def horizon(self) -> Horizon:
        """Return which times this environment believes now."""
        return Horizon(self.now(), self.whole_calendar)

    def today(self) -> date:
        """The open day, or the last one of a calendar that has ended."""
        return min(utc_day(self.now()), self.calendar().last)

    def newest_closed_day(self) -> date:
        """Return the last day that is over, in this environment's time."""
        return min(utc_day(self.now()) - timedelta(days=1), self.calendar().last)

    def make_folders(self) -> None:
        """Create the folders of this environment.

        Raises:
            FolderNotWritable: the home or the landing folder cannot be written.
        """
        landing = "landing" if "landing" in self.given else "home"
        for name, folder in (("home", self.home), (landing, self.landing.location), ("home", self.dagster_home)):
            if isinstance(folder, Path):
                try:
                    folder.mkdir(parents=True, exist_ok=True)
                except OSError as error:
                    raise refuse_folder(self.given, name, folder, str(error)) from error


_SETTINGS = {field: name for name, field in _FIELDS.items()}
_OF_THE_PROJECT = {"root", "environment", "given"}
NAMES = frozenset(_SETTINGS.get(name, name) for name in Settings.__dataclass_fields__) - _OF_THE_PROJECT | _KAFKA.keys()
"""The names of all settings."""


def _fields(project: Project) -> dict[str, Any]:
    """Return the given settings by the fields of `Settings`."""
    given = project.given
    plain = {_FIELDS.get(name, name): _read(one) for name, one in given.items() if name not in {*_FOLDERS, *_KAFKA}}
    home = _folder(given.get("home", Given("home", ".lakehouse", project.root)))
    tables = _folder_or_url(given.get("tables", Given("tables", "tables", home)), home)
    landing = _folder_or_url(given.get("landing", Given("landing", "landing", home)), home)
    checkpoints = _folder_or_url(given.get("checkpoints", Given("checkpoints", "checkpoints", home)), home)
    places = {
        "home": home,
        "tables": tables,
        "landing": Landing(Path(landing) if is_local(landing) else StorePath(landing)),
        "checkpoints": checkpoints,
    }
    if (said := given.get("openlineage")) and isinstance(said.value, str) and is_local(said.value):
        places["openlineage"] = str(_folder(said, home))
    about = {"root": project.root, "environment": project.environment, "given": given}
    return plain | places | about | _cluster(given)


def _read(given: Given) -> object:
    try:
        return READERS.get(given.name, read_text)(given.value)
    except ValueError as error:
        raise given.refuse(str(error)) from None


def _cluster(given: Mapping[str, Given]) -> dict[str, KafkaCluster]:
    for name in _KAFKA:
        if name in given and not isinstance(given[name].value, str):
            raise given[name].refuse("text")
    if "kafka" not in given:
        return {}
    return {"kafka": KafkaCluster(**{named: given[name].value for name, named in _KAFKA.items() if name in given})}


def _folder_or_url(given: Given, home: Path) -> str:
    """Return a URL as it is and a folder as an absolute path.

    A relative folder starts at the home.
    """
    if isinstance(given.value, str) and not is_local(given.value):
        if not _URL.match(given.value):
            raise given.refuse("a folder, or a URL as s3://bucket/folder")
        return given.value.rstrip("/")
    return str(_folder(given, home))


def _folder(given: Given, start: Path | None = None) -> Path:
    """Return a folder as an absolute path.

    Refuses what cannot be a folder, or is a pattern or an escape to one of the programs that will read it.
    """
    if not isinstance(given.value, str):
        raise given.refuse("the name of a folder")
    if not is_local(given.value):
        raise given.refuse("a folder of this machine; only tables, landing and checkpoints may lie in an object store")
    folder = (start or given.folder) / Path(given.value).expanduser()
    if _UNUSABLE.search(str(folder)):
        raise given.refuse("a folder name without * ? [ ] { } \\ ` % and line breaks")
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    if not existing.is_dir():
        raise given.refuse(f"a folder, and {existing} is none")
    return folder


def _refuse_reversed_calendar(settings: Settings) -> None:
    first, last = settings.first_day, settings.last_day
    if last is None or last >= first:
        return
    given = settings.given
    # Blame the variable, because the file held a good calendar before.
    if given["last_day"].table and not given["first_day"].table:
        raise given["first_day"].refuse(f"{last} or earlier, by last_day")
    raise given["last_day"].refuse(f"{first} or later, by first_day")


def _has_landed_after(landing: Path, day: date) -> bool:
    """Tell whether a feed has a landing day after this one."""
    folders = landing.glob("[!._]*/landed_on=*")
    return any((landed := landing_day(folder.name)) is not None and landed > day for folder in folders)
