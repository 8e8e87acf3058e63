"""What an environment variable means."""

from __future__ import annotations

import pytest

from resources.settings import BadSettingError, Settings


def test_a_feed_may_have_a_topic_of_another_name() -> None:
    assert Settings.from_env({}).kafka_topics == {}
    found = Settings.from_env({"LAKEHOUSE_KAFKA_TOPICS": "departures=departures_2, arrivals = arrivals_7"})
    assert found.kafka_topics == {"departures": "departures_2", "arrivals": "arrivals_7"}


@pytest.mark.parametrize("text", ["departures", "departures=", "=a", "a=b=c"])
def test_topics_that_cannot_be_read_are_refused(text: str) -> None:
    with pytest.raises(BadSettingError, match="LAKEHOUSE_KAFKA_TOPICS"):
        Settings.from_env({"LAKEHOUSE_KAFKA_TOPICS": text})
