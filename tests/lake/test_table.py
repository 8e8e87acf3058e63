"""Declarations: what a table's file must say, and that one which contradicts itself is refused with the remedy."""

from __future__ import annotations

import hashlib
import inspect
import re
import textwrap
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Annotated, Any

import pyspark.sql.types as T
import pytest
from pyspark.sql import DataFrame

from lake.declare.contract import Contract, Field
from lake.declare.days import Days
from lake.declare.feed import FileFeed
from lake.declare.table import (
    ROWS,
    Append,
    InsertNew,
    Latest,
    Read,
    Replace,
    Table,
    Upsert,
    discover,
    is_followable,
    table,
)
from lake.errors import DeclarationError
from tests.tiny_topics import TABLES, answers, call_events, calls, hourly_calls, people, texts


class Landings(Contract):
    """A landing."""

    airport: T.StringType = Field(description="where")
    landed_at: T.TimestampType = Field(description="when, UTC")
    landed_on: T.DateType = Field(description="UTC day of landed_at")
    note: T.StringType = Field(description="what else", nullable=True)
    noted_on: T.DateType = Field(description="day of the note", nullable=True)
    tags: Annotated[T.ArrayType, T.StringType(), False] = Field(description="some words")
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


LATEST: dict[str, Any] = {"day": None, "key": ["airport"], "write": Latest(by=["landed_at"])}


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


TWICE = T.StructType([T.StructField("Street", T.StringType()), T.StructField("sTREET", T.StringType())])


class Alike(Contract):
    """Fields of a struct, in an array in a map, have names that Delta takes for one."""

    airport: Annotated[T.MapType, T.StringType(), T.ArrayType(TWICE)] = Field(description="where")
    landed_on: T.DateType = Field(description="day")


def renamed(name: str, contract: type[Contract] = Landings) -> dict[str, Any]:
    """A transform and a contract that agree in name, so that only the other defect is left."""

    def transform(calls: DataFrame) -> DataFrame:
        """One row per landing."""
        return calls

    transform.__name__ = name
    return {"transform": transform, "contract": contract}


def of_people(people: DataFrame) -> DataFrame:
    """One row per landing."""
    return people


def of_call_events(call_events: DataFrame) -> DataFrame:
    """One row per landing."""
    return call_events


def of_both(calls: DataFrame, texts: DataFrame) -> DataFrame:
    """One row per landing."""
    return calls.unionAll(texts)


def of_itself(calls: DataFrame, landings: DataFrame) -> DataFrame:
    """One row per landing."""
    return calls.unionAll(landings)


of_itself.__name__ = "landings"
for transform in (of_people, of_call_events, of_both):
    transform.__name__ = "landings"
PEOPLE, CALL_EVENTS, BOTH = ({"transform": one} for one in (of_people, of_call_events, of_both))

FEED = FileFeed("calls", "a feed with the name that the parameter has")

SECOND = timedelta(seconds=1)
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
    ("reads a name", {"reads": [calls, "landings"]}, "reads 'landings', which is no table", "with day=None"),
    ("reads itself", {"transform": of_itself, "reads": [calls]}, "landings: reads itself", "with day=None"),
    ("nested key", {"key": ["tags", "landed_on"]}, "the key column tags is a array", "single values"),
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
        "the newest of what a feed sends",
        {**LATEST, **CALL_EVENTS, "reads": [call_events], "layer": "bronze"},
        "keeps only the newest row of what",
        "Append it",
    ),
    ("the newest row with days", {"write": Latest(by=["landed_at"])}, "whatever its day, and has days", "day=None"),
    (
        "the newest by nothing",
        {**LATEST, "write": Latest(by=[])},
        "which row of a key is the newest",
        "columns that grow",
    ),
    ("the newest by lineage", {**LATEST, "write": Latest(by=["_offset"])}, "'_offset', which the contract", "add it"),
    ("the newest by a null", {**LATEST, "write": Latest(by=["noted_on"])}, "noted_on, which can be null", "never null"),
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
    ("counting without days", {"day": None, "counts": {"checked": calls}}, "counts silver.calls", "table with days"),
    ("counting by a name", {"counts": {"airport": calls}}, "by 'airport', which is no whole number", "name such"),
    ("months without days", {"day": None, "reads": [calls.month()]}, "one of the two has no days", "drop before"),
    ("months of a table without days", {"reads": [people.month()], **PEOPLE}, "one of the two has no days", "month()"),
    ("months of bronze", {"reads": [call_events.month()], **CALL_EVENTS}, "a month of bronze.call_events", "silver"),
    ("weeks and months", {"reads": [calls.month(), texts.week()], **BOTH}, "single days of silver.texts", ".month()"),
    (
        "months and days",
        {"reads": [calls.month(), texts], **BOTH},
        "reads single days of silver.texts",
        "texts.month()",
    ),
    ("months as a stream", {"reads": [calls.month()], "write": Upsert()}, "which a stream never has all", "Replace()"),
    (
        "early days of a table that streams",
        {**LATEST, "early_every": SECOND},
        "none of its days is ever early",
        "drop it",
    ),
    (
        "early days without a pause",
        {"early_every": timedelta(0)},
        "computed early without a pause",
        "a positive timedelta",
    ),
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
    [
        (Undescribed, "column airport has no description"),
        (Uncouth, "column Airport is not a column name"),
        (Alike, "column airport has the fields Street and sTREET, which Delta and Spark do not tell apart"),
    ],
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
from lake.declare.contract import Contract, Field
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
    assert refused.value.remedy == "state feed, fresh_within, owner; and where needed claim, policy, tags, pii, layer"


