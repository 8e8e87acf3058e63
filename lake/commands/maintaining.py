"""Maintain the lake of this environment from the command line."""

from __future__ import annotations

from rich.console import Console

from lake.batch.maintain import Maintained, describe, maintain, summarize
from lake.declare.words import counted
from lake.project.environment import Environment
from lake.project.opening import open_checkpoints
from lake.serve.publish import find_promises

__all__ = ["maintain_from_command_line"]


def maintain_from_command_line(out: Console, env: Environment) -> None:
    """Maintain every table and print one line for each that had anything to do.

    Raises:
        TableLocked: another process kept writing a table; what was done before stays done.
    """
    checkpoints = open_checkpoints(env.settings)

    def tell(done: Maintained) -> None:
        if done.did_anything or done.note:
            out.print(f"{done.name}: {describe(done)}", soft_wrap=True)

    promises = find_promises(env.sinks.values(), env.store, env.place)
    found = maintain(env.tables.values(), env.store, checkpoints=checkpoints, promises=promises, on_done=tell)
    out.print(", ".join(counted(number, what) for what, number in summarize(found).items()))
