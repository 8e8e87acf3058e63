"""The read API: what it answers beside what pandas reads from the files, and how it refuses."""

from __future__ import annotations

import base64
import math
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyspark.sql.types as T
import pytest
from fastapi.testclient import TestClient

from lake.declare.contract import Field, compile_contract
from lake.ownership.frontier import Frontier, FrontierTable
from lake.serve.api.app import Limits
from lake.write.store import DeltaStore
from tests.lake.serve.api.readings import (
    D1,
    D2,
    D3,
    Readings,
    Row,
    client_of,
    compute,
    files_of,
    fill,
    mark_lines,
    meters,
    readings,
    some_readings,
)
from tests.lakes import without_spark
from tests.served import at_point, deeper, nested

pytestmark = pytest.mark.slow

ROWS = "/tables/gold/readings"
ARROW = "application/vnd.apache.arrow.stream"


@pytest.fixture
def store(tmp_path: Path) -> DeltaStore:
    """Three days: two that batch computed, one that has no receipt."""
    store = without_spark(tmp_path)
    compute(store, readings, [D1, D2], some_readings(D1) + some_readings(D2))
    fill(store, readings, [D3], some_readings(D3))
    compute(store, meters, None, [{"meter": f"m{n}", "price": Decimal(n % 3)} for n in range(20)])
    return store


@pytest.fixture
def client(store: DeltaStore) -> TestClient:
    return client_of(store, mark_lines, meters, readings)


def stored(store: DeltaStore, days: list[date], version: int | None = None) -> list[Row]:
    """What pandas reads of some days from the files, in the order of the key."""
    found: list[Row] = []
    for file, values in files_of(store, readings, version):
        if date.fromisoformat(values["day"]) in days:
            rows: list[Any] = pd.read_parquet(file, dtype_backend="pyarrow").to_dict("records")
            found += [{**row, "day": date.fromisoformat(values["day"])} for row in rows]
    return sorted(found, key=lambda row: (row["day"], row["meter"].encode(), row["limit"], row["read_at"]))


def as_json(value: Any) -> Any:
    """What JSON shows of a value, said once more by hand."""
    if value is None or value is pd.NA or (isinstance(value, float) and not math.isfinite(value)):
        return None
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    if isinstance(value, bytes):
        return base64.urlsafe_b64encode(value).decode()
    if isinstance(value, date | Decimal):
        return str(value)
    if isinstance(value, dict):
        return {name: as_json(one) for name, one in value.items()}
    if isinstance(value, list) and all(isinstance(one, tuple) for one in value) and value:
        return as_json(dict(value))  # so pyarrow gives a map
    return [as_json(one) for one in value] if isinstance(value, list) else value


def expected(rows: list[Row]) -> list[Row]:
    shown = [{name: as_json(row[name]) for name in readings.contract.stored_names} for row in rows]
    return [{**row, "checks": row["checks"] or (None if row["checks"] is None else {})} for row in shown]


def shown(client: TestClient, **asked: Any) -> list[Row]:
    answer = client.get(ROWS, params=asked)
    assert answer.status_code == 200, answer.text
    return list(answer.json()["rows"])


def test_only_settled_days_are_shown_unless_open_ones_are_asked_for(store: DeltaStore, client: TestClient) -> None:
    assert shown(client) == expected(stored(store, [D1, D2]))
    assert shown(client, open="true") == expected(stored(store, [D1, D2, D3]))
    assert shown(client, first_day=D2, last_day=D2) == shown(client, day=D2) == expected(stored(store, [D2]))
    assert shown(client, first_day=D3) == shown(client, first_day=D2, last_day=D1) == []


