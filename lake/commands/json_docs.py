"""Write the page of the JSON schemas: `python -m lake.commands.json_docs`.

They are the schemas of what commands print as JSON.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lake.commands.describing import Description
from lake.commands.dictionary import DataDictionary
from lake.commands.doctor import DoctorReport
from lake.commands.explaining import Explanation
from lake.commands.json_output import VERSION, schema_of
from lake.commands.planning import RefreshPlan
from lake.commands.quarantining import QuarantineReport
from lake.commands.query_output import QueryResult
from lake.commands.refreshing import RefreshReport
from lake.commands.status_report import StatusReport

__all__ = ["REPORTS", "render_page"]

REPORTS: Mapping[str, type[Any]] = {
    "status --json": StatusReport,
    "refresh --json": RefreshReport,
    "refresh --plan --json": RefreshPlan,
    "quarantine TABLE --json": QuarantineReport,
    "describe NAME --json": Description,
    "explain TABLE DAY --json": Explanation,
    "doctor --json": DoctorReport,
    "sql QUERY --json": QueryResult,
    "docs --json": DataDictionary,
}
"""What each command prints."""

_INTRO = f"""# What commands print as JSON

Each command below prints one JSON object on standard output with `--json`, and nothing else; what it has to say
meanwhile goes to standard error. Exit codes are the same with and without it. For example:

```sh
lakehouse status --json | jq -r '.problems[] | "\\(.text): \\(.next)"'
lakehouse refresh --plan --json | jq '[.runs[].days_count] | add'
lakehouse sql --json "from gold.daily_sales" | jq '.rows[0]'
```

`version` is {VERSION}. Fields may be added under the same version: pass over those that you do not know. Where one
goes, or comes to mean something else, the version grows, and the changelog says so. Days are `YYYY-MM-DD`, moments
ISO 8601 in UTC, and a field is always there: `null` or an empty list where there is nothing to say.

The schemas ([JSON Schema](https://json-schema.org), draft 2020-12) are made of the types that the commands print;
`python -m lake.commands.json_docs` writes this page, and a test holds it and the commands to it.
"""


def render_page() -> str:
    """Write the page."""
    return _INTRO + "".join(
        f"\n## lakehouse {command}\n\n```json\n{schema_of(report)}\n```\n" for command, report in REPORTS.items()
    )


if __name__ == "__main__":
    print(render_page(), end="")
