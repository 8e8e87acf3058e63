"""Who may import whom, read from the source itself.

    lake: the rooms in the order of ROOMS; of these, orchestration alone knows Dagster
    lake  <-  table files  <-  definitions; the framework knows neither

A table file is pure: it knows frames and contracts, and neither Dagster nor a session nor the environment.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from lake.declare.table import LAYERS

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
PACKAGES = ("lake", "airline", "lakehouse_assets", "resources", "sensors")
TABLE_FOLDERS = (*LAYERS, "feeds")
TEMPLATES = ROOT / "lake" / "templates"
"""The files of a new project, which are no part of the framework."""

PURE = {
    "__future__",
    "collections",
    "datetime",
    "decimal",
    "functools",
    "itertools",
    "json",
    "math",
    "pyspark.sql",
    "pyspark.sql.functions",
    "pyspark.sql.types",
    "re",
    "typing",
    "lake.declare.claims",
    "lake.declare.contract",
    "lake.declare.delta_feed",
    "lake.declare.destinations",
    "lake.declare.feed",
    "lake.declare.formats",
    "lake.declare.json_lines",
    "lake.declare.received",
    "lake.declare.sink",
    "lake.declare.table",
}
"""All that a table file may import besides table files of its own or an earlier layer, and the supplement's data."""

IMPURE_NAMES = {"SparkSession", "SparkContext", "environ", "getenv", "open", "eval", "exec", "__import__", "input"}
RUNS_A_JOB = {"collect", "toPandas", "toLocalIterator", "first", "head", "take", "show", "isEmpty"}
TELLS_THE_TIME = {
    "current_date",
    "current_timestamp",
    "localtimestamp",
    "now",
    "today",
    "utcnow",
    "rand",
    "randn",
    "uuid",
}
COMES_IN_NO_ORDER = {"monotonically_increasing_id", "dropDuplicates", "drop_duplicates", "spark_partition_id"}


def sources(*folders: str) -> list[Path]:
    files = (file for folder in folders for file in (ROOT / folder).rglob("*.py"))
    return sorted(file for file in files if TEMPLATES not in file.parents)


