"""The resources: what they give, and what they start only when it is needed."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import pytest
from dagster_pyspark import LazyPySparkResource
from pyspark.sql import SparkSession

from resources.lakehouse import LakehouseResource, SparkResource, storage_options
from resources.settings import Settings


def test_local_tables_need_no_options() -> None:
    assert storage_options("/tables", {}) == {"provider": "local"}


@pytest.mark.parametrize("name", ["AWS_REGION", "aws_region", "region"])
def test_an_option_is_known_under_any_of_its_names(name: str) -> None:
    assert storage_options("s3a://bucket/tables", {name: "eu-west-1"})["region"] == "eu-west-1"


def test_options_that_dagster_deltalake_does_not_know_are_passed_on() -> None:
    given = {"AWS_ENDPOINT_URL": "http://127.0.0.1:9000", "AWS_ALLOW_HTTP": "true", "timeout": "120s"}

    assert storage_options("s3://bucket/tables", given) == {
        "AWS_ENDPOINT_URL": "http://127.0.0.1:9000",
        "provider": "s3",
        "imdsv1_fallback": "False",
        "allow_http": "True",
        "timeout": "120s",
    }


def test_azure_and_google_have_their_own_options() -> None:
    azure = storage_options("abfss://c@a.dfs.core.windows.net/t", {"AZURE_STORAGE_ACCOUNT_NAME": "a"})
    google = storage_options("gs://bucket/t", {"GOOGLE_SERVICE_ACCOUNT": "/key.json"})

    assert azure == {"provider": "azure", "account_name": "a"}
    assert google == {"provider": "gcs", "service_account": "/key.json"}


def test_credentials_are_not_shown(tmp_path: Path) -> None:
    env = {"LAKEHOUSE_HOME": str(tmp_path), "LAKEHOUSE_STORAGE_OPTIONS": '{"AWS_SECRET_ACCESS_KEY": "hidden"}'}
    resource = LakehouseResource.from_settings(Settings.from_env(env))

    assert "hidden" not in repr(resource)
    assert resource.options == {"AWS_SECRET_ACCESS_KEY": "hidden"}


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
    monkeypatch.setattr("resources.lakehouse.build_session", lambda **_: pytest.fail("a session was started"))
    store = LakehouseResource.from_settings(Settings.from_env({"LAKEHOUSE_HOME": str(tmp_path)})).store()

    assert store.log(f"{store.tables}/silver/nothing").version() is None


def test_spark_comes_through_dagster_pyspark(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, object]] = []

    def build_session(**how: object) -> str:
        asked.append(how)
        return "session"

    monkeypatch.setattr("resources.lakehouse.build_session", build_session)
    spark = SparkResource(master="local[3]", spark_config={"spark.sql.ansi.enabled": True})

    assert isinstance(spark, LazyPySparkResource)
    assert asked == []
    assert [spark.spark_session, spark.spark_session] == ["session", "session"]
    assert asked == [
        {
            "app_name": "lakehouse",
            "master": "local[3]",
            "remote": None,
            "extra_conf": {"spark.sql.ansi.enabled": "True"},
        }
    ]


@pytest.mark.spark
def test_a_process_has_one_session(spark: SparkSession, tmp_path: Path) -> None:
    settings = Settings.from_env({"LAKEHOUSE_HOME": str(tmp_path)})

    assert LakehouseResource.from_settings(settings).store().spark is spark
