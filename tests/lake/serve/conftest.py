"""What tests of several destinations use."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from lake.serve.target import Place
from tests.postgres import running_postgres


@pytest.fixture(scope="module")
def dsn() -> Iterator[str]:
    """The address of a Postgres of the module's own."""
    with running_postgres() as address:
        yield address


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """The home of destinations that need no secret."""
    return Place(tmp_path / "home", {}, lock_timeout_seconds=5)
