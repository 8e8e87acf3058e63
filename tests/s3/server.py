"""A real S3 server on 127.0.0.1 that knows one key, and what lies in it, read by Amazon's own client."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import boto3
import pyarrow.parquet as pq
from botocore.exceptions import BotoCoreError

from lake.engine.ports import free_ports

__all__ = ["BUCKET", "REGION", "Server", "rows_of_log", "running"]

BUCKET, REGION = "lakehouse", "eu-central-1"
_MAY_ALL = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}
_REQUESTS_WITHOUT_A_KEY = 4
_STARTS_WITHIN_SECONDS = 60


@dataclass(frozen=True)
class Server:
    """A running server.

    Attributes:
        url: where it listens.
        key: the one that it takes.
        secret: of the key.
    """

    url: str
    key: str
    secret: str

    @property
    def variables(self) -> dict[str, str]:
        """All that a user sets."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_REGION": REGION,
            "AWS_ACCESS_KEY_ID": self.key,
            "AWS_SECRET_ACCESS_KEY": self.secret,
        }

    def client(self, service: str = "s3") -> Any:
        return _client(service, self.url, self.key, self.secret)

    def reader(self, prefix: str) -> Callable[[str], bytes | None]:
        """What reads the objects below a prefix."""
        client = self.client()

        def read(name: str) -> bytes | None:
            try:
                body: bytes = client.get_object(Bucket=BUCKET, Key=f"{prefix}/{name}")["Body"].read()
            except client.exceptions.NoSuchKey:
                return None
            return body

        return read


def _client(service: str, url: str, key: str, secret: str) -> Any:
    keys = {"aws_access_key_id": key, "aws_secret_access_key": secret}
    return boto3.client(service, endpoint_url=url, region_name=REGION, **keys)


@contextmanager
def running(log: Path) -> Iterator[Server]:
    """Run a server with an empty bucket; it refuses every other key."""
    (port,) = free_ports(1)
    command = [str(Path(sys.executable).with_name("moto_server")), "-H", "127.0.0.1", "-p", str(port)]
    env = os.environ | {"INITIAL_NO_AUTH_ACTION_COUNT": str(_REQUESTS_WITHOUT_A_KEY)}
    with log.open("wb") as said:
        process = subprocess.Popen(command, env=env, stdout=said, stderr=said)
    try:
        yield _prepared(f"http://127.0.0.1:{port}", process)
    finally:
        process.terminate()
        process.wait()


def _prepared(url: str, process: subprocess.Popen[bytes]) -> Server:
    iam = _client("iam", url, "first", "first")
    deadline = time.monotonic() + _STARTS_WITHIN_SECONDS
    while True:
        try:
            iam.create_user(UserName="lake")
            break
        except BotoCoreError:
            assert process.poll() is None, "the server has ended"
            assert time.monotonic() < deadline, "the server does not answer"
            time.sleep(0.2)
    key = iam.create_access_key(UserName="lake")["AccessKey"]
    iam.put_user_policy(UserName="lake", PolicyName="all", PolicyDocument=json.dumps(_MAY_ALL))
    where = {"LocationConstraint": REGION}
    _client("s3", url, "first", "first").create_bucket(Bucket=BUCKET, CreateBucketConfiguration=where)
    return Server(url, key["AccessKeyId"], key["SecretAccessKey"])


_TIME = re.compile(r'"_?landed_at":(?:null|"[^"]*"),?')
"""The time of landing in the JSON of a row that was rejected."""


def rows_of_log(read: Callable[[str], bytes | None]) -> list[str]:
    """The rows of a Delta table by its log and its files alone, as text in order; no code of the lake and no delta-rs.

    Without the time at which a file landed, which is another one where the file is a copy.

    Args:
        read: gives a file of the table by its name; None where there is none.
    """
    files: dict[str, Mapping[str, str | None]] = {}
    version = 0
    while (commit := read(f"_delta_log/{version:020d}.json")) is not None:
        for action in map(json.loads, commit.splitlines()):
            if "add" in action:
                files[action["add"]["path"]] = action["add"]["partitionValues"]
            elif "remove" in action:
                del files[action["remove"]["path"]]
        version += 1
    return sorted(row for path, partition in files.items() for row in _rows(read(unquote(path)), partition))


def _rows(content: bytes | None, partition: Mapping[str, str | None]) -> Iterator[str]:
    assert content is not None, "the log names a file that is not there"
    for row in pq.ParquetFile(io.BytesIO(content)).read().to_pylist():
        told = {name: _TIME.sub("", value) if name == "row" else value for name, value in row.items()}
        yield repr(sorted({name: v for name, v in {**told, **partition}.items() if name != "landed_at"}.items()))