def test_rows_are_asked_for_by_columns_of_the_key(store: DeltaStore, client: TestClient) -> None:
    of_two = stored(store, [D1, D2])

    assert shown(client, meter="it's") == expected([row for row in of_two if row["meter"] == "it's"])
    assert shown(client, meter="a&b=c;d", limit_=1) == expected(
        [row for row in of_two if (row["meter"], row["limit"]) == ("a&b=c;d", 1)]
    )
    at = datetime(2024, 2, 28, 12, microsecond=3, tzinfo=UTC)
    assert shown(client, read_at=at.isoformat()) == expected([row for row in of_two if row["read_at"] == at])
    assert shown(client, meter="' OR 1=1 --") == []
    assert [row["meter"] for row in client.get("/tables/silver/meters?price=1.00").json()["rows"]] == sorted(
        f"m{n}" for n in range(20) if n % 3 == 1
    )


@pytest.mark.parametrize("accept", ["application/json", ARROW])
@pytest.mark.parametrize("limit", [1, 5, 14, 27, 28])
def test_pages_put_together_are_all_rows_each_once(
    store: DeltaStore, client: TestClient, limit: int, accept: str
) -> None:
    answer = client.get(ROWS, params={"limit": limit}, headers={"accept": accept})
    pages = [answer]
    while link := pages[-1].links.get("next"):
        pages.append(client.get(link["url"], headers={"accept": accept}))

    if accept == ARROW:
        found = pa.concat_tables(pa.ipc.open_stream(page.content).read_all() for page in pages)
        keys = [(row["day"], row["meter"], row["limit"]) for row in found.to_pylist()]
    else:
        rows = [row for page in pages for row in page.json()["rows"]]
        keys = [(date.fromisoformat(row["day"]), row["meter"], row["limit"]) for row in rows]
    assert len(pages) == math.ceil(28 / limit)
    assert keys == [(row["day"], row["meter"], row["limit"]) for row in stored(store, [D1, D2])]


def test_pages_of_a_table_without_days_follow_its_key(client: TestClient) -> None:
    pages = [client.get("/tables/silver/meters?limit=7")]
    while link := pages[-1].links.get("next"):
        pages.append(client.get(link["url"]))

    found = [(row["price"], row["meter"]) for page in pages for row in page.json()["rows"]]
    assert found == sorted((f"{n % 3}.00", f"m{n}") for n in range(20))


def test_arrow_has_the_types_and_comments_of_the_contract(store: DeltaStore, client: TestClient) -> None:
    answer = client.get(ROWS, headers={"accept": f"application/json;q=0.5, {ARROW}"})

    found = pa.ipc.open_stream(answer.content).read_all()
    assert answer.headers["content-type"] == ARROW
    assert found.schema.equals(readings.contract.arrow_schema, check_metadata=True)
    assert [as_json(row) for row in found.to_pylist()] == [as_json(row) for row in stored(store, [D1, D2])]


def test_all_pages_are_of_the_version_of_the_first(store: DeltaStore, client: TestClient) -> None:
    before = stored(store, [D1, D2])
    first = client.get(ROWS, params={"limit": 10})
    compute(store, readings, [D1, D2], some_readings(D1, 3))

    rest = client.get(ROWS, params={"limit": 100, "after": first.json()["next"]})

    assert rest.json()["version"] == first.json()["version"]
    assert first.json()["rows"] + rest.json()["rows"] == expected(before)
    assert len(shown(client)) == 3


def test_a_table_is_read_as_of_a_version(store: DeltaStore, client: TestClient) -> None:
    before, then = stored(store, [D1, D2]), client.get(ROWS).json()["version"]
    now = compute(store, readings, [D2, D3], some_readings(D3, 5))

    assert shown(client, version=then) == expected(before)
    assert shown(client, version=then, first_day=D3) == []
    assert shown(client, version=then, open="true", day=D3) == expected(stored(store, [D3], then))
    assert shown(client) == shown(client, version=now) == expected(stored(store, [D1, D3]))
    assert client.get(ROWS, params={"version": now + 1}).status_code == 404


