"""Change the code of `lake` in one place after the other and see that a test fails: `make mutants`, docs/mutants.md.

`mutmut` makes the changes and runs the tests without Spark. What makes Spark's expressions is tried again with tests
that need it, all of it in one session, because starting one takes longer than they do.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
SHARE = 0.9
"""So many of a module's changes have to be noticed."""
NOTICED = {1, 3, -24, 24, 152}
"""A test failed, or did not come to an end. Of `mutmut`'s other codes none says that a test noticed the change."""
WITH_SPARK = {
    # The tests left out compare with pandera for other values each time, and take too long for that.
    "contract": ["tests/lake/test_contract.py", "-m", "spark and not slow", "-k", "not pandera and not python"],
    "generation": ["tests/lake/test_generation.py", "-m", "spark"],
    "plan_text": ["tests/lake/test_generation.py", "-m", "spark"],
}
MUTMUT = "from mutmut.__main__ import cli; cli()"  # `python -m mutmut` would import that module twice

Results = dict[str, Any]


def main(modules: list[str]) -> int:
    """Try the changes of some modules, or of all; those that were noticed before are not tried again."""
    (ROOT / "mutants").mkdir(exist_ok=True)
    forget_unnoticed()
    path = os.pathsep.join(filter(None, [str(ROOT / "mutants"), os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, "PYTHONPATH": path}  # for the processes that tests start
    names = [f"lake.*.{module}.*" for module in modules]
    command = [sys.executable, "-c", MUTMUT, "run", "--max-children", "2", *names]
    subprocess.run(command, cwd=ROOT, env=environment, check=True)
    for module in [module for module in WITH_SPARK if not modules or module in modules]:
        command = [sys.executable, "-m", "tests.mutants", "--spark", module]
        subprocess.run(command, cwd=ROOT / "mutants", env=environment, check=True)
    return report(modules)


def forget_unnoticed() -> None:
    """Let be tried again what no test noticed: there may be a test for it now."""
    for file in results():
        found: Results = json.loads(file.read_text())
        codes = found["exit_code_by_key"]
        known = {name: code if code in NOTICED else None for name, code in codes.items()}
        file.write_text(json.dumps({**found, "exit_code_by_key": known}))


def results(modules: Iterable[str] = ()) -> list[Path]:
    """The files of results, of some modules or all."""
    wanted = set(modules)
    found = sorted((ROOT / "mutants" / "lake").rglob("*.py.meta"))
    return [file for file in found if not wanted or file.name.removesuffix(".py.meta") in wanted]


def try_with_spark(module: str) -> None:
    """Try what no other test noticed, here and now; runs in the copy of the project that `mutmut` made."""
    trial = Trial(next(Path("lake").rglob(f"{module}.py.meta")))
    options = ["-q", "--tb=no", "--no-summary", "-p", "no:cacheprovider", "-o", "timeout=120"]
    pytest.main([*options, *WITH_SPARK[module]], plugins=[trial])
    if not trial.has_ended:
        raise RuntimeError(f"{module}: the tests fail without any change too")


class Trial:
    """Runs the collected tests of a session once for each change, until one of them fails."""

    def __init__(self, file: Path) -> None:
        self.file, self.has_ended = file, False

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Try each change, and first none: tests that fail anyway notice nothing."""
        found: Results = json.loads(self.file.read_text())
        codes = found["exit_code_by_key"]
        if is_noticed("", session):
            return True
        for name in [name for name, code in codes.items() if code not in NOTICED]:
            codes[name] = int(is_noticed(name, session))
            self.file.write_text(json.dumps(found))
        self.has_ended = True
        return True


def is_noticed(change: str, session: pytest.Session) -> bool:
    """Run the tests with a change; what belongs to the session (Spark's) stays for the next change."""
    os.environ["MUTANT_UNDER_TEST"] = change
    before = session.testsfailed
    for item in session.items:
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=session)
        if session.testsfailed > before:
            return True
    return False


def report(modules: list[str]) -> int:
    """Print the share of each module and what was not noticed; 1 if a share is too small."""
    small = False
    for file in results(modules):
        codes = json.loads(file.read_text())["exit_code_by_key"]
        noticed = sum(code in NOTICED for code in codes.values())
        small |= noticed < SHARE * len(codes)
        print(f"{file.name.removesuffix('.py.meta'):12} {len(codes):5} changes, {noticed:5} noticed")
        print("".join(f"    {name} ({code})\n" for name, code in codes.items() if code not in NOTICED), end="")
    print("mutmut show NAME says what a change is")
    return int(small)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--spark"]:
        try_with_spark(sys.argv[2])
    else:
        sys.exit(main(sys.argv[1:]))
