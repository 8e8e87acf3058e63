"""Build the Spark session, with a reason for every setting.

`build_session` gives a classic session with its own JVM (`master=`) or a Spark Connect session (`remote=`). The jars
come verified from `lake.engine.jars`, so starting a session never touches the network.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import psutil
import pyspark
from pyspark.sql import SparkSession

from lake.engine.compiling import INTERPRETED, Work, compiler_flags, options_of_operator
from lake.engine.jars import jars
from lake.engine.java import Java, find_java
from lake.engine.jvm import start_jvm
from lake.engine.shared_classes import sharing_flags

__all__ = ["STREAM_CONF", "build_session"]

STREAM_CONF = {
    "spark.sql.streaming.stateStore.providerClass": (
        "org.apache.spark.sql.execution.streaming.state.RocksDBStateStoreProvider"
    ),
    # Each micro-batch saves what changed instead of a snapshot: as fast as the default, and it survives large state.
    "spark.sql.streaming.stateStore.rocksdb.changelogCheckpointing.enabled": "true",
    # Seven idle queries that look for news every 10 ms keep a core busy.
    "spark.sql.streaming.pollingDelay": "200ms",
}

_LOGGING = Path(__file__).with_name("log4j2.properties")
_NONE: Mapping[str, str] = MappingProxyType({})
_GIB = 2**30
_JAVA_OPTIONS = "spark.driver.extraJavaOptions"

Conf = dict[str, bool | float | int | str | None]

_PINNED = MappingProxyType(
    {
        # The zone decides the days of timestamps, so it must not depend on the machine.
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.timestampType": "TIMESTAMP_LTZ",
        # Files that say between which times their rows lie can be skipped, but Spark's old type says nothing.
        "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
        # Rows of a file that cannot be read, or is gone, must not be missing in silence.
        "spark.sql.files.ignoreCorruptFiles": "false",
        "spark.sql.files.ignoreMissingFiles": "false",
        # An empty result must empty what it replaces.
        "spark.sql.sources.partitionOverwriteMode": "static",
        # Transforms rely on them: what cannot be cast is an error, and names are compared as SQL does.
        "spark.sql.ansi.enabled": "true",
        "spark.sql.storeAssignmentPolicy": "ANSI",
        "spark.sql.caseSensitive": "false",
        "spark.sql.legacy.javaCharsets": "true",  # else no file in windows-1252 can be read
        "spark.sql.jsonGenerator.ignoreNullFields": "true",
        # Columns change with the contract alone, and a read sees the newest commit.
        "spark.databricks.delta.schema.autoMerge.enabled": "false",
        "spark.databricks.delta.stalenessLimit": "0",
        "spark.databricks.delta.autoCompact.enabled": "false",
        # A join of streams waits for the slower one, and the last rows of a day for no more rows.
        "spark.sql.streaming.multipleWatermarkPolicy": "min",
        "spark.sql.streaming.noDataMicroBatches.enabled": "true",
    }
)
"""Settings that change rows; an operator's `spark-defaults.conf` may carry them for other programs."""


def build_session(
    *,
    app_name: str,
    master: str = "local[*]",
    remote: str | None = None,
    extra_conf: Mapping[str, str] = _NONE,
    jar_sets: Sequence[str] = ("delta",),
    work: Work = Work.MUCH,
) -> SparkSession:
    """Start a Spark session for Delta tables, or return this process's own.

    A process has one JVM: the settings that belong to the JVM (jars, memory, master) are those of the first call.

    Args:
        app_name: shown in Spark's own pages and logs.
        master: any Spark master; `local[*]` runs in this process's own JVM on all cores.
        remote: a Spark Connect endpoint ("sc://host:15002"), used instead of a master. Its server brings its own jars.
        extra_conf: settings that win over the ones chosen here.
        jar_sets: sets of jars.lock on the classpath.
        work: of this process; where it is little, the session is to start quickly rather than become fast. Streams get
            two tasks for each core of `local[*]`, because one query's short task would wait for another's long one.

    Raises:
        JarMissing, JarDamaged, JavaMissing, JavaWrong: the machine is not set up; each names the remedy.
    """
    builder = SparkSession.builder.appName(app_name)
    if remote is not None:
        return builder.remote(remote).config(map={**_query_conf(None), **extra_conf}).getOrCreate()
    is_local, cores = master.startswith("local"), _cores(master)
    paths, java = [path for name in jar_sets for path in jars(name)], find_java()
    conf = _query_conf(cores) | _delta_conf() | _driver_conf() | _jar_conf(paths, is_local=is_local)
    if is_local:
        conf |= _loopback_conf() | _local_files_conf()
        flags = compiler_flags(work, options_of_operator(extra_conf, os.environ))
        conf |= {"spark.driver.defaultJavaOptions": " ".join([*flags, *sharing_flags(java, paths)])}
    if work is Work.TINY:
        conf |= INTERPRETED
    if work is Work.STREAMS and master == "local[*]" and cores:
        master = f"local[{2 * cores}]"
    extra_conf = {**extra_conf, _JAVA_OPTIONS: _java_options(extra_conf.get(_JAVA_OPTIONS, ""))}
    _prepare_environment(java, is_local=is_local)
    start_jvm({"spark.app.name": app_name, "spark.master": master, **conf, **extra_conf})
    return builder.master(master).config(map={**conf, **extra_conf}).getOrCreate()


