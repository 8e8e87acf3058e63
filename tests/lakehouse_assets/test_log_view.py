"""What one view of several logs shows."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Literal

from rich.console import Console

from lake.commands.log_view import LONGEST_LINE, LogView


def view_of(log: Path, *, in_terminal: bool = False, position: int = 0, shown: str = "") -> tuple[LogView, io.StringIO]:
    screen = io.StringIO()
    colours: Literal["standard"] | None = "standard" if in_terminal else None
    view = LogView(Console(file=screen, force_terminal=in_terminal, color_system=colours, width=80), ["kafka"])
    view.follow("kafka", log, position, shown)
    return view, screen


def test_a_line_is_shown_once_it_is_complete(tmp_path: Path) -> None:
    log = tmp_path / "log"
    view, screen = view_of(log)
    view.show()
    with log.open("w") as file:
        for part, expected in (("one\ntw", "kafka | one\n"), ("o\n", "kafka | one\nkafka | two\n")):
            file.write(part)
            file.flush()
            view.show()

            assert screen.getvalue() == expected


def test_a_log_that_is_written_anew_is_read_from_its_start(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("a long line of an earlier start\n")
    view, screen = view_of(log)
    view.show()

    log.write_text("new\n")
    view.show()

    assert screen.getvalue().splitlines()[1:] == ["kafka | new"]


def test_only_lines_that_match_are_shown_and_only_from_the_position_on(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("ERROR old\nINFO noise\nERROR new\n")
    view, screen = view_of(log, position=len("ERROR old\n"), shown="ERROR")

    view.finish()

    assert screen.getvalue() == "kafka | ERROR new\n"


def test_the_colours_of_a_service_are_for_terminals(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("\033[31mred\033[0m [bold]\n")

    for in_terminal, expected in ((False, "kafka | red [bold]\n"), (True, "\033[36mkafka | \033[0m\033[31mred\033[0m")):
        view, screen = view_of(log, in_terminal=in_terminal)
        view.show()

        assert screen.getvalue().startswith(expected)


def test_a_very_long_line_is_cut(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("x" * 100_000 + "\nnext\n")
    view, screen = view_of(log)

    view.finish()

    assert screen.getvalue() == f"kafka | {'x' * LONGEST_LINE}\nkafka | next\n"
