"""`lakehouse new`: what it writes, and what it refuses."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
from typer.testing import CliRunner

from lake.commands.cli import commands
from lake.errors import BadProjectName, FolderInUse, FolderNotWritable, LakeError
from lake.project.start import start_project

SHAPE = {
    ".ci", ".gitignore", "Makefile", "README.md", "lakehouse_assets", "pyproject.toml", "resources", "sensors", "tests",
    "workspace.yaml",
}  # fmt: skip
LAYERS = ["bronze", "feeds", "gold", "silver"]


def files_of(folder: Path) -> dict[str, bytes]:
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_a_project_has_the_fixed_shape_its_own_name_and_pins_the_framework(tmp_path: Path) -> None:
    done = CliRunner().invoke(commands, ["new", str(tmp_path / "city-bikes")])

    made = tmp_path / "city-bikes"
    assert (done.exit_code, f"next: cd {made} && make demo && make test" in done.output) == (0, True)
    assert {path.name for path in made.iterdir()} == {*SHAPE, "sample"}
    assert sorted(path.name for path in (made / "lakehouse_assets").iterdir() if path.is_dir()) == LAYERS
    project = tomllib.loads((made / "pyproject.toml").read_text())
    assert project["project"]["name"] == "city-bikes"
    assert project["project"]["dependencies"] == [f"lakehouse[dagster]=={version('lakehouse')}"]
    assert (made / "README.md").read_text().startswith("# city-bikes\n")
    assert (made / ".ci" / "run").stat().st_mode & 0o111
    assert not [name for name, content in files_of(made).items() if b"@NAME@" in content or b"@VERSION@" in content]


def test_without_its_sample_a_project_is_an_empty_one(tmp_path: Path) -> None:
    start_project(tmp_path / "one" / "mine", with_sample=True)
    start_project(tmp_path / "two" / "mine", with_sample=False)
    full, empty = files_of(tmp_path / "one" / "mine"), files_of(tmp_path / "two" / "mine")

    for name in full["sample/files.txt"].decode().split():
        del full[name]

    assert full == empty
    assert {Path(name).parts[0] for name in empty} == SHAPE
    assert not [name for name, content in empty.items() if b"rides" in content or b"bicycles." in content]


@pytest.mark.parametrize("with_sample", [False, True], ids=["empty", "sample"])
def test_its_pages_name_only_targets_and_folders_that_it_has(tmp_path: Path, *, with_sample: bool) -> None:
    made = tmp_path / "mine"
    start_project(made, with_sample=with_sample)
    rules = "".join(file.read_text() for file in (made / "Makefile", made / "sample" / "sample.mk") if file.exists())
    targets = set(re.findall(r"^([a-z-]+):", rules, flags=re.MULTILINE))
    text = "".join(page.read_text() for page in made.rglob("README.md"))

    named = set(re.findall(r"(?:^|`)make ([a-z-]+)", text, flags=re.MULTILINE))
    folders = re.findall(r"^\| `([a-z_]+)/` \|", text, flags=re.MULTILINE)

    assert named <= targets
    assert ("demo" in named, "remove-sample" in named) == (with_sample, with_sample)
    assert [folder for folder in folders if not (made / folder).is_dir()] == []


def test_git_leaves_alone_what_the_example_of_a_crontab_writes(tmp_path: Path) -> None:
    start_project(tmp_path / "mine", with_sample=False)
    crontab = (Path(__file__).parents[3] / "docs" / "examples" / "crontab").read_text()
    written = set(re.findall(r"\bcron\.\w+", crontab))

    assert written == {"cron.lock", "cron.log"}
    assert written <= set((tmp_path / "mine" / ".gitignore").read_text().split())


@pytest.mark.parametrize(
    "name", ["a b", "1st", "-rf", "x;rm", "a'b", 'a"b', "ü", "a\nb", "a--b", "a.", "x" * 61, "a[b]", "@NAME@"]
)
def test_a_name_that_no_project_can_have_is_refused_and_nothing_is_written(name: str, tmp_path: Path) -> None:
    with pytest.raises(BadProjectName) as refused:
        start_project(tmp_path / name, with_sample=True)

    assert (str(refused.value).isprintable() or "\n" in str(refused.value), list(tmp_path.iterdir())) == (True, [])


def test_a_folder_that_is_not_empty_is_refused_with_the_next_step_and_stays_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("kept")
    (tmp_path / "file").write_text("kept")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")

    for name, problem in {
        "mine": "holds 'thesis.txt'",
        "file": "is a file",
        "dangling": "is a link to nothing",
    }.items():
        with pytest.raises(FolderInUse, match=problem) as refused:
            start_project(tmp_path / name, with_sample=True)
        assert "lakehouse new my-lakehouse" in str(refused.value)
    assert files_of(tmp_path) == {"mine/thesis.txt": b"kept", "file": b"kept"}


def test_an_empty_folder_is_filled_and_one_below_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    start_project(tmp_path / "mine", with_sample=False)
    (tmp_path / "file").touch()

    with pytest.raises(FolderNotWritable):
        start_project(tmp_path / "file" / "mine", with_sample=False)

    assert (tmp_path / "mine" / "pyproject.toml").is_file()
    assert issubclass(FolderNotWritable, LakeError)


@pytest.mark.parametrize("command", [["check"], ["format", "--check"]], ids=["rules", "layout"])
def test_what_is_written_is_in_the_style_that_the_project_itself_demands(tmp_path: Path, command: list[str]) -> None:
    start_project(tmp_path / "mine", with_sample=True)

    found = subprocess.run(
        [sys.executable, "-m", "ruff", *command, "--no-cache", "."],
        cwd=tmp_path / "mine",
        capture_output=True,
        text=True,
    )

    assert found.returncode == 0, found.stdout
