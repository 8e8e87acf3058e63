"""The contracts of the airline's tables."""

from __future__ import annotations

from lake.declare.contract import compile_contract
from tests.airline_lakes import TABLES
from tests.lake.test_contract import FACTS, one_check


def test_the_tests_of_contracts_know_every_kind_of_check_that_one_uses() -> None:
    used = {rule.check for table in TABLES.values() for rule in table.contract.rules}
    known = {rule.check for facts in FACTS.values() for rule in compile_contract(one_check(*facts)).rules}

    assert used <= known | {"not_null"}
