"""Say what a column tells of a person.

Terms are those of ISO/IEC 20889: a `direct` identifier names a person by itself (e-mail address, passport number), a
`quasi` identifier together with others (date of birth, postcode), a `sensitive` one is what nobody else is to know of
a person (diagnosis, salary). `none` says that a column which is called like one of them tells nothing of a person.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Literal, get_args

if TYPE_CHECKING:
    from lake.declare.contract import CompiledContract

__all__ = ["Pii", "passed_on_without", "refuse_stated"]

Pii = Literal["direct", "quasi", "sensitive", "none"]

Problem = tuple[str, str]


def refuse_stated(pii: object) -> Iterator[Problem]:
    """Refuse what is no class."""
    if pii is not None and pii not in get_args(Pii):
        yield f"it states pii={pii!r}", f"write one of {', '.join(get_args(Pii))}"


def passed_on_without(
    contract: CompiledContract, fixed: Iterable[str], inputs: Iterable[tuple[str, CompiledContract]]
) -> Iterator[Problem]:
    """Find personal columns of inputs that are passed on without a class.

    A column counts as passed on where it has the same name.

    Args:
        contract: of the table.
        fixed: columns that partition the table, which name folders and so cannot be hidden.
        inputs: name and contract of the tables that it reads.
    """
    for name in fixed:
        column = contract.column(name)
        if column is not None and column.is_personal:
            yield f"its day {name} has the class {column.pii}", "name another day; folders are called by it"
    known = list(inputs)
    for column in contract.stored:
        said = [(source, one) for source, other in known for one in other.personal if one.name == column.name]
        if column.pii is None and said:
            source, one = said[0]
            remedy = f'state metadata={{"pii": "{one.pii}"}} in its Field, or "none" where it tells nothing of a person'
            yield f"column {column.name} is {one.pii} in {source}, and has no class here", remedy
