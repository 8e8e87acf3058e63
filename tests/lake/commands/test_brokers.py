"""Which topics `lakehouse up --kafka` makes: those that the feeds of the project's tables declare."""

from __future__ import annotations

from pathlib import Path

from lake.commands.brokers import topics_of
from lake.project.settings import Settings
from tests.tiny import mark_files
from tests.tiny_topics import TABLES


def test_each_topic_that_a_table_reads_is_named_once_as_the_cluster_calls_it(tmp_path: Path) -> None:
    env = {"LAKEHOUSE_HOME": str(tmp_path), "LAKEHOUSE_LAST_DAY": "open"}
    tables = [mark_files, *TABLES.values()]

    assert topics_of(tables, Settings.from_env(env)) == ["calls", "texts"]
    assert topics_of(tables, Settings.from_env({**env, "LAKEHOUSE_KAFKA_TOPICS": "calls=calls_2"})) == [
        "calls_2", "texts",
    ]  # fmt: skip
    assert topics_of([mark_files], Settings.from_env(env)) == []