def test_days_that_a_stream_owns_or_has_written_since_are_open(store: DeltaStore, client: TestClient) -> None:
    streamed = Frontier(D1, D2, claimed=frozenset([readings.full_name]), generations={readings.full_name: 1})
    FrontierTable(store).change(lambda _: streamed, "test")
    assert shown(client) == expected(stored(store, [D1]))

    FrontierTable(store).change(lambda _: replace(streamed, claimed=frozenset()), "test")
    fill(store, readings, [D2], some_readings(D2, 2))  # without a receipt
    assert shown(client) == expected(stored(store, [D1]))
    compute(store, readings, [D2], some_readings(D2, 2))
    assert shown(client) == expected(stored(store, [D1, D2]))


def test_an_answer_that_the_caller_has_is_not_sent_again(store: DeltaStore, client: TestClient) -> None:
    first = client.get(ROWS, params={"day": str(D1)})
    tag = first.headers["etag"]

    again = client.get(ROWS, params={"day": str(D1)}, headers={"if-none-match": f'"x", W/{tag}'})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
    as_arrow = client.get(ROWS, params={"day": str(D1)}, headers={"if-none-match": tag, "accept": ARROW})
    assert as_arrow.status_code == 200
    compute(store, readings, [D1], some_readings(D1, 3))
    changed = client.get(ROWS, params={"day": str(D1)}, headers={"if-none-match": tag})
    assert (changed.status_code, len(changed.json()["rows"])) == (200, 3)


def unlink(store: DeltaStore, day: date) -> None:
    """Remove the files of a day, so that nobody can read it again."""
    for file, values in files_of(store, readings):
        if values["day"] == str(day):
            file.unlink()


@pytest.mark.parametrize("accept", ["application/json", ARROW])
def test_an_answer_is_kept_until_the_table_is_written(store: DeltaStore, client: TestClient, accept: str) -> None:
    asked: dict[str, Any] = {"params": {"day": D1, "limit": 3}, "headers": {"accept": accept}}
    first = client.get(ROWS, **asked)
    unlink(store, D1)

    again = client.get(ROWS, **asked)
    assert (again.status_code, again.content, again.links) == (200, first.content, first.links)
    compute(store, readings, [D1], some_readings(D1, 2))
    changed = client.get(ROWS, **asked)
    assert (changed.status_code, changed.headers["etag"] == first.headers["etag"]) == (200, False)
    assert changed.headers["lakehouse-version"] == str(store.version(readings))
    assert changed.content != first.content


def test_an_answer_is_kept_for_the_question_that_it_answers(store: DeltaStore, client: TestClient) -> None:
    rows = stored(store, [D1, D2])

    for _ in range(2):
        for limit in (2, 3):
            assert client.get(ROWS, params={"limit": limit}).json()["rows"] == expected(rows[:limit])
        assert shown(client, meter="z") == expected([row for row in rows if row["meter"] == "z"])
        assert client.get(ROWS, headers={"accept": ARROW}).headers["content-type"] == ARROW
        assert client.get(ROWS).headers["content-type"] == "application/json"


def test_as_many_answers_are_kept_as_fit(store: DeltaStore) -> None:
    size = len(client_of(store, readings).get(ROWS, params={"day": str(D1)}).content)
    client = client_of(store, readings, limits=Limits(kept_bytes=size + 10))
    for day in (D1, D2):
        assert client.get(ROWS, params={"day": str(day)}).status_code == 200
    unlink(store, D1)
    unlink(store, D2)

    assert client.get(ROWS, params={"day": str(D2)}).status_code == 200
    assert client.get(ROWS, params={"day": str(D1)}).status_code == 410


def test_a_day_that_becomes_settled_without_a_commit_changes_the_tag(store: DeltaStore, client: TestClient) -> None:
    streamed = Frontier(D1, D2, claimed=frozenset([readings.full_name]), generations={readings.full_name: 1})
    FrontierTable(store).change(lambda _: streamed, "test")
    tag = client.get(ROWS).headers["etag"]
    FrontierTable(store).change(lambda _: replace(streamed, first_open=D3), "test")

    assert client.get(ROWS, headers={"if-none-match": tag}).status_code == 200


