"""Exit codes: one table for the help, the page and the examples, and errors that keep to it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import lake.commands.brokers  # noqa: F401 - its errors are counted too
from lake.commands.cli import _exit_code, commands
from lake.commands.exit_codes import EXIT_CODES
from lake.errors import LakeError

DOCS = Path(__file__).parents[3] / "docs"
NEVER = {one.code for one in EXIT_CODES if one.retry == "never helps"}


def kinds(kind: type[LakeError] = LakeError) -> Iterator[type[LakeError]]:
    for one in kind.__subclasses__():
        yield one
        yield from kinds(one)


def test_the_page_shows_the_table() -> None:
    shown = re.findall(r"^\| (\d+) \| (.*) \| (.*) \|$", (DOCS / "schedulers.md").read_text(), flags=re.MULTILINE)

    assert shown == [(str(one.code), one.means, one.retry) for one in EXIT_CODES]
    assert all(f"{one.code} {one.short}" in str(commands.info.epilog) for one in EXIT_CODES)


@pytest.mark.parametrize("kind", sorted(set(kinds()), key=str))
def test_only_what_the_same_call_may_mend_ends_with_try_again(kind: type[LakeError]) -> None:
    code = _exit_code(kind.__new__(kind))  # it looks at the kind alone

    assert (code == 75) == kind.retryable
    assert code in {1, 2, 3, 75}
    assert not (code in NEVER and kind.retryable)


def test_the_examples_give_up_at_once_on_what_no_retry_mends() -> None:
    assert {2, 3} == NEVER
    airflow = ast.parse((DOCS / "examples" / "airflow_dag.py").read_text())
    (named,) = (one for one in airflow.body if isinstance(one, ast.Assign) and "NO_RETRY_MENDS" in ast.unparse(one))
    assert ast.literal_eval(named.value) == NEVER
    (prevented,) = re.findall(r"RestartPreventExitStatus=(.*)", (DOCS / "examples" / "lakehouse.service").read_text())
    assert set(map(int, prevented.split())) == NEVER
