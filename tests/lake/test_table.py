"""Declarations: what a table's file must say, and that one which contradicts itself is refused with the remedy."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pyspark.sql.types as T
import pytest
from pandera.pyspark import Field
from pyspark.sql import DataFrame

from lake.declare.contract import Contract
from lake.declare.days import Days
from lake.declare.feed import FileFeed
from lake.declare.table import ROWS, Append, InsertNew, Replace, Table, Upsert, discover, table
from lake.errors import DeclarationError
from tests.tiny_topics import TABLES, answers, call_events, calls, hourly_calls, people


class Landings(Contract):
    """A landing."""

    airport: T.StringType = Field(description="where")
    landed_at: T.TimestampType = Field(description="when, UTC")
    landed_on: T.DateType = Field(description="UTC day of landed_at")
    note: T.StringType = Field(description="what else", nullable=True)
    noted_on: T.DateType = Field(description="day of the note", nullable=True)
    checked: T.IntegerType = Field(description="only checked", metadata={"stored": False})


def landings(calls: DataFrame) -> DataFrame:
    """One row per landing."""
    return calls


SOUND: dict[str, Any] = {
    "reads": [calls],
    "contract": Landings,
    "key": ["airport", "landed_on"],
    "day": "landed_on",
    "write": Replace(),
    "fresh_within": timedelta(hours=1),
    "owner": "team:operations",
    "layer": "silver",
}


def declare(transform: Any = landings, **changed: Any) -> Table:
    return table(**{**SOUND, **changed})(transform)


def test_a_sound_declaration_is_accepted() -> None:
    declared = declare()

    assert declared.full_name == "silver.landings"
    assert declared.path == "silver/landings"
    assert declared.description == "One row per landing."
    assert declared.partition_columns == ["landed_on"]


def undescribed(calls: DataFrame) -> DataFrame:
    return calls


def Shouting(calls: DataFrame) -> DataFrame:  # noqa: N802
    """One row per shout."""
    return calls


def swapped(people: DataFrame, calls: DataFrame) -> DataFrame:
    """One row per landing."""
    return calls


def landings_beside_gold(calls: DataFrame, hourly_calls: DataFrame) -> DataFrame:
    """One row per landing."""
    return calls.join(hourly_calls, "airport")


landings_beside_gold.__name__ = "landings"


class Undescribed(Contract):
    """A column says nothing."""

    airport: T.StringType = Field()
    landed_on: T.DateType = Field(description="day")


class Uncouth(Contract):
    """A column has a name that SQL would have to quote."""

    Airport: T.StringType = Field(description="where")
    landed_on: T.DateType = Field(description="day")


def renamed(name: str, contract: type[Contract] = Landings) -> dict[str, Any]:
    """A transform and a contract that agree in name, so that only the other defect is left."""

    def transform(calls: DataFrame) -> DataFrame:
        """One row per landing."""
        return calls

    transform.__name__ = name
    return {"transform": transform, "contract": contract}


FEED = FileFeed("calls", "a feed with the name that the parameter has")

MALFORMED: list[tuple[str, dict[str, Any], str, str]] = [
    ("contract of another name", {"contract": Undescribed}, "has the contract Undescribed", "Landings"),
    ("function of a wrong name", {"transform": Shouting}, "is not a table name", "lower case"),
    (
        "no description",
        {"transform": undescribed, "contract": Undescribed},
        "does not say what a row is",
        "One row per",
    ),
    ("a folder that is no layer", {"layer": "platinum"}, "which is no layer", "bronze, silver, gold, serving"),
    ("no owner", {"owner": ""}, "has the owner ''", "team:name"),
    ("an owner who cannot be reached", {"owner": "operations"}, "has the owner 'operations'", "team:name"),
    ("never fresh", {"fresh_within": timedelta(0)}, "is never fresh", "positive timedelta"),
    ("reads nothing", {"reads": []}, "reads nothing", "at least one"),
    ("other parameters", {"reads": [people]}, "has the parameters ['calls']", "in their order"),
    (
        "parameters in another order",
        {**renamed("landings"), "transform": swapped, "reads": [calls, people]},
        "has the",
        "",
    ),
    ("negative days", {"reads": [calls.days(before=-1)]}, "negative days", "0 or more"),
    ("a later layer", {"layer": "bronze"}, "reads silver.calls of a later layer", "move one"),
    ("a feed beyond bronze", {"reads": [FEED]}, "reads the feed calls", "let a bronze table"),
    (
        "days without a day",
        {"day": None, "reads": [calls.days(after=1)]},
        "one of the two has no days",
        "drop before",
    ),
    ("no key", {"key": []}, "the key column '' is not stored", "airport"),
    ("a key beyond the contract", {"key": ["airprot", "landed_on"]}, "'airprot' is not stored", "'airport'"),
    ("a key that is only checked", {"key": ["checked", "landed_on"]}, "'checked' is not stored", "'airport'"),
    ("a nullable key", {"key": ["note", "landed_on"]}, "the key column note is nullable", "drop nullable=True"),
    ("a key without its day", {"key": ["airport"]}, "could hold one key on two days", "day_of"),
    (
        "a day that follows from no key column",
        {"key": ["airport"], "day_of": "landed_at"},
        "one key on two days",
        "day_of",
    ),
    ("a day beyond the contract", {"day": "arrived_on", "day_of": "airport"}, "'arrived_on' is not a stored", "add it"),
    (
        "a day that is no date",
        {"day": "landed_at", "day_of": "airport"},
        "'landed_at' is not a stored, non-null DATE",
        "add",
    ),
    ("a nullable day", {"day": "noted_on", "day_of": "airport"}, "'noted_on' is not a stored, non-null DATE", "add"),
    ("read by no date", {"read_by": "airport"}, "'airport' is not a stored, non-null DATE", "add it"),
    ("an event time that is no time", {"event_time": "airport", "lateness": timedelta(1)}, "is not a TIMESTAMP", "_at"),
    ("an event time without lateness", {"event_time": "landed_at"}, "only one of event_time and lateness", "both"),
    ("a lateness without event time", {"lateness": timedelta(1)}, "only one of event_time and lateness", "both"),
    ("an order of nothing", {"write": InsertNew(first_by=[])}, "which row of a key came first", "total order"),
    (
        "a stream that would read what a stream upserts",
        {
            "transform": landings_beside_gold,
            "write": InsertNew(first_by=["landed_at"]),
            "reads": [calls, hourly_calls],
            "layer": "gold",
        },
        "would read gold.hourly_calls while a stream upserts it",
        "write=Replace()",
    ),
    (
        "a stream that would upsert groups of several days",
        {"reads": [calls.days(before=1)], "layer": "gold", "write": Upsert()},
        "would upsert groups of several days of silver.calls",
        "InsertNew with the group as key",
    ),
    ("appending to silver", {"write": Append()}, "appends outside of bronze", "InsertNew, Upsert or Replace"),
    ("counting what it does not read", {"counts": {"landings": answers}}, "counts silver.answers", "among its reads"),
    ("counting by a name", {"counts": {"airport": calls}}, "by 'airport', which is no whole number", "name such"),
    ("rows of a word that is none", {"rows": "few"}, "states rows='few'", "write one of each, some, any"),
    ("some rows of two inputs", {"rows": "some"}, "are not those of one bronze table", "drop rows"),
    (
        "a row for each key that the input lacks",
        {"counts": {ROWS: calls}},
        "which lacks ['airport', 'landed_on']",
        "holds the key",
    ),
]


@pytest.mark.parametrize(
    ("changed", "problem", "remedy"), [case[1:] for case in MALFORMED], ids=[case[0] for case in MALFORMED]
)
def test_a_malformed_declaration_is_refused_with_file_and_remedy(
    changed: dict[str, Any], problem: str, remedy: str
) -> None:
    with pytest.raises(DeclarationError) as refused:
        declare(**changed)

    error = refused.value
    assert error.file.endswith("test_table.py")
    assert problem in error.problem
    assert remedy in error.remedy
    assert str(error).startswith(error.file)
    assert f"next: {error.remedy}" in str(error)


@pytest.mark.parametrize(
    ("contract", "problem"),
    [(Undescribed, "column airport has no description"), (Uncouth, "column Airport is not a column name")],
)
def test_a_malformed_column_is_refused(contract: type[Contract], problem: str) -> None:
    changed = renamed(contract.__name__.lower(), contract)

    with pytest.raises(DeclarationError, match=problem):
        declare(**changed, key=["landed_on"])


# A mistake in a file of the project stops its import, not a run at night.


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A package of table files that is imported for this test only."""
    import sys

    root = tmp_path / "assets_of_a_test"
    for layer in ("", "bronze", "silver"):
        (root / layer).mkdir(exist_ok=True)
        (root / layer / "__init__.py").write_text('"""Tables."""\n')
    monkeypatch.syspath_prepend(str(tmp_path))
    yield root
    for name in [name for name in sys.modules if name.split(".")[0] == root.name]:
        del sys.modules[name]


