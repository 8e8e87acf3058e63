"""Choose how a process compiles what it computes, and how its JVM collects garbage.

Spark generates code for each query and soon throws it away. By default half of all processor time goes into optimizing
it thoroughly.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from enum import Enum
from pathlib import Path

__all__ = ["INTERPRETED", "Work", "compiler_flags", "options_of_operator"]


class Work(Enum):
    """Say how much a process computes before it ends.

    Attributes:
        TINY: so few rows that compiling an expression takes longer than to interpret it for all of them.
        LITTLE: so few that to optimize code for them does not pay.
        MUCH: more, or not known.
        STREAMS: a few rows again and again, in several queries at once.
    """

    TINY = "tiny"
    LITTLE = "little"
    MUCH = "much"
    STREAMS = "streams"


INTERPRETED = {"spark.sql.codegen.wholeStage": "false", "spark.sql.codegen.factoryMode": "NO_CODEGEN"}
"""Settings with which Spark interprets expressions instead of generating code for them."""

# Only code that ran five times as often as by default is optimized, and no method as large as a whole query.
_THOROUGH = (
    "-XX:MaxNodeLimit=8000",
    "-XX:NodeLimitFudgeFactor=800",
    "-XX:Tier4InvocationThreshold=25000",
    "-XX:Tier4MinInvocationThreshold=3000",
    "-XX:Tier4CompileThreshold=75000",
    "-XX:Tier4BackEdgeThreshold=200000",
)
# A process that is soon over never gets back what optimizing code and threads of a collector cost. The quick compiler
# alone would have room for a fifth of the code only.
_QUICK = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-XX:ReservedCodeCacheSize=240m")
# To plan micro-batches all the time changes many pointers. G1 notes each change, the parallel collector none.
_STEADY = (*_THOROUGH, "-XX:+UseParallelGC")
_VARIABLES = ("JDK_JAVA_OPTIONS", "JAVA_TOOL_OPTIONS", "_JAVA_OPTIONS", "SPARK_SUBMIT_OPTS", "PYSPARK_SUBMIT_ARGS")
_SETTINGS = ("spark.driver.extraJavaOptions", "spark.driver.defaultJavaOptions")
_FILES = ("spark-defaults.conf", "spark-env.sh", "java-opts")
_CHOOSES = re.compile(
    r"-X(?:int|comp)\b|-XX:[+-]Use\w+GC\b|-XX:[+-]?G1|-XX:[+-]?Tiered|-XX:CompilationMode=|-XX:ReservedCodeCacheSize="
    # These name files with more options.
    r"|-XX:Flags=|-XX:VMOptionsFile=|(?<!\S)@"
)


def compiler_flags(work: Work, options: Iterable[str]) -> tuple[str, ...]:
    """Return the flags of a JVM.

    Where the operator's options may choose a collector or a compiler, none is chosen here, because a JVM that is told
    of two collectors does not start.

    Args:
        work: of the process.
        options: what `options_of_operator` finds.
    """
    if work is Work.MUCH or any(map(_CHOOSES.search, options)):
        return _THOROUGH
    return _STEADY if work is Work.STREAMS else _QUICK


def options_of_operator(conf: Mapping[str, str], environment: Mapping[str, str]) -> Iterator[str]:
    """Find the options that an operator gives to the driver's JVM.

    They are looked for in variables, in settings of Spark and in its files.

    Args:
        conf: settings of Spark that win over those of this project.
        environment: variables of this process; SPARK_CONF_DIR names a folder with files.
    """
    yield from (environment[name] for name in _VARIABLES if name in environment)
    yield from (conf[name] for name in _SETTINGS if name in conf)
    if folder := environment.get("SPARK_CONF_DIR"):
        for name in _FILES:
            with suppress(OSError):
                yield (Path(folder) / name).read_text(errors="replace")
