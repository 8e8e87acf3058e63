"""The resources: what they give, and what they start only when it is needed."""

from __future__ import annotations

import json
from pathlib import Path

import dagster as dg
import pytest
from dagster_pyspark import LazyPySparkResource
from pyspark.sql import SparkSession

from lake.engine.compiling import Work
from lake.errors import BadSetting
from lake.orchestration.resource import LakehouseResource, SparkResource, check_storage_options
from lake.project.opening import open_store
from lake.project.settings import Settings


@pytest.mark.parametrize(
    ("tables", "given"),
    [
        ("/tables", {}),
        ("s3a://bucket/tables", {"AWS_REGION": "eu-west-1", "aws_allow_http": "true", "AWS_ENDPOINT_URL": "http://x"}),
        ("abfss://c@a.dfs.core.windows.net/t", {"AZURE_STORAGE_ACCOUNT_NAME": "a"}),
        ("gs://bucket/t", {"GOOGLE_SERVICE_ACCOUNT": "/key.json"}),
    ],
)
def test_options_reach_the_store_as_they_were_given(tmp_path: Path, tables: str, given: dict[str, str]) -> None:
    env = {"LAKEHOUSE_HOME": str(tmp_path), "LAKEHOUSE_TABLES": tables, "LAKEHOUSE_STORAGE_OPTIONS": json.dumps(given)}
    settings = Settings.from_env(env)

    assert LakehouseResource.from_settings(settings).store().storage_options == given
    assert open_store(settings).storage_options == given


@pytest.mark.parametrize("name", ["AWS_ALLOW_HTTP", "aws_allow_http", "allow_http"])
def test_an_option_that_dagster_deltalake_refuses_is_refused_by_its_name_without_its_value(name: str) -> None:
    with pytest.raises(BadSetting, match=r"LAKEHOUSE_STORAGE_OPTIONS.*allow_http") as refused:
        check_storage_options("s3a://bucket/tables", {name: "topsecret"})
    assert "topsecret" not in str(refused.value)


def test_credentials_are_not_shown(tmp_path: Path) -> None:
    env = {"LAKEHOUSE_HOME": str(tmp_path), "LAKEHOUSE_STORAGE_OPTIONS": '{"AWS_SECRET_ACCESS_KEY": "hidden"}'}
    resource = LakehouseResource.from_settings(Settings.from_env(env))

    assert "hidden" not in repr(resource)
    assert resource.store().storage_options == {"AWS_SECRET_ACCESS_KEY": "hidden"}


@pytest.mark.parametrize("name", ["home", "tables", "storage_options", "options", "spark", "lock_timeout_seconds"])
def test_no_run_can_choose_other_tables_or_another_storage(tmp_path: Path, name: str) -> None:
    seen: list[str] = []

    @dg.op
    def look(lakehouse: dg.ResourceParam[LakehouseResource]) -> None:
        seen.append(lakehouse.store().tables)

    resource = LakehouseResource.from_settings(Settings.from_env({"LAKEHOUSE_HOME": str(tmp_path / "ours")}))
    job = dg.GraphDefinition("job", node_defs=[look]).to_job(resource_defs={"lakehouse": resource.definition()})
    config = {"resources": {"lakehouse": {"config": {name: str(tmp_path / "theirs")}}}}

    with pytest.raises(dg.DagsterInvalidConfigError, match="Received unexpected config entry"):
        job.execute_in_process(run_config=config)

    assert seen == []
    assert job.execute_in_process().success
    assert seen == [str(tmp_path / "ours" / "tables")]


def test_a_store_starts_no_session_until_rows_are_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lake.engine.session.build_session", lambda **_: pytest.fail("a session was started"))
    store = LakehouseResource.from_settings(Settings.from_env({"LAKEHOUSE_HOME": str(tmp_path)})).store()

    assert store.log(f"{store.tables}/silver/nothing").version() is None


def test_assets_and_commands_start_spark_alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, object]] = []

    def build_session(**how: object) -> str:
        asked.append(how)
        return "session"

    monkeypatch.setattr("lake.engine.session.build_session", build_session)
    monkeypatch.setattr("lake.engine.jars.fetch", lambda *_: [])
    env = {"LAKEHOUSE_HOME": str(tmp_path), "LAKEHOUSE_SPARK_MASTER": "local[3]", "LAKEHOUSE_FEED": "kafka"}
    settings = Settings.from_env(env | {"LAKEHOUSE_SPARK": '{"spark.ui.enabled": false}'})
    spark = SparkResource(settings)

    assert isinstance(spark, LazyPySparkResource)
    assert asked == []
    assert [spark.spark_session, spark.spark_session, open_store(settings).session()] == ["session"] * 3
    how = {
        "app_name": "lakehouse",
        "master": "local[3]",
        "remote": None,
        "extra_conf": {"spark.ui.enabled": "false"},
        "jar_sets": ["delta", "spark-kafka"],
        "work": Work.MUCH,
    }
    assert asked == [how, how]


@pytest.mark.spark
def test_a_process_has_one_session(spark: SparkSession, tmp_path: Path) -> None:
    settings = Settings.from_env({"LAKEHOUSE_HOME": str(tmp_path)})

    assert LakehouseResource.from_settings(settings).store().spark is spark
