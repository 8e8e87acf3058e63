"""Every message that stops something has a section of the runbook, which ends in a command that there is."""

from __future__ import annotations

import importlib
import pkgutil
import re
import shlex
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer
from typer._click.exceptions import ClickException
from typer.core import TyperGroup

import airline
import lake
from lake.commands import cli, options
from lake.commands.cli import add_extras, commands
from lake.errors import _DIAGNOSES, _UNKNOWN_CAUSE, LakeError, StreamBroken
from lake.orchestration.checks import CHECKS, RANGE_CHECKS, RUNBOOK, SINK_RUNBOOK, STREAM_CHECKS
from lake.orchestration.sensors.alerts import _RUNBOOK
from lake.orchestration.sensors.freshness import _LEFT_OUT

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
RUNS_WHEN_IMPORTED = ("__main__", "templates")


def _import_all() -> None:
    for package in (lake, airline):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not any(part in module.name for part in RUNS_WHEN_IMPORTED):
                importlib.import_module(module.name)


def _below(kind: type[LakeError]) -> list[type[LakeError]]:
    return [one for child in kind.__subclasses__() for one in (child, *_below(child))]


def every_error() -> list[type[LakeError]]:
    _import_all()
    ours = {kind for kind in _below(LakeError) if kind.__module__.split(".")[0] in ("lake", "airline")}
    return sorted(ours, key=lambda kind: kind.__name__)


@cache
def sections(page: str) -> dict[str, str]:
    """The sections of a page by their anchors, as GitHub makes them."""
    parts = re.split(r"^## ", (ROOT / page).read_text(), flags=re.MULTILINE)[1:]
    titled = (part.partition("\n") for part in parts)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-"): text for title, _, text in titled}


def refuse(page: str) -> str:
    """What is wrong with a section of the runbook; nothing where it ends in a command that there is."""
    name, _, anchor = page.partition("#")
    if anchor not in sections(name):
        return f"{page}: no such section"
    blocks = re.findall(r"^```\w*\n(.*?)^```", sections(name)[anchor], re.MULTILINE | re.DOTALL)
    if not blocks:
        return f"{page}: no command"
    typed = [line for line in blocks[-1].splitlines() if line.startswith("lakehouse ")]
    if not typed or blocks[-1].splitlines()[-1] != typed[-1]:
        return f"{page}: it does not end in a command"
    return "; ".join(filter(None, map(unparsed, typed)))


def unparsed(line: str) -> str:
    """What the command line says of a command; nothing where it takes it."""
    add_extras()
    command: Any = typer.main.get_command(commands)
    context, words = None, shlex.split(line, comments=True)[1:]
    try:
        while True:
            context = command.make_context(command.name, words, parent=context)
            if not isinstance(command, TyperGroup):
                return ""
            _, command, words = command.resolve_command(context, [*context._protected_args, *context.args])
    except typer.Exit:
        return ""  # it is one of the options that answer at once, as --version
    except ClickException as error:
        return f"{line}: {error.format_message()}"


def test_every_class_of_error_has_a_section_that_ends_in_a_command() -> None:
    errors = every_error()

    assert len(errors) > 80
    assert [kind.__name__ for kind in errors if not kind.runbook] == []
    assert sorted({said for kind in errors if (said := refuse(kind.runbook))}) == []


@pytest.mark.parametrize("title", [*(title for _, title, _ in _DIAGNOSES), _UNKNOWN_CAUSE[0]])
def test_every_reason_why_a_stream_stops_has_one(title: str) -> None:
    assert not refuse(f"docs/runbook-streams.md#{title.lower().replace(' ', '-')}")


def test_a_stream_that_stopped_names_the_section_of_what_it_said() -> None:
    full = StreamBroken("silver.flights", "java.io.IOException: No space left on device", "/lake/checkpoints")
    torn = StreamBroken(
        "silver.flights", "Record at topic a partition 0 offset 4 has timestamp value 9 overflows", "/c"
    )

    assert full.page == "docs/runbook-streams.md#the-disk-is-full"
    assert not refuse(torn.page)


def test_every_check_and_alert_has_one() -> None:
    assert RUNBOOK.keys() == {**CHECKS, **RANGE_CHECKS, **STREAM_CHECKS}.keys()
    assert [said for page in [*RUNBOOK.values(), SINK_RUNBOOK, _RUNBOOK, _LEFT_OUT] if (said := refuse(page))] == []


def test_every_exit_code_is_explained() -> None:
    said = (ROOT / "docs/runbook.md").read_text().partition("## ")[0]
    codes = {options.FAILED, options.WRONG_ARGUMENTS, options.NOT_SET_UP, options.TRY_AGAIN, options.STOPPED}

    named = re.findall(r"\b\d+\b", said.partition("0 done")[2].partition("\n\n")[0])
    assert codes <= {int(code) for code in named}


def test_a_command_that_there_is_not_is_noticed() -> None:
    assert unparsed("lakehouse refresh TABLE --no-such-option")
    assert unparsed("lakehouse repair")
    assert unparsed("lakehouse kafka repair")
    assert not unparsed("lakehouse refresh TABLE --days A..B")


def test_an_error_of_a_command_names_its_section(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli._end_with(StreamBroken("silver.flights", "ZeroDivisionError", "/c"))

    assert capfd.readouterr().err.splitlines()[-1] == "  runbook: docs/runbook-streams.md#a-stream-stopped"