def test_columns_that_were_added_later_are_null_in_older_files(store: DeltaStore) -> None:
    class Grown(Readings):
        """With one more column."""

        note: T.StringType = Field(description="what somebody said", nullable=True)

    grown = replace(readings, contract=compile_contract(Grown))
    client = client_of(store, grown)
    assert {row["note"] for row in client.get(ROWS).json()["rows"]} == {None}
    compute(store, grown, [D1], [{**row, "note": "new"} for row in some_readings(D1, 2)])

    assert [row["note"] for row in client.get(ROWS).json()["rows"]] == ["new"] * 2 + [None] * 14


@pytest.mark.parametrize("is_new_there", [True, False])
def test_fields_that_structs_were_given_later_are_null_in_older_files(store: DeltaStore, is_new_there: bool) -> None:
    old, new = {"x": 2.5, "label": None, "height": None}, {"x": None, "label": None, "height": 9.5}
    compute(store, nested, [D2], [at_point("b", D2, x=2.5)])
    client = client_of(store, deeper)
    if is_new_there:
        compute(store, deeper, [D1], [at_point("a", D1, height=9.5)])

    in_json = client.get("/tables/gold/facts").json()["rows"]
    answer = client.get("/tables/gold/facts", headers={"accept": ARROW})
    in_arrow = pa.ipc.open_stream(answer.content).read_all().to_pylist()

    for rows in (in_json, in_arrow):
        found = [[row["point"], row["visits"], dict(row["by_name"])] for row in rows]
        assert found == [[one, [one, None], {"here": one}] for one in ([new, old] if is_new_there else [old])]


WRONG = {
    "day=2024-2-1": "2024-01-31",
    "day=20240201": "2024-01-31",
    "first_day=1709078400": "2024-01-31",
    "limit=0": "greater than or equal to 1",
    "limit=10001": "less than or equal to 10000",
    "limit_=2147483648": "2147483647",
    "limit_=1e3": "whole number",
    "read_at=yesterday": "UTC time",
    "open=perhaps": "true or false",
    "version=-1": "version",
    "frist_day=2024-02-28": "frist_day",
    "count=1": "count",
    "after=x!": "after",
}


@pytest.mark.parametrize("query", WRONG)
def test_what_is_asked_wrongly_is_refused_as_a_problem_that_says_why(client: TestClient, query: str) -> None:
    answer = client.get(f"{ROWS}?{query}")

    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")
    assert set(answer.json()) == {"title", "status", "detail"}
    assert WRONG[query] in answer.json()["detail"]


def test_other_refusals_are_problems_too(store: DeltaStore, client: TestClient) -> None:
    for answer, status in (
        (client.get("/tables/gold/nothing"), 404),
        (client.get("/tables/bronze/mark_lines"), 404),  # never written
        (client.get(ROWS, params={"after": "x"}), 404),
        (client.get(ROWS, params={"after": "WzEsWzFdLDEsMSwxXQ"}), 404),
        (client.get(ROWS, params={"after": "WzEsIngiLCJ5IiwieiIsMV0"}), 404),
        (client.post(ROWS), 405),
        (client.delete(ROWS), 405),
        (client.get(ROWS, headers={"accept": "text/csv"}), 406),
        (client.get(ROWS, headers={"host": "evil.example"}), 403),
    ):
        assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
        assert answer.json()["status"] == status
        assert str(store.tables) not in answer.text


