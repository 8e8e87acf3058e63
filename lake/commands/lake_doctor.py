"""Check whether this lake is in order, without a JVM.

`lakehouse doctor` looks at it beside the machine.
"""

from __future__ import annotations

from lake.commands.doctor import Check, guarded
from lake.project.environment import Environment, open_environment
from lake.storage.unread import describe_unread

__all__ = ["check_lake"]


def check_lake() -> list[Check]:
    """Look at what has landed and at the tables' logs.

    A check that itself breaks counts as failed.
    """
    return [
        guarded("landing", lambda: check_landing(open_environment())),
        guarded("logs", lambda: check_logs(open_environment())),
    ]


def check_landing(environment: Environment) -> Check:
    """Check that whatever has landed is read by some table."""
    found = "; ".join(describe_unread(environment.unread()))
    remedy = "move it to landing/FEED/landed_on=YYYY-MM-DD/, or away"
    return Check("landing", not found, found or f"all of {environment.store.landing.location} is read", remedy)


def check_logs(environment: Environment) -> Check:
    """Check that the log of every table can be read."""
    damages = [damage.message() for damage in environment.survey().unreadable]
    found = "; ".join(f"{where}: {what}" for where, what, _ in damages)
    remedy = damages[0].next_step if damages else ""
    return Check("logs", not damages, found or f"all in {environment.settings.tables} can be read", remedy)