BRONZE_FILE = '''
"""Calls."""
from datetime import timedelta
import pyspark.sql.types as T
from pandera.pyspark import Field
from lake.declare.contract import Contract
from lake.declare.feed import FileFeed
from lake.declare.table import Append, table

calls = FileFeed("calls", "what landed")

class CallFiles(Contract):
    """A line."""
    line: T.StringType = Field(description="the line")
    landed_on: T.DateType = Field(description="day")

@table(reads=[calls], contract=CallFiles, key=["line", "landed_on"], day="landed_on", write=Append(),
       fresh_within=timedelta(hours=1), owner="team:operations")
def call_files(calls):
    """One row per line."""
    return calls
'''


def test_one_file_is_all_that_a_new_table_needs(package: Path) -> None:
    (package / "bronze" / "call_files.py").write_text(BRONZE_FILE)
    silver = BRONZE_FILE.replace("CallFiles", "Callers").replace("def call_files(calls)", "def callers(call_files)")
    silver = silver.replace("reads=[calls]", "reads=[call_files]").replace("Append", "Replace")
    silver = silver.replace("return calls", "return call_files")
    silver = silver.replace("calls = ", "from assets_of_a_test.bronze.call_files import call_files\nunused = ")
    (package / "silver" / "callers.py").write_text(silver)
    import importlib

    found = discover(importlib.import_module("assets_of_a_test"))

    assert list(found) == ["bronze.call_files", "silver.callers"]
    assert found["silver.callers"].layer == "silver"


