"""Reach a lake on S3.

delta-rs commits to it, and Spark reads and writes its files.

Both go by the variables `AWS_...`, as all programs of this kind do; storage options win over them. Keys are handed to
Spark's JVM in its environment alone, because command lines and settings of Spark are shown to others.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from lake.storage.location import scheme_of

__all__ = ["JAR_SET", "S3", "SCHEMES", "options_of"]

JAR_SET = "s3"
"""The jars with which Spark reads and writes S3."""
SCHEMES = frozenset({"s3", "s3a"})
VENDOR = re.compile(r"^(aws|azure_storage|azure|google)_")
"""What options of delta-rs may begin with."""

_FILE_SYSTEM = "org.apache.hadoop.fs.s3a.S3AFileSystem"
_CREDENTIALS = "software.amazon.awssdk.auth.credentials.DefaultCredentialsProvider"
_OTHER_NAMES = {"endpoint": "endpoint_url", "default_region": "region", "token": "session_token"}
_KEYS = ("access_key_id", "secret_access_key", "session_token")
_REGION = "us-east-1"
"""Where nobody says one: servers other than Amazon's take any."""


def _named(options: Mapping[str, str]) -> dict[str, str]:
    """Options by one name each, of the many that delta-rs takes."""
    short = {VENDOR.sub("", name.lower()): value for name, value in options.items()}
    return {_OTHER_NAMES.get(name, name): value for name, value in short.items()}


@dataclass(frozen=True)
class S3:
    """The options of one store.

    Attributes:
        given: storage options, as delta-rs takes them.
        variables: environment of the process.
    """

    given: Mapping[str, str] = field(repr=False)
    variables: Mapping[str, str] = field(repr=False)

    @classmethod
    def of(cls, tables: str, given: Mapping[str, str], variables: Mapping[str, str]) -> S3 | None:
        """Return the options of a lake, None where its tables lie elsewhere."""
        return cls(given, variables) if scheme_of(tables) in SCHEMES else None

    def _option(self, name: str) -> str | None:
        for found in (_named(self.given), self._variables):
            if found.get(name):
                return found[name]
        return None

    @property
    def _variables(self) -> dict[str, str]:
        told = {name: value for name, value in self.variables.items() if name.startswith("AWS_")}
        found = _named(told)
        own = {"endpoint_url": told.get("AWS_ENDPOINT_URL_S3"), "region": told.get("AWS_REGION")}
        return found | {name: value for name, value in own.items() if value}

    @property
    def endpoint(self) -> str | None:
        """The server, None for Amazon's own."""
        return self._option("endpoint_url")

    @property
    def region(self) -> str:
        """The region of the bucket."""
        return self._option("region") or _REGION

    @property
    def options(self) -> dict[str, str]:
        """The options for delta-rs.

        It finds the keys by itself where they are not among the storage options.
        """
        said = {"region": self.region} | ({"endpoint_url": self.endpoint} if self.endpoint else {})
        if (self.endpoint or "").startswith("http://") and self._option("allow_http") is None:
            said["allow_http"] = "true"
        known = _named(self.given)
        return {**self.given, **{f"aws_{name}": value for name, value in said.items() if name not in known}}

    @property
    def spark(self) -> dict[str, str]:
        """Settings of Spark, without any key."""
        is_hosted = self._option("virtual_hosted_style_request") or str(self.endpoint is None)
        conf = {
            "s3.impl": _FILE_SYSTEM,
            "s3a.aws.credentials.provider": _CREDENTIALS,
            "s3a.endpoint.region": self.region,
            "s3a.path.style.access": str(is_hosted.lower() != "true").lower(),
        }
        conf |= {"s3a.endpoint": self.endpoint} if self.endpoint else {}
        return {f"spark.hadoop.fs.{name}": value for name, value in conf.items()}

    @property
    def iceberg(self) -> dict[str, str]:
        """Properties for PyIceberg, which reads files of the tables.

        It finds the keys by itself where nobody has told them.
        """
        said = {"endpoint": self.endpoint, "region": self.region}
        said |= {name.replace("_", "-"): self._option(name) for name in _KEYS}
        said |= {"force-virtual-addressing": self._option("virtual_hosted_style_request")}
        return {f"s3.{name}": value for name, value in said.items() if value}

    @property
    def keys(self) -> dict[str, str]:
        """Variables for the process of Spark: keys that only the storage options name."""
        known = _named(self.given)
        return {f"AWS_{name.upper()}": known[name] for name in _KEYS if name in known}


def options_of(location: str, given: Mapping[str, str]) -> Mapping[str, str]:
    """Return the options by which delta-rs reads a place.

    Those of S3 are completed by the variables of this process.
    """
    store = S3.of(location, given, os.environ)
    return store.options if store else given
