"""The wheel, built from the repository with the locked tools: what a project installs."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = ("lake", "airline", "lakehouse_assets", "resources", "sensors", "pyproject.toml", "README.md", "LICENSE")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout, built from a copy, because a build leaves folders behind."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    source.mkdir()
    for name in SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, source / name)
    build = ["wheel", "--quiet", "--no-deps", "--no-index", "--no-build-isolation", "--wheel-dir", str(folder), "."]
    subprocess.run([sys.executable, "-m", "pip", *build], cwd=source, check=True)
    return next(folder.glob("*.whl"))


def test_the_wheel_holds_all_files_of_the_framework_and_nothing_of_its_example(wheel: Path) -> None:
    expected = {
        file.relative_to(ROOT).as_posix()
        for file in (ROOT / "lake").rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }

    held = set(zipfile.ZipFile(wheel).namelist())

    assert "lake/jars.lock" in expected
    assert expected - held == set()
    assert {name.split("/")[0] for name in held if ".dist-info/" not in name} == {"lake"}
