"""What tests of several destinations use."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.postgres import running_postgres


@pytest.fixture(scope="module")
def dsn() -> Iterator[str]:
    """The address of a Postgres of the module's own."""
    with running_postgres() as address:
        yield address