def test_a_table_that_reads_its_own_yesterday_is_told_how_to_keep_a_running_total(package: Path) -> None:
    file = package / "bronze" / "call_files.py"
    file.write_text(BRONZE_FILE.replace("reads=[calls]", "reads=[calls, call_files.days(before=1)]"))
    import importlib

    with pytest.raises(DeclarationError) as refused:
        discover(importlib.import_module("assets_of_a_test"))

    assert refused.value.file == str(file)
    assert refused.value.problem == "line 16: call_files: reads itself"
    assert "keep the sum of each day in a table of its own" in refused.value.remedy


def test_another_name_that_is_not_there_is_no_table_that_reads_itself(package: Path) -> None:
    (package / "bronze" / "call_files.py").write_text(BRONZE_FILE.replace("reads=[calls]", "reads=[cals]"))
    import importlib

    with pytest.raises(NameError, match="cals"):
        discover(importlib.import_module("assets_of_a_test"))


def test_an_import_that_fails_within_a_layer_is_not_taken_for_a_missing_layer(package: Path) -> None:
    (package / "bronze" / "__init__.py").write_text("import no_such_module\n")
    import importlib

    with pytest.raises(ModuleNotFoundError, match="no_such_module"):
        discover(importlib.import_module("assets_of_a_test"))


USING = BRONZE_FILE.replace("calls = ", "from assets_of_a_test.parsing import SEPARATOR\n\ncalls = ")
SIGNS = 'SEPARATOR = ","\n'


def code_of(package: Path, **texts: str) -> Table:
    """The table of `bronze/call_files.py` as these files of the package declare it, imported anew."""
    import importlib
    import sys

    known = {"bronze/call_files": USING, "parsing": "from assets_of_a_test.signs import SEPARATOR\n", "signs": SIGNS}
    for name, text in {**known, **texts}.items():
        (package / f"{name}.py").write_text(textwrap.dedent(text))
    for name in [name for name in sys.modules if name.startswith(package.name)]:
        del sys.modules[name]
    importlib.invalidate_caches()
    sys.dont_write_bytecode, before = True, sys.dont_write_bytecode
    import linecache

    linecache.clearcache()
    try:
        return discover(importlib.import_module(package.name))["bronze.call_files"]
    finally:
        sys.dont_write_bytecode = before


@pytest.mark.parametrize(
    "texts",
    [
        {"bronze/call_files": USING.replace("One row per line", "One row per line of text")},
        {"bronze/call_files": USING.replace("return calls", "# as they came\n    return calls  # all of them")},
        {"bronze/call_files": USING.replace("return calls", "return (\n        calls\n    )\n\n")},
        {"signs": f'"""Signs."""\n\n{SIGNS}"""What parts the fields of a line."""\n'},
    ],
    ids=["docstring", "comment", "layout", "docstrings of what it imports"],
)
def test_the_code_version_is_the_same_where_no_row_can_be_another(package: Path, texts: dict[str, str]) -> None:
    before = code_of(package).code_version

    assert code_of(package, **texts).code_version == before


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({}, {"bronze/call_files": USING.replace("return calls", "return calls.limit(1)")}),
        ({}, {"bronze/call_files": USING.replace('"the line"', '"a line"')}),
        ({}, {"signs": 'SEPARATOR = ";"\n'}),
        *(
            ({"parsing": f"{way}\n", "signs": SIGNS}, {"parsing": f"{way}\n", "signs": 'SEPARATOR = ";"\n'})
            for way in (
                "from assets_of_a_test import signs\nSEPARATOR = signs.SEPARATOR",
                "import assets_of_a_test.signs as signs\nSEPARATOR = signs.SEPARATOR",
                "from .signs import SEPARATOR",
                "from . import signs\nSEPARATOR = signs.SEPARATOR",
            )
        ),
    ],
    ids=["the file", "a text", "an import", "a module", "a dotted module", "a relative import", "a relative module"],
)
def test_the_code_version_changes_with_the_file_and_with_all_that_it_imports(
    package: Path, before: dict[str, str], after: dict[str, str]
) -> None:
    assert code_of(package, **before).code_version != code_of(package, **after).code_version