def test_files_that_were_cleaned_up_are_gone(store: DeltaStore, client: TestClient) -> None:
    then = client.get(ROWS).json()["version"]
    gone = [file for file, values in files_of(store, readings) if values["day"] == str(D1)]
    compute(store, readings, [D1], some_readings(D1, 1))
    gone[0].unlink()

    answer = client.get(ROWS, params={"version": then, "day": str(D1)})

    assert (answer.status_code, f"version {then}" in answer.json()["detail"]) == (410, True)


def test_a_damaged_log_is_a_problem_that_names_no_folder(store: DeltaStore, client: TestClient) -> None:
    newest = Path(store.path(readings)) / "_delta_log" / f"{store.version(readings):020d}.json"
    newest.write_text("{")

    answer = client.get(ROWS)

    assert (answer.status_code, answer.headers["content-type"]) == (503, "application/problem+json")
    assert str(store.tables) not in answer.text
    assert client.get("/tables/silver/meters").status_code == 200


def test_a_token_is_asked_for_where_one_is_set(store: DeltaStore, caplog: pytest.LogCaptureFixture) -> None:
    client = client_of(store, readings, tokens=["first", "sécond"])
    for header in (None, "Bearer third", "Bearer ", "first", "Basic first", "Bearer firs"):
        for path in (ROWS, "/tables", "/openapi.json"):
            answer = client.get(path, headers={"authorization": header} if header else {})
            assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
            assert "first" not in answer.text
    for token in ("first", "sécond"):
        sent = {b"authorization": f"bearer {token}".encode(), b"host": b"lake.example"}
        assert client.get(ROWS, headers=sent).status_code == 200
    assert "first" not in caplog.text


def test_the_list_says_what_there_is_of_each_table(store: DeltaStore, client: TestClient) -> None:
    found = {one["name"]: one for one in client.get("/tables").json()["tables"]}

    assert list(found) == ["bronze.mark_lines", "silver.meters", "gold.readings"]
    assert (found["bronze.mark_lines"]["version"], found["bronze.mark_lines"]["newest_day"]) == (None, None)
    assert found["gold.readings"] == {
        "name": "gold.readings",
        "description": "One row per reading.",
        "href": ROWS,
        "key": ["day", "meter", "limit", "read_at"],
        "day": "day",
        "owner": "team:tests",
        "version": store.version(readings),
        "settled_through": str(D2),
        "newest_day": str(D3),
    }


def test_openapi_says_of_each_column_what_the_contract_says(client: TestClient) -> None:
    described = client.get("/openapi.json").json()

    row = described["components"]["schemas"]["GoldReadings"]["properties"]
    assert list(row) == readings.contract.stored_names
    assert row["day"] == {"type": "string", "format": "date", "title": "Day", "description": "UTC day"}
    assert row["count"]["anyOf"] == [{"type": "integer"}, {"type": "null"}]
    assert row["price"]["anyOf"][0] == {"type": "string", "format": "decimal"}
    asked = {one["name"]: one for one in described["paths"][ROWS]["get"]["parameters"]}
    assert set(asked) == {
        "first_day",
        "last_day",
        "open",
        "version",
        "limit",
        "after",
        "day",
        "meter",
        "limit_",
        "read_at",
    }
    assert asked["limit_"]["description"] == readings.contract.columns[2].description
    assert {"type": "integer", "minimum": -(2**31), "maximum": 2**31 - 1} in asked["limit_"]["schema"]["anyOf"]


def test_a_query_that_takes_too_long_is_stopped(store: DeltaStore) -> None:
    many = [{**some_readings(D1, 1)[0], "limit": n, "meter": f"m{n % 997}"} for n in range(200_000)]
    compute(store, readings, [D1], many)
    slow, fast = (client_of(store, readings, limits=Limits(seconds=s)) for s in (0.001, 60))

    stopped = slow.get(ROWS, params={"limit": 10_000})

    assert (stopped.status_code, "fewer days" in stopped.json()["detail"]) == (503, True)
    assert len(fast.get(ROWS, params={"limit": 10_000}).json()["rows"]) == 10_000
