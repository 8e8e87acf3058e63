"""The declaration of a sink: which table is loaded, where to, and how.

    hourly_board = sink(reads=hourly_performance, to=DuckDb("warehouse.duckdb"), how=ByDay())

It lies in `serving/<name>.py` of the project, and is found like a table.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from types import ModuleType
from typing import Literal, get_args

import pyspark.sql.types as T

from lake.declare.contract import ContractColumn
from lake.declare.destinations import ByDay, Destination, How, secret_problems
from lake.declare.names import is_name
from lake.declare.table import OnBroken, Table, modules_of
from lake.errors import DeclarationError

__all__ = ["OnPii", "Sink", "discover_sinks", "sink"]

OnPii = Literal["drop", "hash", "keep"]
"""What becomes of columns about persons: left out, hashed, or loaded as they are."""

_LAYER = "serving"
_CLASS = re.compile(r"[\w.]+:\w+")


@dataclass(frozen=True, eq=False)
class Sink:
    """A declared sink.

    Attributes:
        name: as its file; the table, folder or topic at the destination is called so too.
        reads: the table that is loaded.
        to: where to.
        how: by day, whole, or each new row.
        settled_only: whether days wait until batch has computed them from everything that landed. Else days that
            streams own are loaded too, and are early.
        pii: what becomes of columns about persons. Those of the key are hashed where others are left out, because rows
            would be mixed up without them.
        pii_key_from: name of the environment variable with the secret of the hashes.
        description: the docstring of its file.
        module: that declares it.
    """

    name: str
    reads: Table
    to: Destination
    how: How
    settled_only: bool = True
    pii: OnPii = "drop"
    pii_key_from: str | None = None
    description: str = ""
    module: str = ""

    def __repr__(self) -> str:
        return f"<Sink {self.full_name}>"

    @property
    def full_name(self) -> str:
        """`serving.name`."""
        return f"{_LAYER}.{self.name}"

    @property
    def is_by_day(self) -> bool:
        """Tell whether a change replaces its days alone."""
        return isinstance(self.how, ByDay)

    @cached_property
    def hashed(self) -> frozenset[str]:
        """The columns that are hashed."""
        personal = {column.name for column in self.reads.contract.personal}
        return frozenset({"keep": set[str](), "hash": personal, "drop": personal & set(self.reads.key)}[self.pii])

    @cached_property
    def left_out(self) -> frozenset[str]:
        """The columns that are not loaded."""
        personal = {column.name for column in self.reads.contract.personal}
        return frozenset(personal - self.hashed if self.pii == "drop" else ())

    @cached_property
    def shown(self) -> Table:
        """Give the table as the destination has it."""
        contract = self.reads.contract
        columns = tuple(self._shown(column) for column in contract.stored if column.name not in self.left_out)
        names = {column.name for column in columns} - self.hashed
        rules = tuple(rule for rule in contract.rules if rule.column in names)
        return replace(self.reads, contract=replace(contract, columns=columns, rules=rules, stated=()))

    def _shown(self, column: ContractColumn) -> ContractColumn:
        if column.name not in self.hashed:
            return column
        description = f"HMAC-SHA256, in hexadecimal digits, of: {column.description}"
        return replace(column, dtype=T.StringType(), description=description)


def sink(
    *,
    reads: Table,
    to: Destination,
    how: How | None = None,
    settled_only: bool = True,
    pii: OnPii = "drop",
    pii_key_from: str | None = None,
    name: str | None = None,
) -> Sink:
    """Declare a sink.

    See `Sink` for the facts.

    Args:
        reads: the table.
        to: the destination.
        how: the first that the destination does; by day, or whole for a table without days, where it does that.
        settled_only: leave days alone that are early.
        pii: what becomes of columns about persons.
        pii_key_from: the variable with the secret of hashes.
        name: that of the file by default; a file of several sinks names each.

    Raises:
        DeclarationError: the declaration contradicts itself; the message names the file and the remedy.
    """
    caller = sys._getframe(1)
    module = str(caller.f_globals.get("__name__", ""))
    described = str(caller.f_globals.get("__doc__") or "").strip()
    called = name or module.rpartition(".")[2]
    for problem, remedy in _strange(reads, to):
        raise DeclarationError(caller.f_code.co_filename, f"{called}: {problem}", remedy)
    ways = [way for way in to.ways if reads.day is not None or way is not ByDay]
    chosen = how or (ways or to.ways)[0]()
    declared = Sink(called, reads, to, chosen, settled_only, pii, pii_key_from, described, module)
    for problem, remedy in _problems(declared):
        raise DeclarationError(caller.f_code.co_filename, f"{called}: {problem}", remedy)
    return declared


Problem = tuple[str, str]


def _strange(reads: object, to: object) -> Iterator[Problem]:
    if not isinstance(reads, Table):
        yield f"reads {reads!r}, which is no table", "import the table and name it"
    if not isinstance(to, Destination):
        yield f"is loaded to {to!r}, which is no destination", 'name one, as to=DuckDb("warehouse.duckdb")'


def _problems(declared: Sink) -> Iterator[Problem]:
    if not is_name(declared.name):
        yield "is not the name of a sink", "use lower case letters, digits and underscores, at most 63 characters"
    yield from declared.to.problems()
    ways, opened_by = declared.to.ways, declared.to.opened_by
    if not _CLASS.fullmatch(opened_by):
        told = f"is loaded to {type(declared.to).__name__}, which is opened by {opened_by!r}"
        yield told, 'name its target there: opened_by: ClassVar[str] = "module:Class"'
    if not isinstance(declared.how, ways):
        known = ", ".join(f"{way.__name__}()" for way in ways)
        yield f"is loaded how={declared.how!r}, which {type(declared.to).__name__} does not do", f"write one of {known}"
    if declared.is_by_day and declared.reads.day is None:
        yield f"is loaded by day, and {declared.reads.full_name} has no days", "write how=Whole()"
    yield from _pii_problems(declared)


def _pii_problems(declared: Sink) -> Iterator[Problem]:
    if declared.pii not in get_args(OnPii):
        yield f"states pii={declared.pii!r}", f"write one of {', '.join(get_args(OnPii))}"
        return
    hidden = ", ".join(sorted(declared.hashed | declared.left_out))
    if declared.to.shares_files and hidden:
        remedy = 'write pii="keep" if its readers may see them, or load it to another destination'
        yield f"shows the files of {declared.reads.full_name} themselves, which hold {hidden}", remedy
    elif declared.hashed and declared.pii_key_from is None:
        remedy = 'name the variable that holds the secret: pii_key_from="PII_KEY"'
        yield f"hashes {', '.join(sorted(declared.hashed))} without a secret", remedy
    if declared.pii_key_from is not None:
        yield from secret_problems("pii_key_from", declared.pii_key_from)


def discover_sinks(package: ModuleType, on_broken: OnBroken | None = None) -> dict[str, Sink]:
    """Import the modules of `serving` and return their sinks, by full name.

    `serving` is a package under `package`, and a full name is `serving.name`.

    Args:
        package: of the project.
        on_broken: told of each module that cannot be imported, or whose sink has the name of another sink or table,
            and which is then left out; None: the first one raises.
    """
    found: dict[str, Sink] = {}
    for module in modules_of(package, on_broken, layers=[_LAYER]):
        things = vars(module).values()
        tables = {thing.full_name for thing in things if isinstance(thing, Table)}
        for one in _own(things, module):
            if one.full_name in {*found, *tables}:
                problem = f"{one.name}: another sink or table has this name"
                error = DeclarationError(str(module.__file__), problem, 'name each: sink(name="...", ...)')
                if on_broken is None:
                    raise error
                on_broken(module.__name__, error)
            else:
                found[one.full_name] = one
    return dict(sorted(found.items()))


def _own(things: Iterable[object], module: ModuleType) -> Iterator[Sink]:
    """Find the sinks that a module declares, each once."""
    sinks = dict.fromkeys(thing for thing in things if isinstance(thing, Sink))
    return (one for one in sinks if one.module == module.__name__)
