"""Maintain the lake of this environment, from the command line and from Dagster's schedule."""

from __future__ import annotations

from collections.abc import Mapping

from rich.console import Console

from lake.maintain import Maintained, maintain
from lakehouse_assets.environment import Environment

__all__ = ["describe", "maintain_from_command_line", "summarize"]


def maintain_from_command_line(out: Console, env: Environment) -> None:
    """Maintain every table and print one line for each that had anything to do.

    Raises:
        TableLocked: another process kept writing a table; what was done before stays done.
    """
    checkpoints = env.settings.home / "checkpoints"

    def tell(done: Maintained) -> None:
        if done.did_anything or done.note:
            out.print(f"{done.name}: {describe(done)}", soft_wrap=True)

    found = maintain(env.tables.values(), env.store, checkpoints=checkpoints, on_done=tell)
    out.print(", ".join(f"{number:,} {what}" for what, number in summarize(found).items()))


def describe(done: Maintained) -> str:
    """Say what was done to one table, in a line."""
    parts = [
        f"small files of {done.days_joined:,} days joined" if done.days_joined else "",
        f"{done.files_removed:,} files removed" if done.files_removed else "",
        f"{done.commits_removed:,} commits removed" if done.commits_removed else "",
        f"left as it is, because {done.note}" if done.note else "",
    ]
    return ", ".join(part for part in parts if part)


def summarize(done: list[Maintained]) -> Mapping[str, int]:
    """Add up what was done, by what it is."""
    return {
        "tables": len(done),
        "days with joined files": sum(one.days_joined for one in done),
        "files removed": sum(one.files_removed for one in done),
        "commits removed": sum(one.commits_removed for one in done),
    }
