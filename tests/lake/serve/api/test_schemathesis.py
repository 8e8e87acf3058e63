"""Let schemathesis ask the API what its own description allows, and what it does not."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest
import schemathesis
from schemathesis.config import GenerationConfig, ProjectConfig, ProjectsConfig, SchemathesisConfig
from schemathesis.engine import events, from_schema
from starlette.testclient import TestClient

from tests.lake.serve.api.readings import D1, D2, client_of, compute, fill, mark_lines, meters, readings, some_readings
from tests.lakes import without_spark

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # schemathesis asks in ways that are to end
    pytest.mark.filterwarnings("ignore:You should not use the 'timeout':Warning"),
]
EXAMPLES = 60
"""For each path, in each of the ways in which schemathesis asks."""


@pytest.fixture
def client(tmp_path: Path) -> TestClient:
    store = without_spark(tmp_path)
    compute(store, readings, [D1], some_readings(D1))
    fill(store, readings, [D2], some_readings(D2))
    compute(store, meters, None, [{"meter": "m", "price": Decimal(1)}])
    return client_of(store, mark_lines, meters, readings, hosts=["testserver"])


def test_schemathesis_finds_nothing(client: TestClient) -> None:
    generation = GenerationConfig(max_examples=EXAMPLES, deterministic=True, no_shrink=True)
    config = SchemathesisConfig(projects=ProjectsConfig(default=ProjectConfig(generation=generation)))
    schema = schemathesis.openapi.from_asgi("/openapi.json", client.app, config=config)

    asked, found = 0, list[str]()
    for event in from_schema(schema).execute():
        if isinstance(event, events.ScenarioFinished):
            for checks in event.recorder.checks.values():
                asked += len(checks)
                failures = [one.failure_info for one in checks if one.failure_info]
                found += [f"{event.label}: {one.failure} {one.code_sample}" for one in failures]
        elif isinstance(event, events.NonFatalError | events.FatalError):
            found.append(str(event))

    assert found == []
    assert asked > 4 * EXAMPLES
