"""The airline's tables as contracts of the Open Data Contract Standard."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path

import jsonschema
import pytest
import yaml
from typer.testing import CliRunner

from lake.commands.cli import commands
from tests.airline_lakes import TABLES

pytestmark = pytest.mark.slow


def test_the_command_writes_a_contract_of_every_table_that_the_standard_accepts(tmp_path: Path) -> None:
    schema = json.loads((files("open_data_contract_standard") / "schema.json").read_text())

    done = CliRunner().invoke(
        commands, ["docs", "--odcs", str(tmp_path / "contracts")], env={"LAKEHOUSE_HOME": str(tmp_path)}
    )

    assert done.exit_code == 0, done.output
    read = [yaml.safe_load(path.read_text()) for path in (tmp_path / "contracts").iterdir()]
    for contract in read:
        jsonschema.validate(contract, schema)
    assert {contract["id"] for contract in read} == set(TABLES)
