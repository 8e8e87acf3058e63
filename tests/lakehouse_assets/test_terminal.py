"""What others have written is shown on a terminal and commands nothing."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest
from rich.markup import escape
from rich.progress import Progress
from rich.table import Table as Grid

from lake.commands.log_view import LogView
from lake.commands.terminal import Terminal, plain

HOSTILE = "a\x1b]0;owned\x07\x1b[2J\x1b[31mred\x9b1A\x08\r\u202egnp.exe\x7f\x00"
OWN = re.compile(r"\x1b\[[0-9;]*m")
"""Colours, which the console itself sets."""


def control_characters(printed: str) -> set[str]:
    return {one for one in OWN.sub("", printed) if (ord(one) < 32 and one != "\n") or 127 <= ord(one) < 160}


def on_a_terminal() -> Terminal:
    return Terminal(file=io.StringIO(), force_terminal=True, width=200, color_system="truecolor")


def printed(console: Terminal) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.mark.parametrize("way", ["text", "markup", "table", "no markup", "log"])
def test_a_control_sequence_is_shown_and_not_sent(way: str, tmp_path: Path) -> None:
    console, grid = on_a_terminal(), Grid()
    grid.add_row(escape(HOSTILE))
    if way == "log":
        (tmp_path / "log").write_text(f"{HOSTILE}\n")
        view = LogView(console, ["streams"])
        view.follow("streams", tmp_path / "log")
        view.finish()
    else:
        shown = {"text": escape(HOSTILE), "markup": f"[red]{escape(HOSTILE)}[/]", "table": grid, "no markup": HOSTILE}
        console.print(shown[way], markup=way != "no markup", soft_wrap=True)

    assert control_characters(printed(console)) == set()
    assert "\u202e" not in printed(console)
    assert "gn" in printed(console)


@pytest.mark.parametrize("way", ["text", "markup", "table"])
def test_a_value_between_colons_becomes_no_picture(way: str) -> None:
    console, grid = on_a_terminal(), Grid()
    grid.add_row("a:warning:b")
    console.print({"text": "a:warning:b", "markup": "[red]a:warning:b[/]", "table": grid}[way])

    assert "a:warning:b" in printed(console)


def test_colours_and_progress_bars_still_work() -> None:
    console = on_a_terminal()
    console.print("[green]ok[/]")
    with Progress(console=console) as bar:
        bar.advance(bar.add_task("days", total=1))

    assert "\x1b[32mok\x1b[0m" in printed(console)
    assert "\x1b[?25l" in printed(console), "the cursor is hidden while the bar moves"


def test_letters_of_all_languages_and_line_ends_stay() -> None:
    assert plain("Zürich\t東京 🛫\n") == "Zürich\t東京 🛫\n"
    assert plain("\x1b[2J") == "␛[2J"
