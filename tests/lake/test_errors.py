"""Every error says where, what and the next step, keeps its fields, and survives the way home from a worker."""

from __future__ import annotations

import pickle
import re
import subprocess
import sys
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import pytest

import lake.errors
from lake.errors import (
    STREAM_RUNBOOK,
    AlreadyFollowed,
    BadDay,
    BadName,
    BadProjectName,
    BadSetting,
    BronzeLost,
    CannotAcceptLoss,
    CannotCompile,
    CannotExport,
    CannotMirror,
    CannotPassOver,
    ContractBroken,
    DayAhead,
    DayIsOpen,
    DeclarationError,
    DestinationDiffers,
    DestinationDrift,
    DestinationInUse,
    DestinationUnreachable,
    ExtraMissing,
    FeedNotByDay,
    FilesGone,
    FilesThere,
    FolderInUse,
    FolderNotReadable,
    FolderNotWritable,
    InputLost,
    InputRestored,
    JarDamaged,
    JarMissing,
    JavaMissing,
    JavaWrong,
    LakeError,
    LakeTooNew,
    LandingDamaged,
    LandingGone,
    LogDamaged,
    MessagesGone,
    NeedsFolder,
    NotAStream,
    NotHandedOn,
    Offline,
    OtherMessage,
    RowsLost,
    RowsOutsideDays,
    RowsWithoutDay,
    SchemaDrift,
    SecretMissing,
    SettingMissing,
    SetupError,
    StreamBroken,
    TableLocked,
    TableRestored,
    TopicMissing,
    TopicReplaced,
    TopicShorter,
    TopicUnreachable,
    UnknownSink,
    UnknownTable,
    ValueRefused,
    WrittenMeanwhile,
)

