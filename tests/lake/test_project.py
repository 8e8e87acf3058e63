"""What a project says of itself, what overrides it, and how bad settings are refused."""

from __future__ import annotations

import tomllib
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from lake.declare.days import Days
from lake.errors import BadSetting, SettingMissing
from lake.project.opening import open_tables
from lake.project.project_file import read_extras
from lake.project.settings import Settings
from lake.stream.kafka import KafkaCluster

WHOLE = """
[project]
name = "shop"

[tool.lakehouse]
package = "shop_tables"
first_day = 2024-03-01
lock_timeout = 60
alert_urls = ["json://host/token"]
kafka_topics = { orders = "orders_2" }

[tool.lakehouse.environments.test]
home = "test home"

[tool.lakehouse.environments.production]
home = "/srv/lake"
tables = "s3://bucket/tables"
landing = "/srv/landing"
first_day = "2023-01-01"
last_day = 2025-12-31
spark_master = "local[8]"
spark = { "spark.driver.memory" = "8g", "spark.speculation" = false, "spark.task.cpus" = 2 }
storage_options = { AWS_REGION = "eu-west-1" }
feed = "kafka"
kafka = "broker:9092"
kafka_username = "lake"
alert_urls = ["json://pager/token", "mailto://team"]
"""

HUGE = "1" + "0" * 400
"""No number of seconds: too large for a float."""


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a project, and the working directory is two folders below it."""
    below = tmp_path / "shop" / "docs" / "pages"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)
    return write(below.parents[1], WHOLE)


def write(folder: Path, text: str) -> Path:
    (folder / "pyproject.toml").write_text(text)
    return folder


def test_a_project_is_found_from_a_folder_within_it(shop: Path) -> None:
    settings = Settings.from_env({})

    assert (settings.root, settings.environment, settings.package) == (shop, "dev", "shop_tables")
    assert (settings.home, settings.tables) == (shop / ".lakehouse", str(shop / ".lakehouse/tables"))
    assert settings.landing.root == shop / ".lakehouse" / "landing"
    assert (settings.first_day, settings.lock_timeout_seconds) == (date(2024, 3, 1), 60)
    assert (settings.alert_urls, settings.kafka_topics) == (("json://host/token",), {"orders": "orders_2"})


def test_the_file_is_parsed_once_for_settings_and_extras_and_again_when_it_says_something_else(
    shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text, parsed, parse = WHOLE + '[tool.lakehouse.commands]\nship = "shop:ship"\n', list[str](), tomllib.loads
    write(shop, text)

    def parse_and_count(said: str) -> object:
        parsed.append(said)
        return parse(said)

    monkeypatch.setattr(tomllib, "loads", parse_and_count)

    def look() -> tuple[object, ...]:
        production = Settings.from_env({"LAKEHOUSE_ENVIRONMENT": "production"})
        return read_extras({}, "commands"), Settings.from_env({}).first_day, production.first_day

    assert look() == look() == ((shop, {"ship": "shop:ship"}), date(2024, 3, 1), date(2023, 1, 1))
    assert parsed == [text]
    write(shop, text.replace("2024-03-01", "2024-04-01"))
    assert look()[1] == date(2024, 4, 1)


def test_a_file_without_our_table_is_no_project(shop: Path) -> None:
    write(Path.cwd(), '[project]\nname = "docs"\n')
    assert Settings.from_env({}).root == shop


def test_the_variable_names_the_project_wherever_the_process_runs(shop: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = write(tmp_path / "other", "[tool.lakehouse]\nfirst_day = 2025-01-01\n")

    settings = Settings.from_env({"LAKEHOUSE_PROJECT": str(other)})

    assert (settings.root, settings.first_day, settings.package) == (other, date(2025, 1, 1), "lakehouse_assets")


def test_the_settings_of_the_chosen_environment_win(shop: Path) -> None:
    settings = Settings.from_env({"LAKEHOUSE_ENVIRONMENT": "production", "LAKEHOUSE_KAFKA_PASSWORD": "secret"})

    assert (str(settings.home), settings.tables) == ("/srv/lake", "s3://bucket/tables")
    assert settings.landing.root == Path("/srv/landing")
    assert (settings.first_day, settings.last_day) == (date(2023, 1, 1), date(2025, 12, 31))
    assert (settings.spark_master, settings.lock_timeout_seconds) == ("local[8]", 60)
    assert settings.spark == {"spark.driver.memory": "8g", "spark.speculation": "false", "spark.task.cpus": "2"}
    assert settings.storage_options == {"AWS_REGION": "eu-west-1"}
    assert (settings.feed, settings.kafka) == ("kafka", KafkaCluster("broker:9092", "lake", "secret"))
    assert settings.alert_urls == ("json://pager/token", "mailto://team")


def test_relative_folders_of_the_file_start_at_the_file_and_those_of_a_variable_where_the_process_runs(
    shop: Path,
) -> None:
    env = {"LAKEHOUSE_ENVIRONMENT": "test"}
    assert Settings.from_env(env).home == shop / "test home"
    assert Settings.from_env({**env, "LAKEHOUSE_HOME": "mine"}).home == Path.cwd() / "mine"
    assert Settings.from_env({**env, "LAKEHOUSE_LANDING": "in"}).landing.root == shop / "test home" / "in"


def test_variables_win_and_empty_ones_do_not_count(shop: Path) -> None:
    settings = Settings.from_env({"LAKEHOUSE_FIRST_DAY": "2024-05-01", "LAKEHOUSE_LOCK_TIMEOUT": ""})
    assert (settings.first_day, settings.lock_timeout_seconds) == (date(2024, 5, 1), 60)


@pytest.mark.parametrize(
    ("written", "now"),
    [
        ("2024-03-04", datetime(2024, 3, 4, tzinfo=UTC)),
        ("2024-03-04T05:06:07Z", datetime(2024, 3, 4, 5, 6, 7, tzinfo=UTC)),
        ("2024-03-04T05:06:07", datetime(2024, 3, 4, 5, 6, 7, tzinfo=UTC)),
        ("'2024-03-04T05:06:07+02:00'", datetime(2024, 3, 4, 3, 6, 7, tzinfo=UTC)),
    ],
)
def test_a_clock_that_stands_still_may_be_written_as_a_day_a_time_or_text(
    tmp_path: Path, written: str, now: datetime
) -> None:
    write(tmp_path, f"[tool.lakehouse]\nfirst_day = 2024-01-01\nnow = {written}\n")
    assert Settings.from_env({"LAKEHOUSE_PROJECT": str(tmp_path)}).now() == now


def test_the_calendar_ends_with_the_clock_unless_the_project_says_otherwise(shop: Path) -> None:
    settings = Settings.from_env({"LAKEHOUSE_NOW": "2024-03-04T23:59:59Z"})

    assert settings.last_day is None
    assert settings.calendar() == Days.between(date(2024, 3, 1), date(2024, 3, 4))
    assert settings.now() == datetime(2024, 3, 4, 23, 59, 59, tzinfo=UTC)


@pytest.mark.parametrize(
    ("written", "name", "value", "expected"),
    [
        ('first_day = "2024-2-1"', "first_day", "2024-2-1", "a day like 2024-01-31"),
        ("first_day = 2024-01-01\nfrist_day = 1", "frist_day", "1", "another name; the settings are alert_urls, "),
        ("first_day = 2024-01-01\nlast_day = 2023-01-01", "last_day", "2023-01-01", "2024-01-01 or later"),
        ("first_day = 2024-01-01\nlock_timeout = -1", "lock_timeout", "-1", "a number of seconds, 0 or more"),
        ("first_day = 2024-01-01\nlock_timeout = true", "lock_timeout", "True", "a number of seconds, 0 or more"),
        ("first_day = 2024-01-01\nlock_timeout = 'nan'", "lock_timeout", "nan", "a number of seconds, 0 or more"),
        ("first_day = 2024-01-01\nlock_timeout = inf", "lock_timeout", "inf", "a number of seconds, 0 or more"),
        ("first_day = 2024-01-01\nlock_timeout = 'long'", "lock_timeout", "long", "a number of seconds, 0 or more"),
        ("first_day = 2024-01-01T00:00:00Z", "first_day", "2024-01-01 00:00:00+00:00", "a day like 2024-01-31"),
        ("first_day = 2024-01-01\nlast_day = 5", "last_day", "5", "a day like 2024-01-31"),
        ("first_day = 2024-01-01\nnow = 5", "now", "5", "a UTC time like"),
        ("first_day = 2024-01-01\nspark_master = 5", "spark_master", "5", "text"),
        ("first_day = 2024-01-01\nui_hosts = ['a', 1]", "ui_hosts", "['a', 1]", "a list of texts"),
        ("first_day = 2024-01-01\nkafka_topics = ['a']", "kafka_topics", "['a']", "a table of texts"),
        ("first_day = 2024-01-01\nkafka_topics = { a = 5 }", "kafka_topics", "{'a': 5}", "a table of texts"),
        (f"first_day = 2024-01-01\nlock_timeout = {HUGE}", "lock_timeout", HUGE, "a number of seconds"),
        ("first_day = 2024-01-01\nopenlineage_namespace = 5", "openlineage_namespace", "5", "text"),
        ("first_day = 2024-01-01\nfeed = 'pipes'", "feed", "pipes", "'files' or 'kafka'"),
        ("first_day = 2024-01-01\npackage = '../x'", "package", "../x", "the name of a Python package"),
        ("first_day = 2024-01-01\nhome = 7", "home", "7", "the name of a folder"),
        ("first_day = 2024-01-01\nlanding = 'ftp://b/x'", "landing", "ftp://b/x", "a folder, or a URL"),
        ("first_day = 2024-01-01\nhome = 's3://b/x'", "home", "s3://b/x", "a folder of this machine; only"),
        ("first_day = 2024-01-01\ntables = 'ftp://b/x'", "tables", "ftp://b/x", "a folder, or a URL"),
        ("first_day = 2024-01-01\ntables = 's3:///x'", "tables", "s3:///x", "a folder, or a URL"),
        ("first_day = 2024-01-01\nkafka = 9092", "kafka", "9092", "text"),
        ("first_day = 2024-01-01\nspark = { memory = '8g' }", "spark", "{'memory': '8g'}", "settings of Spark, each"),
        ("first_day = 2024-01-01\nui_hosts = 3", "ui_hosts", "3", "a list of texts; in a variable"),
        ("first_day = 2024-01-01\nenvironments = 3", "environments", "3", "a table"),
        ("first_day = 2024-01-01\nenvironment = 'prod'", "environment", "prod", "one of dev"),
    ],
)
def test_a_bad_setting_is_refused_with_its_name_its_file_and_what_it_should_be(
    tmp_path: Path, written: str, name: str, value: str, expected: str
) -> None:
    write(tmp_path, f"[tool.lakehouse]\n{written}\n")

    with pytest.raises(BadSetting) as refused:
        Settings.from_env({"LAKEHOUSE_PROJECT": str(tmp_path)})

    error = refused.value
    assert (error.name, error.value) == (name, value)
    assert error.place == f"[tool.lakehouse] of {tmp_path / 'pyproject.toml'}"
    assert error.expected.startswith(expected)
    assert str(error).endswith("next: change it there")


def test_a_bad_setting_of_an_environment_is_refused_with_the_environment(tmp_path: Path) -> None:
    text = "[tool.lakehouse]\nfirst_day = 2024-01-01\n[tool.lakehouse.environments.test]\nnow = 'noon'\n"
    env = {"LAKEHOUSE_PROJECT": str(write(tmp_path, text)), "LAKEHOUSE_ENVIRONMENT": "test"}

    with pytest.raises(BadSetting, match=r"now='noon' in \[tool\.lakehouse\.environments\.test\] of .*pyproject\.toml"):
        Settings.from_env(env)


@pytest.mark.parametrize(
    ("env", "name"),
    [
        ({"LAKEHOUSE_ENVIRONMENT": "prod"}, "LAKEHOUSE_ENVIRONMENT"),
        ({"LAKEHOUSE_PROJECT": "/nowhere"}, "LAKEHOUSE_PROJECT"),
        ({"LAKEHOUSE_FIRST_DAY": "soon"}, "LAKEHOUSE_FIRST_DAY"),
        ({"LAKEHOUSE_LAST_DAY": "2024-01-01"}, "LAKEHOUSE_LAST_DAY"),
    ],
)
def test_a_bad_variable_is_refused_by_its_name(shop: Path, env: dict[str, str], name: str) -> None:
    with pytest.raises(BadSetting) as refused:
        Settings.from_env(env)
    assert (refused.value.name, refused.value.place) == (name, "")


def test_a_secret_of_the_file_is_not_shown(tmp_path: Path) -> None:
    write(tmp_path, "[tool.lakehouse]\nfirst_day = 2024-01-01\nstorage_options = ['topsecret']\n")
    with pytest.raises(BadSetting, match="storage_options") as refused:
        Settings.from_env({"LAKEHOUSE_PROJECT": str(tmp_path)})
    assert "topsecret" not in str(refused.value) + repr(refused.value)


def test_a_file_that_is_not_toml_is_named(tmp_path: Path) -> None:
    write(tmp_path, "[tool.lakehouse\n")
    with pytest.raises(BadSetting, match=r"expected a file in TOML") as refused:
        Settings.from_env({"LAKEHOUSE_PROJECT": str(tmp_path)})
    assert refused.value.place == str(tmp_path / "pyproject.toml")


def test_without_a_first_day_it_is_said_where_to_write_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SettingMissing, match="set LAKEHOUSE_PROJECT to it"):
        Settings.from_env({})
    write(tmp_path, "[tool.lakehouse]\n")
    with pytest.raises(SettingMissing, match=f"first_day in .* of {tmp_path}/pyproject.toml"):
        Settings.from_env({})


def test_tables_come_from_the_package_of_the_project(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BadSetting, match=r"package='shop_tables' in .*pyproject\.toml"):
        open_tables(Settings.from_env({}))

    folder = shop / "shop_tables" / "bronze"
    folder.mkdir(parents=True)
    (folder.parent / "__init__.py").touch()
    (folder / "__init__.py").touch()
    (folder / "orders.py").write_text("import not_there\n")

    tables, broken = open_tables(Settings.from_env({}))

    assert (dict(tables), [one.table for one in broken]) == ({}, ["bronze.orders"])
