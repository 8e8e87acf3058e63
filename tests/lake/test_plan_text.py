"""A plan is read from what Spark prints, and nobody else's output is."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

import pytest

from lake.declare.plan_text import analyzed_plan

CONF = SimpleNamespace(get=lambda *_: "25", set=lambda *_: None)


class Printed:
    """A frame that prints its plan as Spark does, while another thread prints too."""

    sparkSession = SimpleNamespace(conf=CONF)  # noqa: N815  # as PySpark calls it

    def explain(self, mode: str) -> None:
        other = threading.Thread(target=lambda: print("bronze.planes 1.03 s", flush=True))
        print(f"== Parsed Logical Plan == {mode}\n== Analyzed Logical Plan ==\nRange")
        other.start()
        other.join()
        print("== Optimized Logical Plan ==\nRange")


def test_what_another_thread_prints_meanwhile_is_printed_and_no_part_of_the_plan(
    capsys: pytest.CaptureFixture[str],
) -> None:
    frame: Any = Printed()

    assert analyzed_plan(frame) == "\nRange\n"
    assert capsys.readouterr().out == "bronze.planes 1.03 s\n"
