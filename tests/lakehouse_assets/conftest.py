"""The command line, run in this process."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from lake.commands.cli import app


@dataclass(frozen=True)
class Done:
    """What a command ended with."""

    returncode: int
    stdout: str
    stderr: str


Lakehouse = Callable[..., Done]


@pytest.fixture(name="lakehouse")
def _lakehouse(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Lakehouse]:
    """Runs `lakehouse ...` in this process, as its entry point does."""
    before = signal.getsignal(signal.SIGTERM)

    def run(home: Path, *arguments: str) -> Done:
        monkeypatch.setenv("LAKEHOUSE_HOME", str(home))
        monkeypatch.setattr(sys, "argv", ["lakehouse", *arguments])
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            app()
        code = end.value.code if isinstance(end.value.code, int) else 0
        return Done(code, *capsys.readouterr())

    yield run
    signal.signal(signal.SIGTERM, before)