EXAMPLES: list[LakeError] = [
    DeclarationError("silver/departures.py", "the key names 'carier', which the contract lacks", "write 'carrier'"),
    CannotCompile("Departures", "carrier", "unique_values_eq", ["ge", "isin"]),
    ContractBroken("silver.departures", {"2013-01-01": 2, "2013-01-02": 1}, {"carrier: str_length": 3}),
    BadDay("2013-02-30"),
    BadName("silver.x; drop", "table"),
    BadProjectName("a b\x1b[2J"),
    FolderInUse(Path("shop"), "is not empty"),
    FilesThere("gold.daily_sales", ["lakehouse_assets/gold/daily_sales.py"]),
    LakeTooNew("lake/ledger", 2, 1),
    BadSetting("LAKEHOUSE_FIRST_DAY", "yesterday", "a day like 2024-01-31"),
    BadSetting("first_day", "yesterday", "a day like 2024-01-31", "[tool.lakehouse] of /p/pyproject.toml"),
    SettingMissing("first_day", "/p"),
    SettingMissing("first_day", None),
    UnknownTable("silver.depatures", ["silver.departures", "silver.arrivals"]),
    LandingGone("bronze.weather_files", "landing/weather", {date(2013, 1, 1): 72}),
    LandingGone("bronze.weather_files", "landing/weather", {date(2013, 1, 1): 72}, lost=24),
    InputLost("gold.totals", "silver.marks", {date(2013, 1, 1): (24, 0)}),
    InputLost("silver.marks", "bronze.mark_files", {date(2013, 1, 1): (24, 0)}, reads_files=True),
    CannotExport("lake.duckdb", "there is no folder reports", "make it, or name another file"),
    CannotAcceptLoss("bronze.mark_files", "no days were named", "name them, as --days A..B"),
    RowsOutsideDays("silver.departures", "departed_on", "2013-01-01..2013-01-02", {"2013-01-03": 4}),
    RowsWithoutDay("silver.departures", "departed_on"),
    RowsLost("silver.departures", "Counts(rows_in=3)", "Counts(rows_in=2)", 2),
    SchemaDrift("silver.departures", {"carrier": "string", "flight": "int"}, {"carrier": "int", "extra": "date"}),
    LandingDamaged("bronze.weather_files", [date(2013, 1, 2)], {"/lake/landing/weather/a.gz": "truncated"}),
    FilesGone("silver.departures", {date(2013, 1, 2): ["departed_on=2013-01-02/part-0.parquet"]}),
    LogDamaged("/lake/tables/silver/departures", "00000000000000000007.json", "it holds no commit"),
    TableLocked("silver.departures", 61.4, "pid 4711"),
    WrittenMeanwhile("silver.departures", "DELTA_CONCURRENT_APPEND"),
    UnknownSink("bord", ["serving.board"]),
    UnknownSink("board", []),
    CannotMirror("serving.board", "its columns are mapped", "write it without that"),
    NotHandedOn("serving.board", "alerts", "the broker is gone"),
    DestinationDrift("serving.board", ["carrier is int, the contract says string"]),
    DestinationDiffers("serving.board", {date(2013, 1, 1): "24 rows, 23 there"}),
    DestinationInUse("serving.board", "/lake/warehouse.duckdb", "it has a write-ahead log"),
    DestinationUnreachable("serving.board", "WAREHOUSE_DSN", "connection refused"),
    ExtraMissing("serving.board", "Postgres", "adbc_driver_postgresql", "postgres"),
    ExtraMissing("serving.board", "Ours", "driver_of_ours"),
    SecretMissing("serving.board", "WAREHOUSE_DSN"),
    ValueRefused("serving.board", "name", "it holds NUL", {date(2013, 1, 1): 1}, "remove it in the transform"),
    DayIsOpen("silver.departures", "2013-01-02", date(2013, 1, 2), date(2013, 1, 1)),
    CannotPassOver("departures:0:4", "the topic holds no message at this place"),
    DayAhead(date(2023, 1, 6), date(2013, 1, 6)),
    AlreadyFollowed("pid 4711"),
    NotAStream("gold.daily_carrier_performance", ["silver.departures"]),
    StreamBroken("silver.flights", "RuntimeException: no such state", "/lake/checkpoints/silver/flights/g1-abc"),
    TopicUnreachable("departures", "127.0.0.1:9092", "timed out"),
    TopicMissing("departures", "127.0.0.1:9092", ["arrivals"]),
    TopicShorter("bronze.departure_events", "departures", {0: (17, 12)}),
    TopicReplaced("bronze.departure_events", "departures", "5Zq", "8Ab"),
    MessagesGone("bronze.departure_events", "departures", {0: (17, 20)}),
    BronzeLost("bronze.departure_events", "departures", 120, ["landed_on=2013-01-01/a.jsonl"]),
    BronzeLost("bronze.departure_events", "departures", 120),
    InputRestored("gold.totals", "silver.marks", 7),
    TableRestored("silver.marks", 7),
    TableRestored("silver.marks"),
    OtherMessage("bronze.departure_events", ["departures, 0, 17: sent at 10:00, held is 09:00"]),
    JavaMissing(["PATH"], "no network"),
    JavaWrong(Path("/opt/java8"), "Java 1.8.0_402"),
    JarMissing("io.delta:delta-storage:4.4.0", Path("/m2/delta-storage.jar")),
    JarDamaged("io.delta:delta-storage:4.4.0", Path("/m2/delta-storage.jar"), "sha256 aa", "sha256 bb"),
    NeedsFolder("s3://bucket/landing"),
    Offline("jar io.delta:delta-storage:4.4.0", "ConnectionError: no route"),
    FolderNotWritable(Path("/mnt/lake"), "Read-only file system"),
    FeedNotByDay("sales", "/srv/sales", "sold_on", ["country"]),
    FolderNotReadable("/lake/landing/weather", "Permission denied"),
]


def every_class(base: type[LakeError] = LakeError) -> set[type[LakeError]]:
    return {base} | {found for child in base.__subclasses__() for found in every_class(child)}


