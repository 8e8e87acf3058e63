"""What an environment variable means."""

from __future__ import annotations

import os
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from airline.replay.landing import LandingFolder
from lake.declare.days import Days
from lake.errors import BadSetting
from lake.project.settings import Settings
from lake.write.horizon import Horizon

CONNECTION = (
    'Endpoint=sb://ns.servicebus.windows.net/;SharedAccessKeyName=Root;EntityPath=$a;SharedAccessKey=q"u\\o+/t3d='
)
"""What Azure Event Hubs gives as the secret of its Kafka endpoint, with more to escape than it has."""


def test_a_feed_may_have_a_topic_of_another_name() -> None:
    assert Settings.from_env({}).kafka_topics == {}
    found = Settings.from_env({"LAKEHOUSE_KAFKA_TOPICS": "departures=departures_2, arrivals = arrivals_7"})
    assert found.kafka_topics == {"departures": "departures_2", "arrivals": "arrivals_7"}


@pytest.mark.parametrize("text", ["departures", "departures=", "=a", "a=b=c"])
def test_topics_that_cannot_be_read_are_refused(text: str) -> None:
    with pytest.raises(BadSetting, match="LAKEHOUSE_KAFKA_TOPICS"):
        Settings.from_env({"LAKEHOUSE_KAFKA_TOPICS": text})


def test_a_connection_string_of_event_hubs_reaches_both_clients_whole() -> None:
    settings = Settings.from_env({
        "LAKEHOUSE_KAFKA": "ns.servicebus.windows.net:9093",
        "LAKEHOUSE_KAFKA_USERNAME": "$ConnectionString",
        "LAKEHOUSE_KAFKA_PASSWORD": CONNECTION,
    })  # fmt: skip
    cluster = settings.kafka
    assert cluster is not None

    assert cluster.for_librdkafka() == {
        "bootstrap.servers": "ns.servicebus.windows.net:9093",
        "security.protocol": "SASL_SSL",
        "sasl.mechanism": "PLAIN",
        "sasl.username": "$ConnectionString",
        "sasl.password": CONNECTION,
    }
    assert cluster.for_spark() == {
        "kafka.bootstrap.servers": "ns.servicebus.windows.net:9093",
        "kafka.security.protocol": "SASL_SSL",
        "kafka.sasl.mechanism": "PLAIN",
        "kafka.sasl.jaas.config": (
            'org.apache.kafka.common.security.plain.PlainLoginModule required username="$ConnectionString" password="'
            "Endpoint=sb://ns.servicebus.windows.net/;SharedAccessKeyName=Root;EntityPath=$a;"
            r'SharedAccessKey=q\"u\\o+/t3d=";'
        ),
    }
    assert "SharedAccessKey" not in repr(settings)


@pytest.mark.parametrize("text", ['{"azure_storage_account_key": "topsecret=="', '["topsecret=="]', "topsecret=="])
def test_a_key_of_the_storage_is_shown_neither_in_an_error_nor_in_the_settings(text: str) -> None:
    with pytest.raises(BadSetting, match="LAKEHOUSE_STORAGE_OPTIONS") as refused:
        Settings.from_env({"LAKEHOUSE_STORAGE_OPTIONS": text})
    assert "topsecret" not in str(refused.value) + repr(refused.value)

    good = {"LAKEHOUSE_STORAGE_OPTIONS": '{"key": "topsecret=="}', "LAKEHOUSE_ALERT_URLS": "json://host/topsecret"}
    assert "topsecret" not in repr(Settings.from_env(good))


@pytest.mark.parametrize(
    ("given", "variable"),
    [
        ({"FIRST_DAY": "2014-03-01"}, "LAKEHOUSE_FIRST_DAY"),
        ({"LAST_DAY": "2012-01-01"}, "LAKEHOUSE_LAST_DAY"),
        ({"FIRST_DAY": "2013-02-02", "LAST_DAY": "2013-02-01"}, "LAKEHOUSE_LAST_DAY"),
        ({"FIRST_DAY": "yesterday"}, "LAKEHOUSE_FIRST_DAY"),
        ({"LAST_DAY": "2013-2-1"}, "LAKEHOUSE_LAST_DAY"),
    ],
)
def test_a_calendar_that_cannot_be_is_refused_by_the_variables_name(given: dict[str, str], variable: str) -> None:
    with pytest.raises(BadSetting) as refused:
        Settings.from_env({f"LAKEHOUSE_{name}": value for name, value in given.items()})
    assert refused.value.name == variable


def test_a_calendar_may_have_one_day() -> None:
    settings = Settings.from_env({"LAKEHOUSE_FIRST_DAY": "2013-02-01", "LAKEHOUSE_LAST_DAY": "2013-02-01"})
    assert [str(day) for day in settings.calendar()] == ["2013-02-01"]


