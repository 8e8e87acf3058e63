"""The page "your own data", followed step by step in an environment that has the wheel and knows no checkout."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.test_wheel import ROOT, installed, run, wheel

__all__ = ["installed", "wheel"]

pytestmark = [pytest.mark.packaging, pytest.mark.slow]

PAGE = ROOT / "docs" / "your-own-data.md"
FILE = re.compile(r"`([\w/.-]+\.(?:py|jsonl|csv))`")


def steps() -> Iterator[tuple[str, str]]:
    """The blocks of the page in order, up to the deployment: (file, its content), or ("", commands)."""
    followed, deployed, _ = PAGE.read_text().partition("\n## 10. Deploy\n")
    assert deployed
    said, *blocks = re.split(r"^```", followed, flags=re.MULTILINE)
    for block, after in zip(blocks[::2], blocks[1::2], strict=True):
        kind, _, text = block.partition("\n")
        files = FILE.findall(said)
        yield ("" if kind == "sh" else files[-1]), text
        said = after


def script(bin_folder: Path) -> str:
    """The whole page as one script, in which each command is shown before it runs."""
    parts = ["set -eu", f"export PATH={bin_folder}:$PATH BIN={bin_folder}"]
    for file, text in steps():
        if file:
            parts.append(f"mkdir -p \"$(dirname '{file}')\"\ncat >'{file}' <<'END-OF-FILE'\n{text}END-OF-FILE")
        else:
            parts += [f"printf '%s\\n' {shlex.quote(f'$ {line}')}\n{line}" for line in text.splitlines()]
    return "\n".join(parts) + "\n"


def test_every_step_of_the_page_passes_and_gives_what_it_says(installed: Path, tmp_path: Path) -> None:
    done = run(Path("sh"), "-c", script(installed), folder=tmp_path)

    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-3000:]
    sales = done.stdout.partition('$ lakehouse sql "from gold.daily_sales')[2]
    assert re.search(r"2024-03-04 │ +3 │ +4600 │ +0 ", sales), sales[:3000]
    assert re.search(r"2024-03-05 │ +1 │ +450 │ +2 ", sales), sales[:3000]
    assert "silver.orders                    batch 0            1 rows" in done.stdout
