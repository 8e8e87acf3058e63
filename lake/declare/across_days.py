"""Refuse transforms whose plan shows days that see each other.

They are refused before anything is written. A refresh of a range computes all its days in one go. A transform that lets
rows of one day see those of another, by a window or a group that spans days, gives other rows in a range than day by
day, and in a longer range yet others. Not all of that can be seen in a plan; `lake.batch.day_alone` looks at the rows.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import pyspark.sql.functions as F
from pyspark.sql import DataFrame, SparkSession

from lake.declare.feed import Feed
from lake.declare.plan_text import analyzed_plan
from lake.declare.table import INSTEAD_OF_YESTERDAY, Table, is_followable
from lake.errors import DeclarationError

__all__ = ["reads_files_apart", "reads_rows_apart", "refuse_across_days"]

_LINE = re.compile(r"^([\s:+-]*)([A-Z]\w*)")
_ATTRIBUTE = re.compile(r"(\w+)#(\d+)")
_DEFINED = re.compile(r" AS (\w+#\d+)")
_ORDER = re.compile(r"#\d+L? (ASC|DESC)")
_OF_A_DAY = re.compile(r"date|timestamp|window", re.IGNORECASE)
_ROW_BY_ROW = {"Project", "Filter", "Generate", "SubqueryAlias", "Range"}
"""Nodes of a plan by which a row depends on no other."""
_PART_OF_A_DATE = re.compile(r"(month|year|quarter|weekofyear|dayof\w+|weekday|trunc|hour|minute)\(", re.IGNORECASE)


@cache
def refuse_across_days(table: Table, spark: SparkSession) -> None:
    """Raise where the transform lets rows of days see each other.

    Analyzes the transform on empty frames and runs no job. The answer is kept for the process, because it takes some
    tens of milliseconds and follows from the declaration alone.

    Raises:
        DeclarationError: a limit, or a group or window that holds rows of several days.
    """
    if table.day is None and not is_followable(table):
        return
    frames = [_empty(spark, read.source, has_days=_has_days(read.source)) for read in table.reads]
    rows = table(*frames)
    plan = _Plan.of(rows)
    if table.day is None:
        _refuse_what_no_stream_sees(table, plan, rows.columns)
        return
    for node, problem in plan.problems(table):
        where = inspect.getfile(table.transform)
        is_running = node.name == "Window" and not _is_near(node.text)
        around = (
            f"group or partition by {table.day} too, or by a column that follows from it; "
            "where a day needs rows around it, repeat each row in the days that see it (F.explode) and group by those"
        )
        remedy = f"{INSTEAD_OF_YESTERDAY}; or {around}" if is_running else around
        raise DeclarationError(where, f"{table.name}: {problem}: a range would give other rows than its days", remedy)


@cache
def reads_files_apart(table: Table, spark: SparkSession) -> bool:
    """Tell whether the rows of a landed file depend on no other file.

    Their key included. It is so where the plan takes row by row, and the key holds name and landing day of the file as
    the feed gives them.
    """
    plan = _plan_of_rows(table, spark)
    if plan is None:
        return False
    projected = [_lists(node.text)[0] for node in plan.nodes if node.name == "Project"]
    last, first = set(projected[0].split(", ")), _attributes(projected[-1])
    given = {one.partition("#")[0]: one for one in first}
    return all(name in table.key and given.get(name) in last for name in ("file", "landed_on"))


def reads_rows_apart(table: Table, spark: SparkSession) -> bool:
    """Tell whether each row depends on rows of its own key alone."""
    return _plan_of_rows(table, spark) is not None


def _plan_of_rows(table: Table, spark: SparkSession) -> _Plan | None:
    """Return the plan of a table that takes row by row.

    None of any other, and of one without landing days.
    """
    plan = _Plan.of(table(*(_empty(spark, read.source, has_days=True) for read in table.reads)))
    return plan if {node.name for node in plan.nodes} <= _ROW_BY_ROW and table.day == "landed_on" else None


def _refuse_what_no_stream_sees(table: Table, plan: _Plan, columns: Sequence[str]) -> None:
    """Raise where a stream would give other rows than batch.

    It is about a table without days. Batch reads its inputs whole.
    """
    where = inspect.getfile(table.transform)
    for _, problem in plan.problems(table):
        told = f"{table.name}: {problem}, of which a stream sees those that are new"
        raise DeclarationError(where, told, "let each row stand alone, or use write=Replace(), which is for batch only")
    changing = [one for one in table.inputs if not one.write.keeps_everything and is_followable(one)]
    if changing and "_event_date" not in columns:
        told = (
            f"{table.name}: does not say of which day of {changing[0].full_name} a row is, and batch may change a day"
        )
        raise DeclarationError(where, told, f'select F.col("{changing[0].day}").alias("_event_date") too')


def _has_days(source: Table | Feed) -> bool:
    return isinstance(source, Feed) or source.day is not None


def _empty(spark: SparkSession, source: Table | Feed, *, has_days: bool) -> DataFrame:
    """Return an empty frame with the columns of an input.

    In the plan, an input with days is a `Range`, any other a `LocalRelation`.
    """
    if not has_days:
        return spark.createDataFrame([], source.schema)
    return spark.range(0).select(*(F.lit(None).cast(one.dataType).alias(one.name) for one in source.schema.fields))


@dataclass(frozen=True)
class _Node:
    """One line of a plan: its depth, its operator and its text."""

    depth: int
    name: str
    text: str


@dataclass(frozen=True)
class _Plan:
    """An analyzed plan, as Spark prints it."""

    nodes: Sequence[_Node]
    definitions: Mapping[str, str]

    @classmethod
    def of(cls, rows: DataFrame) -> _Plan:
        text = analyzed_plan(rows)
        found = [(match, line) for line in text.splitlines() if (match := _LINE.match(line))]
        nodes = [_Node(len(match[1]), match[2], line[len(match[1]) :]) for match, line in found]
        return cls(nodes, dict(_definitions(text)))

    def problems(self, table: Table) -> Iterator[tuple[_Node, str]]:
        """Find what lets rows of one day see those of another."""
        for place, node in enumerate(self.nodes):
            if self._reads_days(place) and (problem := self._problem(node, table)):
                yield node, problem

    def _reads_days(self, place: int) -> bool:
        """Tell whether rows of an input with days come to a node."""
        for below in self.nodes[place + 1 :]:
            if below.depth <= self.nodes[place].depth:
                return False
            if below.name == "Range":
                return True
        return False

    def _problem(self, node: _Node, table: Table) -> str | None:
        if node.name in ("GlobalLimit", "Offset", "Tail"):
            return "takes the first rows only (limit)"
        if node.name not in ("Aggregate", "Deduplicate", "Window"):
            return None
        by = _grouping(node)
        names = [name for name, _ in _ATTRIBUTE.findall(by)]
        what = {"Window": "has a window", "Aggregate": "groups rows", "Deduplicate": "keeps one row"}[node.name]
        if table.day is None:
            return f"{what} over rows of several days"
        if {table.day, table.day_of} & set(names) or any(self._is_of_a_day(one, set()) for one in _attributes(by)):
            return None
        if node.name == "Window" and _is_near(node.text) and any(read.is_widened for read in table.reads):
            return None  # the window looks a few rows back, so the days around may well be enough
        return f"{what} {'by ' + ', '.join(names) if names else 'over all rows'}, whatever the day"

    def _is_of_a_day(self, attribute: str, seen: set[str]) -> bool:
        """Tell whether an attribute follows from a date or a time.

        It may also be one itself. Where the plan does not say, it is taken for one.
        """
        text = self.definitions.get(attribute)
        if text is None or attribute in seen:
            return True
        if _PART_OF_A_DATE.match(text):
            return False
        if _OF_A_DAY.search(_ATTRIBUTE.sub("", text)):
            return True
        return any(self._is_of_a_day(one, {*seen, attribute}) for one in _attributes(text))


def _attributes(text: str) -> list[str]:
    return [f"{name}#{number}" for name, number in _ATTRIBUTE.findall(text)]


def _is_near(window: str) -> bool:
    return "unboundedpreceding" not in window and "unboundedfollowing" not in window


def _definitions(plan: str) -> Iterator[tuple[str, str]]:
    """Find the text from which each attribute of a plan is computed.

    It is the text before ` AS name#id`, back to the comma before it.
    """
    for line in plan.splitlines():
        for definition in _DEFINED.finditer(line):
            yield definition[1], line[_start(line, definition.start()) : definition.start()]
        if "Generate " in line:
            yield from ((one, line) for one in _attributes(line.rpartition("[")[2]))


def _start(line: str, end: int) -> int:
    """Return where the expression that ends here begins."""
    depth = 0
    for place in range(end - 1, -1, -1):
        depth += (line[place] in ")]") - (line[place] in "([")
        if depth < 0 or (depth == 0 and line[place] == ","):
            return place + 1 + (line[place + 1] == " ")
    return 0


def _grouping(node: _Node) -> str:
    """Return the list by which a node groups rows.

    Spark prints no list that is empty, neither of groups nor of a window's order.
    """
    lists = _lists(node.text)
    if node.name == "Window":
        return "" if len(lists) < 2 or _ORDER.search(lists[1]) else lists[1]
    return "" if node.name == "Aggregate" and len(lists) < 2 else lists[0]


def _lists(text: str) -> list[str]:
    """Return the contents of a text's outermost square brackets.

    The text is that of a node.
    """
    depth, begun, found = 0, 0, []
    for place, letter in enumerate(text):
        depth += (letter in "[(") - (letter in "])")
        if letter == "[" and depth == 1:
            begun = place + 1
        elif letter == "]" and depth == 0:
            found.append(text[begun:place])
    return found
