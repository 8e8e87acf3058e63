"""Find the archive of classes that a JVM maps into memory.

`lake.engine.class_archive` makes it.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

import pyspark

from lake.engine.java import Java

__all__ = ["archive_of", "sharing_flags"]


def archive_of(java: Java, class_path: Sequence[Path]) -> Path:
    """Return the path of the archive for this Java and these jars.

    The jars stand before Spark's own on the class path. The archive need not be there yet.
    """
    facts = [java.version, str(java.home), pyspark.__file__, pyspark.__version__]
    facts += [f"{path} {path.stat().st_mtime_ns}" for path in class_path]
    return Path(sys.prefix) / f"spark-classes-{sha256('|'.join(facts).encode()).hexdigest()[:16]}.jsa"


def sharing_flags(java: Java, class_path: Sequence[Path]) -> list[str]:
    """Return the flags that make a JVM use the archive for its jars.

    No flags where there is no such archive.
    """
    archive = archive_of(java, class_path)
    return [f"-XX:SharedArchiveFile={archive}", "-Xlog:cds=off", "-Xlog:cds+dynamic=off"] if archive.is_file() else []
