"""What a check of a contract says for people."""

from __future__ import annotations

import pandera.pyspark as pa
import pytest

from lake.declare.stated import stated


@pytest.mark.parametrize(
    ("check", "said"),
    [
        (pa.Check.ge(0), ">= 0"),
        (pa.Check.lt(2.5), "< 2.5"),
        (pa.Check.eq("a"), "= 'a'"),
        (pa.Check.ne(1), "!= 1"),
        (pa.Check.isin(["b", "a"]), "in ['b', 'a']"),
        (pa.Check.isin(list(range(12))), "in [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, and 2 more]"),
        (pa.Check.notin([1]), "not in [1]"),
        (pa.Check.in_range(1, 5), "1 <= value <= 5"),
        (pa.Check.in_range(1, 5, include_min=False), "1 < value <= 5"),
        (pa.Check.str_length(2, 4), "length >= 2 and length <= 4"),
        (pa.Check.str_length(min_value=2), "length >= 2"),
        (pa.Check.str_length(3, 3), "length = 3"),
        (pa.Check.str_length(3), "length = 3"),
        (pa.Check.str_length(0), "length = 0"),
        (pa.Check.str_matches(r"^[A-Z]{3}\Z"), r"matches ^[A-Z]{3}\Z"),
    ],
    ids=str,
)
def test_a_check_says_what_it_states(check: pa.Check, said: str) -> None:
    assert stated(str(check.name), check.statistics or {}) == said


def test_an_own_check_says_its_name() -> None:
    assert stated("is_iban", {}) == "is_iban"