def test_a_mistake_in_a_table_file_stops_discovery_and_names_the_file(package: Path) -> None:
    (package / "bronze" / "call_files.py").write_text(BRONZE_FILE.replace("team:operations", "somebody"))
    import importlib

    with pytest.raises(DeclarationError) as refused:
        discover(importlib.import_module("assets_of_a_test"))

    assert refused.value.file == str(package / "bronze" / "call_files.py")


@pytest.mark.parametrize(
    ("written", "problem"),
    [
        ("", "@table missing 1 required keyword-only argument: 'owner'"),
        (', owners="team:operations"', "@table got an unexpected keyword argument 'owners'"),
    ],
    ids=["a fact is missing", "a fact is misspelt"],
)
def test_a_fact_that_is_missing_or_unknown_is_told_with_those_there_are(
    package: Path, written: str, problem: str
) -> None:
    file = package / "bronze" / "call_files.py"
    file.write_text(BRONZE_FILE.replace(', owner="team:operations"', written))
    import importlib

    with pytest.raises(DeclarationError) as refused:
        discover(importlib.import_module("assets_of_a_test"))

    assert refused.value.file == str(file)
    assert problem in refused.value.problem
    assert "fresh_within, owner; and where needed day_of" in refused.value.remedy


def test_so_is_a_fact_of_a_table_that_is_declared_by_its_feed(package: Path) -> None:
    file = package / "bronze" / "call_files.py"
    head = "from lake.declare.feed import FileFeed\nfrom lake.declare.received import received\n"
    file.write_text(head + '@received(FileFeed("calls", "calls"), owners="team:a")\ndef call_files() -> None: ...\n')
    import importlib

    with pytest.raises(DeclarationError) as refused:
        discover(importlib.import_module("assets_of_a_test"))

    assert "@received got an unexpected keyword argument 'owners'" in refused.value.problem
    assert refused.value.remedy == "state feed, fresh_within, owner; and where needed claim, policy, tags, layer"


