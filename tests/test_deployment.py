"""The deployment of the docs: each call names the environment, and the pages agree on who owns what and where."""

from __future__ import annotations

import re
import runpy
import subprocess
import sys
import textwrap
import types
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from lake.project.settings import Settings
from lake.project.start import start_project

DOCS = Path(__file__).parents[1] / "docs"
EXAMPLES = DOCS / "examples"
CALLS = re.compile(r"\blakehouse (refresh|up)\b")
ENVIRONMENT = "LAKEHOUSE_ENVIRONMENT=production"


def deployment() -> str:
    """The step of the page that deploys."""
    _, begun, after = (DOCS / "your-own-data.md").read_text().partition("\n## 10. Deploy\n")
    assert begun
    return after.partition("\n# ")[0]


def blocks(kind: str) -> list[str]:
    """The blocks of a kind in that step, without their indentation."""
    found = re.findall(rf"^( *)```{kind}\n(.*?)^\1```$", deployment(), flags=re.MULTILINE | re.DOTALL)
    return [textwrap.dedent(text) for _, text in found]


@pytest.mark.parametrize("name", ["lakehouse.service", "lakehouse-up.service"])
def test_a_unit_names_the_environment_and_where_secrets_are(name: str) -> None:
    lines = (EXAMPLES / name).read_text().splitlines()

    assert [line for line in lines if line.startswith("ExecStart=") and CALLS.search(line)]
    assert f"Environment={ENVIRONMENT}" in lines
    assert "EnvironmentFile=-/etc/lakehouse/secrets" in lines


def test_the_crontab_names_the_environment_before_its_first_line() -> None:
    said = [line for line in (EXAMPLES / "crontab").read_text().splitlines() if line and line[0] != "#"]

    assert said[0] == ENVIRONMENT
    assert all(CALLS.search(line) for line in said[1:])


def test_the_dag_gives_its_command_the_environment_that_a_variable_of_airflow_names(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[Any] = []
    ran: list[dict[str, str]] = []

    class Operator:
        def __init__(self, **kwargs: object) -> None:
            made.append(self)

    class Hook:
        def run_command(self, command: list[str], env: dict[str, str], cwd: str) -> types.SimpleNamespace:
            ran.append(env)
            return types.SimpleNamespace(exit_code=0)

    class Anything:
        def __init__(self, *args: object, **kwargs: object) -> None: ...
        def __enter__(self) -> None: ...
        def __exit__(self, *error: object) -> None: ...

    stubs: dict[str, dict[str, object]] = {
        "airflow": {},
        "airflow.sdk": {"BaseOperator": Operator}
        | dict.fromkeys(("DAG", "Context", "CronDataIntervalTimetable", "Param"), Anything),
        "airflow.sdk.exceptions": {"AirflowException": Exception, "AirflowFailException": Exception},
        "airflow.providers": {},
        "airflow.providers.standard": {},
        "airflow.providers.standard.hooks": {},
        "airflow.providers.standard.hooks.subprocess": {"SubprocessHook": Hook},
    }
    for name, holds in stubs.items():
        module = types.ModuleType(name)
        vars(module).update(holds)
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setenv("OF_THE_WORKER", "kept")

    runpy.run_path(str(EXAMPLES / "airflow_dag.py"))
    [task] = made
    assert "environment" in task.template_fields
    task.execute({})

    assert ran[0]["LAKEHOUSE_ENVIRONMENT"] == "{{ var.value.lakehouse_environment }}"
    assert ran[0]["OF_THE_WORKER"] == "kept"
    assert "export AIRFLOW_VAR_LAKEHOUSE_ENVIRONMENT=production" in (DOCS / "schedulers.md").read_text()


def test_every_example_that_calls_the_command_is_looked_at() -> None:
    calling = {file.name for file in EXAMPLES.iterdir() if CALLS.search(file.read_text())}

    assert calling == {"crontab", "lakehouse.service", "lakehouse-up.service"}
    assert {file.name for file in EXAMPLES.iterdir()} - calling == {"airflow_dag.py", "lakehouse.timer"}


def test_the_page_switches_to_production_before_it_calls_the_command_there() -> None:
    lines = [line for block in blocks("sh") for line in block.splitlines()]
    first = next(place for place, line in enumerate(lines) if line.startswith("lakehouse "))

    assert [line for line in lines[:first] if line.startswith("export ") and ENVIRONMENT in line]
    assert not [line for line in lines if ".venv/bin/lakehouse" in line]


def test_the_blocks_of_the_deployment_are_commands_of_a_shell() -> None:
    for block in blocks("sh"):
        read = subprocess.run(["bash", "-n"], input=block, capture_output=True, text=True)
        assert (read.returncode, read.stderr) == (0, ""), block


def test_the_settings_of_production_are_taken_and_their_home_is_made_for_the_user(tmp_path: Path) -> None:
    start_project(tmp_path / "shop", with_sample=False)
    file = tmp_path / "shop" / "pyproject.toml"
    scaffold = Settings.from_env({"LAKEHOUSE_PROJECT": str(file.parent), "LAKEHOUSE_ENVIRONMENT": "production"})
    (shown,) = blocks("toml")
    shown = re.sub(r"^# (?=\w+ = )", "", shown, flags=re.MULTILINE)  # those to choose from, too
    table = re.escape("[tool.lakehouse.environments.production]")
    file.write_text(re.sub(rf"{table}\n.*?\n\n", lambda _: f"{shown}\n", file.read_text(), flags=re.DOTALL))

    production = Settings.from_env({"LAKEHOUSE_PROJECT": str(file.parent), "LAKEHOUSE_ENVIRONMENT": "production"})

    assert production.alert_urls
    assert production.home == scaffold.home == Path("/var/lib/shop")
    made = [line for block in blocks("sh") for line in block.splitlines() if "install -d" in line]
    assert [line.partition(" #")[0].split() for line in made] == [
        ["sudo", "install", "-d", "-o", "lakehouse", "-g", "lakehouse", "/var/lib/shop"]
    ]


def test_no_page_has_its_home_in_the_checkout() -> None:
    pages = [*DOCS.glob("*.md"), *(DOCS.parent / "lake").rglob("*.py")]

    assert [page.name for page in pages if re.search(r'home = "/srv/lakehouse', page.read_text())] == []


def test_the_page_names_the_wheel_as_it_is_called() -> None:
    named = re.findall(r"[\w.-]+\.whl", (DOCS / "your-own-data.md").read_text())

    assert set(named) == {f"lakehouse-{version('lakehouse')}-py3-none-any.whl"}
