"""`lakehouse land`: arguments, messages and exit codes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.lakehouse_assets.conftest import Lakehouse


@pytest.fixture
def planes(tmp_path: Path) -> Path:
    file = tmp_path / "planes.csv"
    file.write_text("tailnum,year\nN1,2001\n")
    return file


def test_a_file_lands_on_the_day_that_is_named_and_refresh_is_next(
    lakehouse: Lakehouse, tmp_path: Path, planes: Path
) -> None:
    home = tmp_path / "home"
    done = lakehouse(home, "land", "planes", str(planes), "--day", "2013-01-05")

    folder = home / "landing" / "planes" / "landed_on=2013-01-05"
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [f"landed 1 file in {folder}, which holds 2 rows now", "next: lakehouse refresh"]
    assert (folder / "planes.csv").read_text() == planes.read_text()

    again = lakehouse(home, "land", "planes", str(planes), "--day", "2013-01-05")
    assert (again.returncode, again.stdout) == (0, "landed before, with the same content: planes.csv\n")
    assert "bronze.reference_planes" in lakehouse(home, "status", "-v").stdout


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["plane", "FILE"], 2, "did you mean planes?"),
        (["planes", "FILE", "--day", "2013-1-5"], 2, "2024-01-31"),
        (["planes", "FILE", "--day", "1999-01-01"], 2, "the calendar has the days"),
        (["planes", "nowhere.csv", "--day", "2013-01-05"], 1, "there is no such file; nothing was copied"),
        (["planes"], 2, "Missing argument"),
    ],
)
def test_what_cannot_land_is_refused_with_the_next_step(
    lakehouse: Lakehouse, tmp_path: Path, planes: Path, arguments: list[str], code: int, said: str
) -> None:
    named = [str(planes) if word == "FILE" else word for word in arguments]
    done = lakehouse(tmp_path / "home", "land", *named)

    assert done.returncode == code
    assert said in done.stderr
    assert not (tmp_path / "home" / "landing").exists()
