"""Is this lake in order? What `lakehouse doctor` looks at beside the machine; starts no JVM."""

from __future__ import annotations

from lake.landed import describe_unread
from lakehouse_assets.doctor import Check, guarded
from lakehouse_assets.environment import Environment, open_environment

__all__ = ["check_lake"]


def check_lake() -> list[Check]:
    """Look at what has landed. A check that itself breaks counts as failed."""
    return [guarded("landing", lambda: check_landing(open_environment()))]


def check_landing(environment: Environment) -> Check:
    """Whatever has landed is read by some table."""
    found = "; ".join(describe_unread(environment.unread()))
    remedy = "move it to landing/FEED/landed_on=YYYY-MM-DD/, or away"
    return Check("landing", not found, found or f"all of {environment.store.landing.root} is read", remedy)
