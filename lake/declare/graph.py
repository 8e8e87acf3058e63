"""Walk the graph of tables: what reads what, directly or through others."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from lake.declare.feed import Feed, TopicFeed
from lake.declare.table import Table, can_be_early, is_followable, stream_reads

__all__ = ["early_of", "feeds_of", "readers_of", "streams_of", "topics_of", "upstream_of", "with_upstream"]


def feeds_of(tables: Iterable[Table]) -> set[Feed]:
    """Find the feeds that some tables read themselves."""
    return {feed for table in tables for feed in table.feeds}


def topics_of(table: Table) -> Iterator[tuple[Table, TopicFeed]]:
    """Find the topics that lead to a table, each with its bronze table."""
    for read in stream_reads(table):
        if isinstance(read.source, TopicFeed):
            yield table, read.source
        elif isinstance(read.source, Table):
            yield from topics_of(read.source)


def readers_of(sources: Iterable[Table | Feed], tables: Iterable[Table]) -> set[Table]:
    """Find the tables that read any of the sources, directly or through others.

    Args:
        sources: what is read.
        tables: looked at, upstream first.
    """
    found: set[Table] = set()
    read_from: set[Table | Feed] = set(sources)
    for table in tables:
        if any(read.source in read_from for read in table.reads):
            found.add(table)
            read_from.add(table)
    return found


def with_upstream(tables: Iterable[Table]) -> set[Table]:
    """Add to some tables all that they read, directly or through others."""
    found: set[Table] = set()
    open_ends = list(tables)
    while open_ends:
        table = open_ends.pop()
        if table not in found:
            found.add(table)
            open_ends += table.inputs
    return found


def early_of(tables: Iterable[Table]) -> list[Table]:
    """List the tables among these, and upstream of them, that can be early.

    Each comes before what reads it.
    """
    return [one for one in _in_order(tables) if can_be_early(one)]


def streams_of(tables: Iterable[Table]) -> list[Table]:
    """List the tables among these, and upstream of them, that can be followed.

    Each comes before what reads it.
    """
    return [one for one in _in_order(tables) if is_followable(one)]


def _in_order(tables: Iterable[Table]) -> list[Table]:
    found = dict.fromkeys(one for table in tables for one in [*upstream_of(table), table])
    return [one for one in found if isinstance(one, Table)]


def upstream_of(table: Table) -> list[Table | Feed]:
    """List everything that a table is computed from, each before what reads it."""
    found: dict[Table | Feed, None] = {}
    for read in table.reads:
        above = upstream_of(read.source) if isinstance(read.source, Table) else []
        found |= dict.fromkeys([*above, read.source])
    return list(found)
