"""Messages that are hard to read end in quarantine, and the streams go on."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest
from deltalake import DeltaTable
from pyspark.sql import SparkSession

from lake.stream.progress import read_statuses
from lake.testing.lakes import interpreted, quarantined, stored_rows
from lakehouse_assets.bronze.departure_events import departure_events
from lakehouse_assets.gold.delay_alerts import delay_alerts
from lakehouse_assets.silver.departures import departures
from tests.streaming import Lake, Message, Messages, at

pytestmark = [pytest.mark.streams, pytest.mark.spark, pytest.mark.slow, pytest.mark.faults]

JAN_1 = date(2013, 1, 1)


@pytest.fixture
def lake(tmp_path: Path, spark: SparkSession) -> Iterator[Lake]:
    with interpreted(spark):
        yield Lake(tmp_path / "home", lambda: spark, [departure_events, departures, delay_alerts])


def good(messages: Messages, number: int) -> Message:
    return messages.departure(JAN_1, number, scheduled=at(1, 8), left=at(1, 9, number), sent=at(1, 9, number))


GOOD = json.loads(good(Messages(), 1)["value"])
POISON: dict[str, str | None] = {
    "nothing": None,
    "empty": "",
    "five megabytes": json.dumps(GOOD | {"tail_number": "N" * 5_000_000}),
    "five megabytes of no JSON": "x" * 5_000_000,
    "NUL characters": json.dumps(GOOD | {"carrier": "\x00\x00"}),
    "bare NUL characters": "\x00" * 100,
    "lone surrogate": '{"carrier":"\\ud800"}',
    "replaced bytes": json.dumps(GOOD | {"dest": "\ufffd\ufffd\ufffd"}),
    "nested deeply": '{"carrier":' + "[" * 20_000 + "]" * 20_000 + "}",
    "nested objects": '{"carrier":' * 5_000 + "1" + "}" * 5_000,
    "open brackets": "[" * 100_000,
    "an array": json.dumps([GOOD]),
    "two objects": json.dumps(GOOD) * 2,
    "a number": "42",
    "null": "null",
    "wrong types": json.dumps(GOOD | {"flight": "seven", "carrier": 7, "departed_at": {"at": 1}}),
    "endless number": json.dumps(GOOD)[:-1] + ',"flight":' + "9" * 100_000 + "}",
    "huge exponent": json.dumps(GOOD).replace('"flight": 1', '"flight": 1e999999'),
    "same field twice": json.dumps(GOOD)[:-1] + ',"flight":"x"}',
    "year 10000": json.dumps(GOOD | {"departed_at": "+10000-01-01T00:00:00Z"}),
    "far future": json.dumps(GOOD | {"departed_at": "2999-12-31T23:59:59Z", "flight_date": "2999-12-31"}),
    "SQL": "'); DROP TABLE bronze.departure_events; --",
    "template": "${jndi:ldap://127.0.0.1/a} {{7*7}} %s %n",
}


def test_poison_goes_to_quarantine_and_never_stops_the_stream(lake: Lake) -> None:
    messages = Messages()
    first = [good(messages, number) for number in (1, 2)]
    poison = [messages.broken("departures", value, at(1, 9, 30)) for value in POISON.values()]
    last = [good(messages, number) for number in (3, 4)]
    for number, batch in enumerate([first, poison, last]):
        lake.land(batch, f"{number}.jsonl")
        lake.follow(since=JAN_1)

    assert sorted(row["flight"] for row in stored_rows(lake.store, departures)) == [1, 2, 3, 4]
    held = {row["value"] for row in stored_rows(lake.store, departure_events)}
    assert set(POISON.values()) <= held, "bronze keeps what was sent, as it was sent"
    rejected = quarantined(lake.store, departures)
    assert Counter(row["raw"] for row in rejected) == Counter(POISON.values())
    assert all(row["rules"] for row in rejected)
    lake.check_equals_batch([*first, *poison, *last])


def test_lines_that_are_no_message_stay_in_the_quarantine_of_bronze_and_the_rest_arrives(lake: Lake) -> None:
    messages = Messages()
    sent = [good(messages, 1), good(messages, 2)]
    lake.land(sent[:1], "good.jsonl")
    folder = lake.landing.root / "departures" / "landed_on=2013-01-01"
    whole = json.dumps(sent[1]).encode()
    lines = [b"\xff\xfe\x00\x80", whole[:-20], b"{}", b"[" * 5_000, whole.replace(b'"offset": ', b'"offset": "x', 1)]
    aside = folder / ".broken"
    aside.write_bytes(b"\n".join([*lines, whole]) + b"\n")
    aside.rename(folder / "broken.jsonl")

    lake.follow(since=JAN_1)

    assert sorted(row["flight"] for row in stored_rows(lake.store, departures)) == [1, 2]
    assert len(quarantined(lake.store, departure_events)) == len(lines)
    assert DeltaTable(lake.store.quarantine_path(departure_events)).to_pyarrow_table().num_rows == len(lines)
    lake.check(sent)


def test_streams_go_on_without_files_that_cannot_be_read_and_read_them_once_they_are_mended(lake: Lake) -> None:
    """The first run meets two such files, and one more that comes while the streams run."""
    lake.tables = [departure_events]
    messages = Messages()
    first, in_torn, in_link, in_colon, last = (good(messages, number) for number in range(1, 6))
    lake.land([first], "a.jsonl")
    folder = lake.landing.root / "departures" / "landed_on=2013-01-01"
    torn, link, colon = folder / "b c+d%20.jsonl.gz", folder / "link.jsonl", folder / "10:00.jsonl"
    whole = gzip.compress(f"{json.dumps(in_torn)}\n".encode() * 2_000)
    torn.write_bytes(whole[:-30])
    link.symlink_to(folder / "nothing.jsonl")
    told: list[str] = []
    with lake.following(since=JAN_1, tell=told.append) as running:
        running.until_read(lake, departure_events, 1)
        colon.write_text(f"{json.dumps(in_colon)}\n")
        running.until(lambda: len(told) > 1, "the streams go on without the file with a colon")
        lake.land([last], "z.jsonl")
        running.until_read(lake, departure_events, 2)

    assert [line.partition(":")[0] for line in told] == [
        "bronze.departure_events goes on without 2 files that cannot be read",
        "bronze.departure_events goes on without 1 file that cannot be read",
    ]
    status = read_statuses(lake.home / "streams")["bronze.departure_events"]
    assert (status.state, status.last_error) == ("stopped", None)
    assert set(status.unread_files) == {str(torn), str(link), str(colon)}
    assert status.unread_files[str(colon)] == "Spark cannot open a name with a colon"

    torn.write_bytes(whole)
    link.unlink()
    link.write_text(f"{json.dumps(in_link)}\n")
    done = lake.follow()  # the file with a colon is still what it was

    assert set(done.unread_files) == {str(colon)}
    lake.check([first, in_torn, in_link, last])