def imports(tree: ast.AST) -> Iterator[str]:
    """The modules that a file imports, wherever in it; `from a.b import c` counts as `a.b`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield from (
                f"{node.module}.{alias.name}" if node.module in ("lakehouse_assets", "lake") else node.module or ""
                for alias in node.names
            )


def parsed(file: Path) -> ast.Module:
    return ast.parse(file.read_text(), str(file))


TABLE_FILES = sources(*(f"lakehouse_assets/{folder}" for folder in TABLE_FOLDERS))
TABLE_FILES += sorted((TEMPLATES / "project" / "lakehouse_assets").glob("*/[!_]*.py"))


def test_there_is_something_to_look_at() -> None:
    assert len(TABLE_FILES) > 20
    assert {file.parts[-2] for file in TABLE_FILES} >= {"bronze", "silver", "gold", "feeds"}


ROOMS = [
    {"errors"},
    {"engine"},
    {"declare"},
    {"storage"},
    {"write"},
    {"ownership"},
    {"batch", "stream"},
    {"serve"},
    {"project"},
    {"orchestration"},
    {"commands"},
    {"dashboard"},
    {"testing"},
]
"""Each imports what stands before it, and itself."""

OF_DAGSTER = ("dagster", "apprise")
"""The packages of the extra `dagster`, which one room imports."""


def below(room: str) -> set[str]:
    """The rooms that one may import."""
    place = next(number for number, rooms in enumerate(ROOMS) if room in rooms)
    return {room}.union(*ROOMS[:place])


def test_each_part_of_the_framework_has_its_place() -> None:
    rooms = {path.stem for path in (ROOT / "lake").iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert rooms == set().union(*ROOMS) | {"__init__"}


@pytest.mark.parametrize("file", sources("lake"), ids=lambda file: f"{file.parts[-2]}.{file.stem}")
def test_a_room_of_the_framework_imports_those_below_it_and_no_project(file: Path) -> None:
    room = Path(file.relative_to(ROOT / "lake").parts[0]).stem
    for name in imports(parsed(file)):
        assert name.split(".")[0] not in PACKAGES[1:], name
        assert room == "orchestration" or not name.split(".")[0].startswith(OF_DAGSTER), name
        assert not name.startswith("lake.") or name.split(".")[1] in below(room), name


@pytest.mark.parametrize("file", sources("lake"), ids=lambda file: f"{file.parts[-2]}.{file.stem}")
def test_the_room_of_dagster_is_imported_only_where_it_is_needed(file: Path) -> None:
    """Dagster is an extra of the distribution, and without it this room cannot be imported."""
    if file.is_relative_to(ROOT / "lake" / "orchestration"):
        return
    at_import = [node for node in parsed(file).body if isinstance(node, ast.Import | ast.ImportFrom)]
    names = {name for node in at_import for name in imports(ast.Module([node], []))}

    assert not {name for name in names if name.startswith("lake.orchestration")}


AIRLINE = re.compile("flight|airport|airline|carrier|2013|nycflights", re.IGNORECASE)


def test_the_framework_says_no_word_of_its_example() -> None:
    files = [file for file in (ROOT / "lake").rglob("*") if file.is_file() and "__pycache__" not in file.parts]
    said = [
        f"{file.relative_to(ROOT)}:{number}: {line}"
        for file in files
        for number, line in enumerate(file.read_text().splitlines(), start=1)
        if AIRLINE.search(line)
    ]

    assert len(files) > 50
    assert said == []


@pytest.mark.parametrize("file", TABLE_FILES, ids=lambda file: f"{file.parts[-2]}.{file.stem}")
def test_a_table_file_imports_only_what_is_pure(file: Path) -> None:
    for name in imports(parsed(file)):
        if not name.startswith("lakehouse_assets."):
            assert name in PURE or name.split(".")[0] in PURE, f"{name} in {file}"


@pytest.mark.parametrize("file", TABLE_FILES, ids=lambda file: f"{file.parts[-2]}.{file.stem}")
def test_a_table_file_imports_its_own_layer_or_an_earlier_one(file: Path) -> None:
    order = ["feeds", *LAYERS]
    allowed = order[: order.index(file.parts[-2]) + 1]
    for name in imports(parsed(file)):
        if name.startswith("lakehouse_assets.") and name != "lakehouse_assets.airports_supplement":
            assert name.split(".")[1] in allowed, f"{name} in {file}"


@pytest.mark.parametrize("file", TABLE_FILES, ids=lambda file: f"{file.parts[-2]}.{file.stem}")
def test_a_table_file_names_no_session_no_clock_no_chance_and_nothing_that_runs_a_job(file: Path) -> None:
    forbidden = IMPURE_NAMES | RUNS_A_JOB | TELLS_THE_TIME | COMES_IN_NO_ORDER
    for node in ast.walk(parsed(file)):
        called = node.func if isinstance(node, ast.Call) else None
        name = called.attr if isinstance(called, ast.Attribute) else called.id if isinstance(called, ast.Name) else None
        assert name not in forbidden, f"{name} at {file}:{getattr(node, 'lineno', 0)}"


@pytest.mark.parametrize("file", sources("resources", "sensors"), ids=lambda file: file.stem)
def test_resources_and_sensors_know_the_core_but_no_table(file: Path) -> None:
    for name in imports(parsed(file)):
        assert name.split(".")[:2] not in [["lakehouse_assets", layer] for layer in TABLE_FOLDERS], name


def test_no_table_and_no_resource_imports_the_definitions() -> None:
    importing = {
        file.relative_to(ROOT).as_posix()
        for file in sources(*PACKAGES)
        if any(name.startswith("lakehouse_assets.definitions") for name in imports(parsed(file)))
    }

    assert importing == set()


def test_the_command_line_starts_fast_because_it_imports_no_engine_at_first() -> None:
    for name in ("cli", "options", "extras"):
        body = parsed(ROOT / "lake" / "commands" / f"{name}.py").body
        top_level = [node for node in body if isinstance(node, ast.Import | ast.ImportFrom)]
        names = {name for node in top_level for name in imports(ast.Module([node], []))}

        assert not {name for name in names if name.split(".")[0] in ("dagster", "pyspark", "pandera")}


MAY_WRITE = {
    "lake/write/committer.py",  # every table, under its lock
    "lake/write/store_tables.py",  # makes tables that are not there
    "lake/write/own_rows.py",  # the lake's own small tables
    "lake/ownership/frontier.py",  # its own small table, under its own lock
    "lake/ownership/shared_lease.py",  # its own row, which is what keeps drivers apart
    "lake/stream/query.py",  # starts queries, whose micro-batches go through the store
    "lake/stream/micro_batch.py",
    "lake/engine/class_archive.py",  # tables in a temporary folder, to have Spark's classes loaded
}
OF_A_LOCAL_JVM = {"class_archive.py", "lakes.py", "plan_json.py"}  # two count jobs, or read a plan, if they can
OF_A_CLASSIC_SESSION = "maintain.py"
"""What no stream and no refresh needs, and which Connect users run where the tables are."""


def test_only_the_committer_writes_tables_and_only_the_session_module_builds_sessions() -> None:
    """One module holds the lock around every write, and one knows every setting of Spark."""
    writers = {"create_write_transaction", "write_deltalake", "writeStream", "DeltaTable.create"}
    for file in sources(*PACKAGES):
        text, name = file.read_text(), file.relative_to(ROOT).as_posix()
        if name != "lake/engine/session.py":
            assert "SparkSession.builder" not in text, name
        if name not in MAY_WRITE:
            assert not {writer for writer in writers if writer in text}, name


def test_the_core_uses_only_what_spark_connect_has_too() -> None:
    """No SparkContext, no RDD, no door into the JVM; MERGE as SQL, since `delta.tables` needs a JVM on the client."""
    for file in sources("lake"):
        for node in ast.walk(parsed(file)):
            if isinstance(node, ast.Attribute) and file.name not in OF_A_LOCAL_JVM:
                assert node.attr not in ("sparkContext", "rdd", "_jvm", "_jsc", "_jdf"), f"{file}:{node.lineno}"
        found = [name for name in imports(parsed(file)) if name.startswith("delta.")]
        assert not found or file.name == OF_A_CLASSIC_SESSION, file


def test_an_import_that_breaks_the_rules_would_be_seen() -> None:
    """The control: the functions above do find what they look for."""
    broken = ast.parse("import os\nfrom dagster import asset\ndef f(x):\n    from lakehouse_assets.gold import y\n")

    assert list(imports(broken)) == ["os", "dagster", "lakehouse_assets.gold"]


def test_tests_of_the_framework_import_nothing_of_the_example() -> None:
    """They pass where the example is removed, and so do the helpers that they import."""
    of_the_example = ("airline", "lakehouse_assets", "resources", "sensors")
    refused = (*of_the_example, *(f"tests.{name}" for name in of_the_example), "tests.definitions")
    looked_at: set[Path] = set()
    files = list((ROOT / "tests" / "lake").rglob("*.py"))
    while files:
        file = files.pop()
        looked_at.add(file)
        names = list(imports(parsed(file)))
        found = [one for one in names if one in refused or one.startswith(tuple(f"{r}." for r in refused))]
        assert not found, file
        helpers = {ROOT.joinpath(*name.split(".")).with_suffix(".py") for name in names if name.startswith("tests.")}
        files += [helper for helper in helpers - looked_at if helper.is_file()]
    assert ROOT / "tests" / "tiny.py" in looked_at


MOST_LINES_OF_A_CLASS = 200


def test_no_class_of_the_framework_is_long() -> None:
    """Small functions alone would move the size into classes."""
    lengths = {
        node.name: (node.end_lineno or node.lineno) - node.lineno + 1
        for file in sources("lake")
        for node in ast.walk(parsed(file))
        if isinstance(node, ast.ClassDef)
    }

    assert len(lengths) > 200
    assert {name for name, lines in lengths.items() if lines > MOST_LINES_OF_A_CLASS} == set()


def test_compute_of_pyarrow_is_imported_in_the_way_that_may_come_later() -> None:
    """A look lets it come once it is used; `import pyarrow.compute` would be a use."""
    texts = [file.read_text() for file in sources("lake")]

    assert sum("from pyarrow import compute as pc" in text for text in texts) > 5, "a control"
    assert not any(re.search(r"^ *import pyarrow\.compute", text, re.MULTILINE) for text in texts)
