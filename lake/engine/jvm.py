"""Start the JVM of this process.

What it says is passed on, but for one line that nobody can act on.

Spark's launcher asks for a module that Java calls incubating, for its machine learning alone, and Java warns of it
before any setting is read.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from threading import Thread

from pyspark import SparkConf, SparkContext
from pyspark.java_gateway import launch_gateway
from pyspark.sql.utils import to_str

__all__ = ["start_jvm"]

_NOISE = b"WARNING: Using incubator modules"


def start_jvm(conf: Mapping[str, object]) -> None:
    """Start the JVM with these settings, unless this process has one."""
    if SparkContext._gateway is not None:
        return
    said, heard = os.pipe()
    settings = SparkConf(loadDefaults=False).setAll([(name, str(to_str(value))) for name, value in conf.items()])
    try:
        gateway = launch_gateway(settings, {"stderr": heard})  # type: ignore[no-untyped-call]  # of PySpark
    finally:
        os.close(heard)
        Thread(target=_pass_on, args=(said,), name="what the JVM says", daemon=True).start()
    SparkContext._ensure_initialized(gateway=gateway)


def _pass_on(said: int) -> None:
    """Copy lines to standard error until the JVM has ended."""
    with os.fdopen(said, "rb") as lines:
        for line in lines:
            if not line.startswith(_NOISE):
                os.write(2, line)
