"""What a lake on S3 tells delta-rs and Spark, and what it says where nothing answers. Needs no server."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pytest

from lake.engine.jars import jars_of
from lake.engine.ports import free_ports
from lake.errors import StorageUnreachable
from lake.storage.landing import Landing
from lake.storage.log import Log
from lake.storage.log_files import LogFiles
from lake.storage.s3 import JAR_SET, S3
from lake.write.data_files import stage_rows
from lake.write.store import DeltaStore

KEYS = {"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "topsecret", "AWS_SESSION_TOKEN": "alsosecret"}
HERE = "http://127.0.0.1:9000"


def told(given: Mapping[str, str], variables: Mapping[str, str]) -> S3:
    found = S3.of("s3://bucket/lake", given, variables)
    assert found is not None
    return found


@pytest.mark.parametrize("tables", ["/srv/tables", "abfss://lake@account.dfs.core.windows.net/x", "file:///srv/s3"])
def test_other_places_need_nothing_of_it(tables: str) -> None:
    assert S3.of(tables, {}, KEYS) is None


@pytest.mark.parametrize("tables", ["s3://bucket/lake", "s3a://bucket/lake", "S3://bucket/lake"])
def test_both_names_of_s3_are_known(tables: str) -> None:
    assert S3.of(tables, {}, {}) is not None


def test_a_server_on_this_machine_is_reached_by_variables_alone() -> None:
    found = told({}, {**KEYS, "AWS_ENDPOINT_URL": HERE, "AWS_DEFAULT_REGION": "eu-central-1"})

    assert found.options == {"aws_region": "eu-central-1", "aws_endpoint_url": HERE, "aws_allow_http": "true"}
    assert found.spark == {
        "spark.hadoop.fs.s3.impl": "org.apache.hadoop.fs.s3a.S3AFileSystem",
        "spark.hadoop.fs.s3a.aws.credentials.provider": (
            "software.amazon.awssdk.auth.credentials.DefaultCredentialsProvider"
        ),
        "spark.hadoop.fs.s3a.endpoint": HERE,
        "spark.hadoop.fs.s3a.endpoint.region": "eu-central-1",
        "spark.hadoop.fs.s3a.path.style.access": "true",
    }
    assert found.keys == {}  # the JVM inherits the variables


def test_amazon_itself_is_asked_by_the_name_of_the_bucket() -> None:
    found = told({}, {"AWS_REGION": "eu-west-1", "AWS_DEFAULT_REGION": "us-west-2"})

    assert found.options == {"aws_region": "eu-west-1"}
    assert found.spark["spark.hadoop.fs.s3a.path.style.access"] == "false"
    assert "spark.hadoop.fs.s3a.endpoint" not in found.spark


@pytest.mark.parametrize("prefix", ["", "aws_", "AWS_"])
def test_storage_options_win_by_any_of_their_names(prefix: str) -> None:
    given = {f"{prefix}endpoint": "https://minio:9000", f"{prefix}region": "x", f"{prefix}token": "t"}
    found = told(given, {"AWS_ENDPOINT_URL": HERE, "AWS_REGION": "y", "AWS_ALLOW_HTTP": "true"})

    assert found.options == given
    assert found.spark["spark.hadoop.fs.s3a.endpoint"] == "https://minio:9000"
    assert found.spark["spark.hadoop.fs.s3a.endpoint.region"] == "x"
    assert found.keys == {"AWS_SESSION_TOKEN": "t"}


def test_the_endpoint_of_s3_wins_over_that_of_all_services() -> None:
    variables = {"AWS_ENDPOINT_URL": "https://other", "AWS_ENDPOINT_URL_S3": HERE}

    assert told({}, variables).endpoint == HERE


def test_who_forbids_http_or_asks_for_buckets_by_name_is_obeyed() -> None:
    found = told({"aws_virtual_hosted_style_request": "true", "aws_allow_http": "false"}, {"AWS_ENDPOINT_URL": HERE})

    assert found.options["aws_allow_http"] == "false"
    assert found.spark["spark.hadoop.fs.s3a.path.style.access"] == "false"


def test_a_mirror_is_read_from_where_the_tables_are() -> None:
    by_variables = told({}, {**KEYS, "AWS_ENDPOINT_URL": HERE})
    by_options = told({"aws_virtual_hosted_style_request": "true", "region": "x"}, {})

    keys = dict(zip(("access-key-id", "secret-access-key", "session-token"), KEYS.values(), strict=True))
    assert by_variables.iceberg == {
        "s3.endpoint": HERE, "s3.region": "us-east-1", **{f"s3.{name}": value for name, value in keys.items()},
    }  # fmt: skip
    assert by_options.iceberg == {"s3.region": "x", "s3.force-virtual-addressing": "true"}


def test_no_key_is_in_settings_of_spark_or_in_a_text() -> None:
    found = told({name.lower(): value for name, value in KEYS.items()}, {})

    assert found.keys == KEYS
    shown = f"{found} {found.spark}"
    assert not [value for value in KEYS.values() if value in shown]


def test_the_jars_are_pinned_and_bring_no_other_hadoop_netty_or_log() -> None:
    names = {f"{jar.group}:{jar.artifact}" for jar in jars_of(JAR_SET)}

    assert {"org.apache.hadoop:hadoop-aws", "software.amazon.awssdk:s3"} <= names
    assert not [
        name for name in names if name.startswith(("io.netty", "org.slf4j", "commons-", "org.apache.hadoop:hadoop-cl"))
    ]


def test_a_server_that_does_not_answer_is_one_message_within_seconds(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    options = told(
        {"aws_secret_access_key": "topsecret", "aws_access_key_id": "a"},
        {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}"},
    ).options
    store = DeltaStore("s3://bucket/lake", Landing(tmp_path), tmp_path, pytest.fail, options)
    began = time.monotonic()

    with pytest.raises(StorageUnreachable, match="Connection refused") as raised:
        store.log("s3://bucket/lake/silver/marks")

    assert time.monotonic() - began < 10
    assert f"http://127.0.0.1:{port} does not answer" in str(raised.value)
    assert "AWS_ENDPOINT_URL" in str(raised.value)
    assert len(str(raised.value).splitlines()) <= 3
    assert "topsecret" not in str(raised.value)


def test_a_large_file_is_written_through_a_url_as_a_small_one_is(tmp_path: Path) -> None:
    """By delta-rs's own file system Arrow writes only what fits into a buffer."""
    log, large = LogFiles(f"file://{tmp_path}"), b"1234567" * 1_000_000

    log.write_file("touches", large)
    staged = stage_rows(pa.table({"text": [str(n) * 9 for n in range(300_000)]}), Log(f"file://{tmp_path}"), ())
    with staged as written:
        (file,) = written.files

    assert log.read_file("touches") == large
    assert file.size == (tmp_path / file.path).stat().st_size > 1_000_000