def test_an_import_that_fails_within_a_layer_is_not_taken_for_a_missing_layer(package: Path) -> None:
    (package / "bronze" / "__init__.py").write_text("import no_such_module\n")
    import importlib

    with pytest.raises(ModuleNotFoundError, match="no_such_module"):
        discover(importlib.import_module("assets_of_a_test"))


def test_the_code_version_changes_with_the_file_and_with_all_that_it_imports(package: Path) -> None:
    import importlib
    import sys

    using = BRONZE_FILE.replace("calls = ", "from assets_of_a_test.parsing import SEPARATOR\n\ncalls = ")
    changed = using.replace("One row per line", "One row per line of text")
    versions = []
    (package / "parsing.py").write_text('"""How lines are cut."""\n\nfrom assets_of_a_test.signs import SEPARATOR\n')
    for text, sign in ((using, ","), (using, ","), (changed, ","), (using, ";")):
        (package / "bronze" / "call_files.py").write_text(textwrap.dedent(text))
        (package / "signs.py").write_text(f'"""Signs."""\n\nSEPARATOR = "{sign}"\n')
        for name in [name for name in sys.modules if name.startswith(package.name)]:
            del sys.modules[name]
        importlib.invalidate_caches()
        sys.dont_write_bytecode, before = True, sys.dont_write_bytecode
        import linecache

        linecache.clearcache()
        versions.append(discover(importlib.import_module(package.name))["bronze.call_files"].code_version)
        sys.dont_write_bytecode = before

    assert versions[0] == versions[1]
    assert len(set(versions)) == 3


# What reads mean in days

DAY = date(2013, 1, 10)


def test_the_days_that_a_day_needs_and_the_days_that_a_day_makes_stale_are_each_others_mirror() -> None:
    (needs_after,) = answers.reads  # calls, of the day and the two next

    assert needs_after.selected(Days.of(DAY)) == Days.parse("2013-01-10..2013-01-12")
    assert needs_after.affected(DAY) == Days.parse("2013-01-08..2013-01-10")
    for read in (read for declared in TABLES.values() for read in declared.reads):
        for other in Days.of(DAY).widen(before=5, after=5):
            assert (DAY in read.selected(Days.of(other))) == (other in read.affected(DAY)), read


def test_bronze_is_selected_by_the_claimed_event_day_and_needed_by_its_landing_days() -> None:
    (read,) = calls.reads

    assert read.needed(Days.of(DAY)) == Days.parse("2013-01-10..2013-01-11")
    assert read.selected(Days.of(DAY)) == Days.of(DAY)
    assert call_events.read_by == "event_date"
    assert call_events.partition_columns == ["landed_on", "event_date"]


def test_a_table_is_called_like_its_function() -> None:
    assert answers.transform.__name__ == answers.name
    assert repr(calls) == "<Table silver.calls>"


def test_an_upsert_and_an_insert_are_accepted_in_any_layer_but_only_bronze_appends() -> None:
    assert declare(write=Upsert()).write == Upsert()
    assert declare(write=InsertNew(first_by=["landed_at"])).write == InsertNew(first_by=["landed_at"])