def _cores(master: str) -> int | None:
    """Cores of a local master, or None for a cluster."""
    match = re.fullmatch(r"local(?:\[(\*|\d+)(?:,.*)?\])?", master)
    if not match:
        return None
    if match[1] == "*":
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return int(match[1] or 1)


def _query_conf(cores: int | None) -> Conf:
    """Settings of queries, which a Spark Connect server takes as well."""
    conf: Conf = {
        **_PINNED,
        # The state of a Delta table is computed in this many tasks. Delta's 50 cost seconds on small machines.
        "spark.databricks.delta.snapshotPartitions": "2",
        # Listing the files of a read starts a Spark job from this many paths on, but we know our paths.
        "spark.sql.sources.parallelPartitionDiscovery.threshold": "100000",
    }
    if cores is None:
        return conf
    # Adapting a plan makes a job of each stage. On one machine, with a task for each core, it has nothing to improve.
    return conf | {"spark.sql.shuffle.partitions": str(cores), "spark.sql.adaptive.enabled": "false"}


def _delta_conf() -> Conf:
    return {
        "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
        "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
        # Tables are paths. No metastore, so no Derby files in whatever folder the process was started in.
        "spark.sql.catalogImplementation": "in-memory",
        "spark.sql.warehouse.dir": str(_scratch() / "warehouse"),
    }


def _jar_conf(paths: Sequence[Path], *, is_local: bool) -> Conf:
    if not paths:
        return {}
    conf: Conf = {"spark.driver.extraClassPath": os.pathsep.join(map(str, paths))}
    # Executors of a cluster get the jars from the driver. On this machine spark.jars would copy them at every start.
    return conf if is_local else conf | {"spark.jars": ",".join(map(str, paths))}


def _java_options(asked: str) -> str:
    """Return the options of the driver's JVM.

    Those that are asked for win over ours, but for the zone: code that does not ask for the session's has the JVM's.
    """
    ours = f"-Dlog4j2.configurationFile={_LOGGING.as_uri()} -Dderby.system.home={_scratch()}"
    return f"{ours} {asked} -Duser.timezone=UTC"


def _driver_conf() -> Conf:
    return {
        "spark.driver.memory": _driver_memory(),
        "spark.ui.enabled": "false",
        # The plan of each query is put into words for the page. Where nobody sees it, the short form does.
        "spark.sql.ui.explainMode": "simple",
        # Its folder need not exist here, and without it the session would not start.
        "spark.eventLog.enabled": "false",
        # Noting the line of Python behind each column expression doubles the time of a small refresh.
        "spark.python.sql.dataFrameDebugging.enabled": "false",
        "spark.sql.dataFrameQueryContext.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        # Five streams, or a dozen tables, need more than the 100 pieces of generated code that are kept by default.
        # Spark would compile the others again.
        "spark.sql.codegen.cache.maxEntries": "5000",
    }


def _driver_memory() -> str:
    """Return a third of the machine's memory, from 1 to 8 GiB."""
    third = psutil.virtual_memory().total / 3 / _GIB
    return f"{int(min(8, max(1, third)) * 1024)}m"


def _loopback_conf() -> Conf:
    return {
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.pyspark.python": sys.executable,
        "spark.submit.deployMode": "client",
    }


def _local_files_conf() -> Conf:
    """Return settings that set permissions of local files within the JVM.

    Hadoop would start a process, `chmod`, for each file that it makes.
    """
    return {
        # Tables and landing folders are named by paths alone.
        "spark.hadoop.fs.defaultFS": "file:///",
        "spark.hadoop.fs.file.impl": "com.globalmentor.apache.hadoop.fs.BareLocalFileSystem",
        # The default goes around that setting. Renaming a local file is atomic either way.
        "spark.sql.streaming.checkpointFileManagerClass": (
            "org.apache.spark.sql.execution.streaming.checkpointing.FileSystemBasedCheckpointFileManager"
        ),
    }


def _prepare_environment(java: Java, *, is_local: bool) -> None:
    """Make PySpark start the Java and the Spark of this project.

    It matters where the machine has others installed.
    """
    os.environ["JAVA_HOME"] = str(java.home)
    os.environ["SPARK_HOME"] = str(Path(pyspark.__file__).parent)
    if is_local:
        os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
        # A JVM of its own, which puts the command line together and ends.
        os.environ.setdefault("SPARK_LAUNCHER_OPTS", "-XX:TieredStopAtLevel=1")
        # Else Python functions of a transform run in the `python3` of the PATH, which need not have this environment.
        os.environ.setdefault("PYSPARK_PYTHON", sys.executable)


def _scratch() -> Path:
    """Return a folder for what Spark insists on placing somewhere.

    Nothing of value is ever in it.
    """
    user = os.getuid() if hasattr(os, "getuid") else os.environ.get("USERNAME", "user")
    return Path(tempfile.gettempdir()) / f"lakehouse-spark-{user}"
