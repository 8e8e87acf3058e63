"""Print JSON for other programs, one object a command.

`docs/json-output.md` holds the schema of each. Each report is a dataclass: its schema is derived from the same fields
that are printed, so that neither can be without the other. A field is added under the same `version`; where one goes,
or means something else, the version grows.
"""

from __future__ import annotations

import json
import math
from datetime import date, datetime, time
from typing import Any

from rich.console import Console

from lake.commands.terminal import plain

__all__ = ["VERSION", "in_json", "print_json", "schema_of"]

VERSION = 1
"""Of all reports together."""


def print_json(out: Console, report: Any) -> None:
    """Print a report as one JSON object, whole: no line of it is wrapped."""
    from pydantic import TypeAdapter  # which commands that print no JSON do not need

    text = TypeAdapter(type(report)).dump_json(report, indent=2).decode() + "\n"
    out.file.write(plain(text) if out.is_terminal else text)


def schema_of(report: type[Any]) -> str:
    """Spell the JSON schema of a report."""
    from pydantic import TypeAdapter

    return json.dumps(TypeAdapter(report).json_schema(mode="serialization"), indent=2)


def in_json(value: Any) -> Any:
    """Return a value of a row as JSON has it.

    What JSON cannot say exactly comes as text, bytes as hexadecimal text.
    """
    match value:
        case None | bool() | int() | str():
            return value
        case float():
            return value if math.isfinite(value) else str(value)
        case date() | datetime() | time():
            return value.isoformat()
        case bytes():
            return value.hex()
        case list() | tuple():
            return [in_json(one) for one in value]
        case dict():
            return {str(in_json(key)): in_json(one) for key, one in value.items()}
    return str(value)
