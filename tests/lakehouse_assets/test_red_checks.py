"""The newest verdicts of checks, beside Dagster's log."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import dagster as dg
import pytest

from lake.orchestration.red_checks import RedChecks
from lake.orchestration.standing import as_errors

A, B = "silver.a contract", "silver.b row_count"


def nobody(names: list[str]) -> Mapping[str, str]:
    raise AssertionError(f"asked for {names}")


def test_the_newest_verdict_of_each_check_counts(tmp_path: Path) -> None:
    checks = RedChecks(tmp_path / "new home")
    checks.note({A: "3 rows", B: ""})
    assert checks.errors([A, B], nobody) == {A: "3 rows"}
    assert checks.errors([B], nobody) == {}
    checks.note({A: "", B: "1 row"})
    assert checks.errors([A, B], nobody) == {B: "1 row"}


def test_who_asks_for_a_check_that_nobody_noted_finds_it_noted_the_next_time(tmp_path: Path) -> None:
    checks = RedChecks(tmp_path)
    checks.note({A: "3 rows"})
    asked: list[list[str]] = []

    def ask(names: list[str]) -> Mapping[str, str]:
        asked.append(names)
        return {B: "1 row"}

    assert checks.errors([B, "gold.c contract", A], ask) == {A: "3 rows", B: "1 row"}
    assert asked == [["gold.c contract", B]]
    assert checks.errors([B, "gold.c contract", A], nobody) == {A: "3 rows", B: "1 row"}


@pytest.mark.parametrize("content", ["{torn", "[]", ""])
def test_a_file_that_says_nothing_is_made_anew(tmp_path: Path, content: str) -> None:
    (tmp_path / "checks.json").write_text(content)
    checks = RedChecks(tmp_path)
    assert checks.errors([A], lambda names: dict.fromkeys(names, "3 rows")) == {A: "3 rows"}
    assert checks.errors([A], nobody) == {A: "3 rows"}


def test_of_many_who_note_at_once_none_is_lost(tmp_path: Path) -> None:
    names = [f"silver.t{number} contract" for number in range(20)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda name: RedChecks(tmp_path).note({name: "1 row"}), names))
    assert RedChecks(tmp_path).errors(names, nobody) == dict.fromkeys(names, "1 row")


def test_only_errors_that_last_are_noted_as_such() -> None:
    def result(name: str, *, passed: bool, severity: str) -> dg.AssetCheckResult:
        return dg.AssetCheckResult(
            asset_key=dg.AssetKey(["silver", "a"]), check_name=name, passed=passed, description="3 rows",
            severity=dg.AssetCheckSeverity[severity],
        )  # fmt: skip

    found = [
        result("contract", passed=False, severity="ERROR"),
        result("row_count", passed=False, severity="WARN"),
        result("key_unique", passed=True, severity="ERROR"),
        result("fresh", passed=False, severity="ERROR"),
    ]
    assert as_errors(found) == {A: "3 rows", "silver.a row_count": "", "silver.a key_unique": ""}
