"""Keep Spark's classes ready for the JVM, so that Spark starts faster.

It starts in two thirds of the time. A JVM reads, checks and links some 20,000 classes before the first row of a Delta
table is written. Java can keep the result in an archive and map it into memory at every later start (application
class-data sharing, JEP 350). Set-up makes one beside the Python environment by running what every table needs: files
read, rows grouped and joined, Delta tables written and merged, streams with state. Without an archive, or with one that
does not fit, Java loads the classes as ever; so its name says for which Java and which jars it is.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lake.engine.jars import jars
from lake.engine.java import find_java
from lake.engine.session import STREAM_CONF, build_session
from lake.engine.settings_meanwhile import set_all
from lake.engine.shared_classes import archive_of
from lake.errors import LakeError

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

__all__ = ["main"]

_JAR_SET = "delta"
"""Sessions with other jars start without an archive: it fits one class path only."""

_KEY = "part string, id long, said_at timestamp"
_WITHIN_SECONDS = 300


def _make(archive: Path) -> None:
    """Make the archive, if this Java can.

    A JVM writes the archive when it ends, so one is started for it alone. It appears in one step.
    """
    with tempfile.TemporaryDirectory(prefix=".classes-", dir=archive.parent) as folder:
        written = Path(folder) / archive.name
        command = [sys.executable, "-m", "lake.engine.class_archive", str(written)]
        subprocess.run(command, capture_output=True, timeout=_WITHIN_SECONDS, check=False)
        if written.is_file():
            for old in archive.parent.glob("spark-classes-*.jsa"):
                old.unlink(missing_ok=True)
            written.replace(archive)


def _run_and_dump(written: Path) -> None:
    """Run in a JVM of its own what is to be archived.

    Waits until that JVM has ended.
    """
    dump = {"spark.driver.defaultJavaOptions": f"-XX:ArchiveClassesAtExit={written}"}
    spark = build_session(app_name="classes", jar_sets=(_JAR_SET,), extra_conf=dump)
    with tempfile.TemporaryDirectory() as folder:
        _exercise(spark, Path(folder))
    gateway = spark.sparkContext._gateway
    assert gateway is not None
    jvm: subprocess.Popen[bytes] = gateway.proc
    spark.stop()
    gateway.shutdown()
    assert jvm.stdin is not None
    jvm.stdin.close()
    jvm.wait(_WITHIN_SECONDS)


def _exercise(spark: SparkSession, folder: Path) -> None:
    table, lines = str(folder / "table"), folder / "lines"
    _write_lines(spark, lines)
    rows = spark.read.schema(_KEY).json(str(lines))
    _newest(rows).write.format("delta").partitionBy("part").save(table)
    stored = spark.read.format("delta").option("versionAsOf", 0).load(table)
    stored.join(rows, on=["part", "id"], how="left").groupBy("part").agg({"id": "sum"}).collect()
    _newest(stored).write.partitionBy("part").parquet(str(folder / "files"))
    _stream(spark, lines, folder)


def _write_lines(spark: SparkSession, lines: Path) -> None:
    parts = "CASE WHEN id % 2 = 0 THEN 'a' ELSE 'b' END AS part"
    spark.range(100).selectExpr(parts, "id", "timestamp'2024-01-01 00:00:00' AS said_at").write.json(str(lines))


def _newest(rows: DataFrame) -> DataFrame:
    """Return the last row of each key, by a window.

    Every keyed table has such a window.
    """
    place = "row_number() OVER (PARTITION BY part, id ORDER BY said_at DESC) AS place"
    return rows.selectExpr("*", place).where("place = 1 AND part = 'a'").drop("place")


def _stream(spark: SparkSession, lines: Path, folder: Path) -> None:
    """Count rows of files in a stream, with the settings of `follow`.

    The files are written one by one.
    """
    set_all(spark, STREAM_CONF)
    read = spark.readStream.schema(_KEY).json(str(lines)).withWatermark("said_at", "1 hour")
    hours = read.groupBy("part", "said_at").count().selectExpr("part", "count AS id", "said_at")
    writer = hours.writeStream.outputMode("update").option("checkpointLocation", str(folder / "checkpoint"))
    writer = writer.foreachBatch(_write_batch(folder)).trigger(availableNow=True)
    writer.start().awaitTermination(_WITHIN_SECONDS)


def _write_batch(folder: Path) -> Callable[[DataFrame, int], None]:
    return lambda rows, batch: rows.write.partitionBy("part").parquet(str(folder / f"batch-{batch}"))


def main(arguments: Sequence[str]) -> int:
    """Make the archive: `python -m lake.engine.class_archive`.

    With a path as argument, be the process that writes it.
    """
    if arguments:
        _run_and_dump(Path(arguments[0]))
        return 0
    started = time.monotonic()
    try:
        archive = archive_of(find_java(), jars(_JAR_SET))
        if is_new := not archive.is_file():
            _make(archive)
    except LakeError as problem:
        print(f"\n{problem}", file=sys.stderr)
        return 1
    except (OSError, subprocess.SubprocessError) as problem:
        print(f"classes: no archive ({problem}); Spark starts without it, some seconds later")
        return 0
    if not archive.is_file():
        print("classes: this Java gives no archive; Spark starts without it, some seconds later")
    else:
        size = archive.stat().st_size / 2**20
        made = f"made in {time.monotonic() - started:.0f} s" if is_new else "there"
        print(f"classes: archive of {size:.0f} MiB {made}, for a quicker start of Spark")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