@pytest.mark.parametrize("variable", ["LAKEHOUSE_HOME", "LAKEHOUSE_TABLES"])
@pytest.mark.parametrize("folder", ["file", "file/below", "x%20y", "a[b]"])
def test_a_folder_that_cannot_be_one_is_refused(tmp_path: Path, variable: str, folder: str) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(BadSetting) as refused:
        Settings.from_env({"LAKEHOUSE_HOME": str(tmp_path), variable: str(tmp_path / folder)})

    assert refused.value.name == variable


def test_a_url_of_tables_may_have_escapes() -> None:
    assert Settings.from_env({"LAKEHOUSE_TABLES": "s3://bucket/x%20y"}).tables == "s3://bucket/x%20y"


@pytest.mark.parametrize(
    ("last_day", "last"), [("2014-01-31", date(2014, 1, 31)), ("open", date(9999, 12, 30)), ("", date(2014, 1, 31))]
)
def test_what_is_believed_ends_with_the_clock_and_the_calendar(last_day: str, last: date) -> None:
    named = {"FIRST_DAY": "2012-12-31", "LAST_DAY": last_day, "NOW": "2013-01-02T12:00:00Z"}
    settings = Settings.from_env({f"LAKEHOUSE_{name}": value for name, value in named.items()})
    assert settings.horizon() == Horizon(datetime(2013, 1, 2, 12, tzinfo=UTC), Days.between(date(2012, 12, 31), last))


def test_in_a_replay_the_clock_is_that_of_the_replay(tmp_path: Path) -> None:
    settings = Settings.from_env({"LAKEHOUSE_HOME": str(tmp_path)})
    LandingFolder(settings.landing.root).advance_clock(date(2013, 1, 2))
    assert settings.horizon().now == datetime(2013, 1, 3, tzinfo=UTC)


@pytest.mark.parametrize(
    ("landed", "is_left_behind"),
    [
        (["departures/landed_on=2013-02-01"], False),
        (["departures/landed_on=2013-02-02", "_manifest/landed_on=2020-01-01", "weather/landed_on=later"], False),
        (["weather/landed_on=2026-11-27"], True),
        (["departures/landed_on=2013-02-01", "arrivals/landed_on=2013-02-04"], True),
    ],
)
def test_a_clock_that_a_replay_left_behind_stops_the_lake_s_clock_only_until_more_lands(
    tmp_path: Path, landed: list[str], is_left_behind: bool
) -> None:
    settings = Settings.from_env({"LAKEHOUSE_HOME": str(tmp_path)})
    for folder in landed:
        (settings.landing.root / folder).mkdir(parents=True)
    (settings.landing.root / "_clock.json").write_text('{"now": "2013-02-01T00:00:00Z"}')

    now = settings.now()

    assert (now > datetime(2026, 1, 1, tzinfo=UTC)) is is_left_behind
    assert is_left_behind or now == datetime(2013, 2, 1, tzinfo=UTC)


@pytest.mark.parametrize(("days_ago", "counts"), [(6, True), (8, False)])
def test_a_clock_that_a_replay_left_behind_counts_for_a_week_where_nothing_lands_as_files(
    tmp_path: Path, days_ago: int, counts: bool
) -> None:
    """As in a lake whose topics come from a broker."""
    settings = Settings.from_env({"LAKEHOUSE_HOME": str(tmp_path)})
    clock = settings.landing.root / "_clock.json"
    landing = LandingFolder(settings.landing.root)
    landing.advance_clock(datetime(2013, 2, 1, tzinfo=UTC))
    written = clock.stat().st_mtime - days_ago * 86_400
    os.utime(clock, (written, written))

    assert (settings.now() == datetime(2013, 2, 1, tzinfo=UTC)) is counts

    landing.advance_clock(datetime(2013, 1, 1, tzinfo=UTC))  # another replay, of days before
    assert settings.now() == datetime(2013, 2, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("given", "tables"),
    [
        ("lake", "{home}/lake"),
        ("./lake/", "{home}/lake"),
        ("/srv/lake", "/srv/lake"),
        ("s3a://bucket/lake/", "s3a://bucket/lake"),
    ],
)
def test_where_tables_lie_does_not_depend_on_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str, tables: str
) -> None:
    home = tmp_path / "home"
    found = set()
    for current in (tmp_path, Path("/")):
        monkeypatch.chdir(current)
        env = {"LAKEHOUSE_HOME": str(home), "LAKEHOUSE_TABLES": given, "LAKEHOUSE_FIRST_DAY": "2013-01-01"}
        found.add(Settings.from_env(env).tables)

    assert found == {tables.format(home=home)}
