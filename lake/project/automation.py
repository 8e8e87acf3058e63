"""Remember whether a lake runs by itself: its schedules, and reconcile.

`lakehouse up --auto` writes a file into the lake's home, `lakehouse up --no-auto` removes it. What somebody has
switched by hand in the UI stays as it was switched.
"""

from __future__ import annotations

from lake.project.settings import Settings

__all__ = ["describe_automation", "runs_by_itself", "switch_automation"]

_FILE = "runs_by_itself"


def runs_by_itself(settings: Settings) -> bool:
    """Tell whether schedules and sensors are on where nobody switched them by hand."""
    return (settings.home / _FILE).is_file()


def switch_automation(settings: Settings, *, on: bool) -> None:
    """Have schedules and sensors on, or off, from the next start of Dagster on."""
    file = settings.home / _FILE
    if on:
        file.write_text("lakehouse up --auto was asked for; lakehouse up --no-auto takes it back\n")
    else:
        file.unlink(missing_ok=True)


def describe_automation(settings: Settings) -> str:
    """Say what runs by itself, and how to change that."""
    if not runs_by_itself(settings):
        return (
            "nothing runs by itself, but for what was switched on in the UI; "
            "lakehouse up --auto switches on daily, reconcile and maintain"
        )
    alerts = "alerts" if settings.alert_urls else "no alerts (LAKEHOUSE_ALERT_URLS is not set)"
    return (
        f"runs by itself with lakehouse up: daily, reconcile, maintain, {alerts}; lakehouse up --no-auto takes it back"
    )