def test_what_an_earlier_release_computed_with_the_same_files_is_not_of_older_code(package: Path) -> None:
    def hash_of(*texts: str) -> str:
        """As releases took it that hashed whole texts."""
        return hashlib.sha256("\0".join(sorted(texts)).encode()).hexdigest()[:12]

    parsing = "from assets_of_a_test.signs import SEPARATOR\n"
    declared = code_of(package)

    assert declared.is_computed_by(declared.code_version)
    assert declared.is_computed_by(hash_of(USING, parsing, SIGNS))
    assert not declared.is_computed_by(hash_of(USING, parsing, "SEPARATOR = ';'\n"))


# What reads mean in days

DAY = date(2013, 1, 10)


def test_the_days_that_a_day_needs_and_the_days_that_a_day_makes_stale_are_each_others_mirror() -> None:
    (needs_after,) = answers.reads  # calls, of the day and the two next

    assert needs_after.selected(Days.of(DAY)) == Days.parse("2013-01-10..2013-01-12")
    assert needs_after.affected(DAY) == Days.parse("2013-01-08..2013-01-10")
    for read in (read for declared in TABLES.values() for read in declared.reads):
        for other in Days.of(DAY).widen(before=5, after=5):
            assert (DAY in read.selected(Days.of(other))) == (other in read.affected(DAY)), read


def test_the_days_that_many_days_reach_are_those_that_each_makes_stale() -> None:
    days = list(Days.of(DAY).widen(before=40, after=40))
    reads = [read for declared in TABLES.values() for read in declared.reads]

    for read in [*reads, calls.month(), calls.week(), calls.days(before=3, after=1)]:
        found = [pair for reached in read.reached(days) for pair in zip(days, reached, strict=True)]
        assert sorted(found) == sorted((day, one) for day in days for one in read.affected(day)), read
    assert next(calls.days(before=3, after=1).reached([DAY])) == [date(2013, 1, 9)]


@pytest.mark.parametrize(
    ("read", "day", "whole"),
    [
        (calls.month(), "2013-02-14", "2013-02-01..2013-02-28"),
        (calls.month(), "2012-12-31", "2012-12-01..2012-12-31"),
        (calls.week(), "2013-01-06", "2012-12-31..2013-01-06"),
        (calls.week(), "2013-01-07", "2013-01-07..2013-01-13"),
    ],
)
def test_a_week_or_month_is_computed_from_all_its_days_under_its_first(read: Read, day: str, whole: str) -> None:
    days, declared = Days.parse(whole), declare(reads=[read])

    assert read.affected(date.fromisoformat(day)) == Days.of(days.start)
    assert read.selected(Days.of(days.start)) == days
    assert not read.selected(Days.of(days.last)), "no week or month begins there"
    assert declared.own_days(Days.of(date.fromisoformat(day))) == [days.start]


def test_a_range_of_months_reads_each_that_begins_in_it() -> None:
    assert calls.month().selected(Days.parse("2013-01-31..2013-03-01")) == Days.parse("2013-02-01..2013-03-31")
    declared = declare(reads=[calls.month()])
    asked = Days.parse("2012-12-31..2013-02-01")
    assert declared.own_days(asked) == [date(2012, 12, 1), date(2013, 1, 1), date(2013, 2, 1)]
    assert declared.own_range(asked) == Days.parse("2012-12-01..2013-02-01")


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


def test_current_rows_stream_without_days_and_any_other_table_with_them() -> None:
    current = declare(**LATEST)

    assert current.write.order == ["-landed_at"]
    assert is_followable(current)
    assert not is_followable(replace(current, day="landed_on"))
    assert not is_followable(replace(current, write=Upsert()))
    assert not is_followable(replace(current, reads=(Read(people),))), "no topic leads there"


def test_the_page_for_authors_of_tables_names_every_fact() -> None:
    page = (Path(__file__).parents[2] / "docs" / "your-own-data.md").read_text()
    _, _, facts = page.partition("## Every fact of `@table`")
    named = {name for row in re.findall(r"^\| (`.*?) \|", facts, re.MULTILINE) for name in re.findall(r"`(\w+)`", row)}

    assert named == set(inspect.signature(table).parameters)
