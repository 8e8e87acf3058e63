"""Run the dashboard under Streamlit."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from rich.console import Console

from lake.engine.packages import require_extra
from lake.engine.ports import HOST, free_ports
from lake.project.settings import Settings

__all__ = ["serve_dashboard"]


def serve_dashboard(console: Console, settings: Settings, port: int | None) -> int:
    """Serve until somebody stops it and return the exit code.

    Raises:
        ExtraNotInstalledError: there is no Streamlit.
    """
    require_extra("dashboard")
    chosen = port or free_ports(1)[0]
    console.print(f"http://{HOST}:{chosen}  ({settings.tables}; Ctrl-C ends it)", markup=False)
    script = Path(__file__).parents[1] / "dashboard" / "main.py"
    options = {
        "server.address": HOST,
        "server.port": chosen,
        "server.headless": "true",
        "server.fileWatcherType": "none",
        "browser.gatherUsageStats": "false",
        "client.toolbarMode": "minimal",
        "client.showErrorDetails": "none",
        "logger.hideWelcomeMessage": "true",
        "logger.level": "warning",
    }
    arguments = [f"--{name}={value}" for name, value in options.items()]
    process = subprocess.Popen([sys.executable, "-m", "streamlit", "run", str(script), *arguments])
    try:
        return process.wait()
    finally:
        process.terminate()
        process.wait()
