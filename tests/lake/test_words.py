"""How many of something there are, in words."""

import pytest

from lake.declare.words import counted, more


@pytest.mark.parametrize(
    ("said", "text"),
    [
        (counted(1, "day joined"), "1 day joined"),
        (counted(1234, "day joined"), "1,234 days joined"),
        (more(1, "table"), "1 more table"),
        (more(3, "table"), "3 more tables"),
    ],
)
def test_a_number_and_its_noun_agree(said: str, text: str) -> None:
    assert said == text