@pytest.mark.parametrize("error", EXAMPLES, ids=lambda error: type(error).__name__)
def test_a_message_says_where_what_and_the_next_step(error: LakeError) -> None:
    where, what, next_step = error.message()
    assert all((where, what, next_step))
    assert str(error) == f"{where}: {what}\n  next: {next_step}"


@pytest.mark.parametrize("error", EXAMPLES, ids=lambda error: type(error).__name__)
def test_an_error_from_a_worker_process_keeps_its_fields(error: LakeError) -> None:
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error)
    assert copy.__dict__ == error.__dict__
    assert str(copy) == str(error)


def test_a_kind_becomes_a_dataclass_with_the_fields_of_its_bases_when_the_first_of_it_is_raised() -> None:
    code = """
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from lake.errors import BadDay, BadSetting, FilesGone, LakeError
from lake.project.calendar import OutsideCalendar
assert not any("__dataclass_fields__" in vars(kind) for kind in (BadSetting, FilesGone, LakeError, OutsideCalendar))
error = OutsideCalendar("2024-01-01", problem="it has ended")
assert [one.name for one in fields(error)] == ["text", "problem"], fields(error)
assert repr(error) == "OutsideCalendar(text='2024-01-01', problem='it has ended')", repr(error)
assert "__dataclass_fields__" not in vars(FilesGone), "only what was raised"
with ThreadPoolExecutor(8) as threads:
    raised = list(threads.map(lambda _: BadSetting("a", "b", "c"), range(64)))
assert {(one.name, one.value, one.expected, one.args) for one in raised} == {("a", "b", "c", ("a", "b", "c"))}
assert hash(raised[0]) != hash(raised[1]), "each is its own"
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_an_extension_may_decorate_its_errors_or_write_their_constructor() -> None:
    class NeverRaisedError(LakeError):
        text: str

    @dataclass(eq=False)
    class LateError(NeverRaisedError):
        by: int = 0

    class ToldError(LakeError):
        def __init__(self, text: str) -> None:
            super().__init__(text)

    late = LateError("orders", by=3)
    assert (late.text, late.by) == ("orders", 3)
    assert ToldError("too late").args == ("too late",)


def test_an_error_that_was_half_made_when_the_process_was_interrupted_is_made_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class TornError(LakeError):
        text: str

    def interrupt(kind: type) -> None:
        kind.__dataclass_fields__ = {}  # type: ignore[attr-defined]  # as the decorator leaves it before `__init__`
        raise KeyboardInterrupt

    monkeypatch.setattr(lake.errors, "dataclass", lambda **_: interrupt)
    with pytest.raises(KeyboardInterrupt):
        TornError("a")
    monkeypatch.undo()
    assert TornError("a").text == "a"


def test_an_error_is_made_of_its_fields_and_no_others() -> None:
    with pytest.raises(TypeError, match="remedy"):
        Offline("jar", "no route", remedy="again")  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="missing"):
        Offline("jar")  # type: ignore[call-arg]


def test_the_docstring_draws_exactly_the_classes_that_exist() -> None:
    drawn = set(re.findall(r"^ .*?\b([A-Z]\w+)\b", lake.errors.__doc__ or "", re.MULTILINE))
    assert drawn == {kind.__name__ for kind in every_class() if kind.__module__ == "lake.errors"}


def test_every_public_class_is_exported() -> None:
    ours = {kind.__name__ for kind in every_class() if kind.__module__ == "lake.errors"}
    assert ours <= set(lake.errors.__all__)


def test_only_a_lock_and_the_network_are_worth_a_second_try() -> None:
    ours = {kind for kind in every_class() if kind.__module__ == "lake.errors"}
    assert {kind.__name__ for kind in ours if kind.retryable} == {
        "TableLocked",
        "WrittenMeanwhile",
        "Offline",
        "StorageUnreachable",
        "TopicUnreachable",
        "DestinationInUse",
        "DestinationUnreachable",
        "NotHandedOn",
    }


def test_a_broken_contract_counts_its_rows_and_names_days_and_rules() -> None:
    text = str(ContractBroken("silver.departures", {"2013-01-01": 2, "2013-01-02": 1}, {"carrier: str_length": 3}))
    assert text == (
        "silver.departures, days 2013-01-01 (2), 2013-01-02 (1): "
        "3 rows broke the contract; expected none. Rules: carrier: str_length (3)\n"
        "  next: lakehouse quarantine silver.departures shows the rows; "
        "mend their source and refresh these days again"
    )


def test_a_long_list_shows_three_examples_and_keeps_all() -> None:
    error = RowsOutsideDays("t", "d", "2013-01-01", ["a", "b", "c", "d", "e"])
    assert "found also a, b, c and 2 more" in str(error)
    assert len(error.outside) == 5


def test_a_misspelt_table_is_answered_with_the_near_name() -> None:
    error = UnknownTable("silver.depatures", ["silver.departures", "gold.delay_alerts"])
    assert "did you mean silver.departures?" in str(error)


def test_hostile_text_cannot_break_out_of_its_line() -> None:
    where = BadDay("2013-01-01\n\x1b[2Jall is well" + "x" * 500).message().where
    assert "\n" not in where
    assert "\x1b" not in where
    assert len(where) < 120


def test_a_missing_java_names_the_command_for_each_system() -> None:
    text = str(JavaMissing(["PATH"]))
    assert "sudo apt-get install -y openjdk-17-jre-headless" in text
    assert "sudo dnf install -y java-21-openjdk-headless" in text
    assert "brew install openjdk@17" in text


def test_set_up_errors_are_one_family() -> None:
    # Commands that ran before in this process have brought others.
    own = {kind.__name__ for kind in every_class(SetupError) if kind.__module__ == SetupError.__module__}

    assert own == {
        "SetupError", "JavaMissing", "JavaWrong", "JarMissing", "JarDamaged", "Offline", "FolderNotWritable",
        "FolderNotReadable", "StorageUnreachable", "StorageRefused", "BucketMissing", "NeedsFolder",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("said", "page"),
    [
        ("java.io.IOException: No space left on device", "The disk is full"),
        ("Some data may have been lost because they are not available in Kafka", "Messages are gone from the topic"),
        ("org.apache.kafka.common.errors.TimeoutException: Timed out", "The broker does not answer"),
        ("UnknownTopicOrPartitionException: This server does not host this topic", "A topic does not exist"),
        ("[CANNOT_LOAD_STATE_STORE.UNCATEGORIZED] An error occurred", "A checkpoint is damaged"),
        (
            "FileNotFoundException: File file:/l/part-0000-a1.c000.snappy.parquet does not exist",
            "A file of an input is gone",
        ),
        ("FileNotFoundException: File file:/l/state/0/1/3.changelog does not exist", "A checkpoint is damaged"),
        ("ZeroDivisionError", "A stream stopped"),
    ],
)
def test_a_broken_stream_names_its_page_of_the_runbook(said: str, page: str) -> None:
    _, _, next_step = StreamBroken("silver.flights", said, "/lake/checkpoints").message()
    assert next_step.endswith(f"({STREAM_RUNBOOK}, {page!r})")


def test_every_page_of_the_streams_runbook_that_an_error_names_is_there() -> None:
    written = (Path(__file__).parents[2] / STREAM_RUNBOOK).read_text()
    source = Path(lake.errors.__file__).read_text()
    named = {page for page, _ in (found[1:] for found in lake.errors._DIAGNOSES)} | {lake.errors._UNKNOWN_CAUSE[0]}
    named |= set(re.findall(r"STREAM_RUNBOOK\}, '([^']+)'\)", source))
    assert len(named) >= 6
    assert not {page for page in named if f"\n## {page}\n" not in written}
