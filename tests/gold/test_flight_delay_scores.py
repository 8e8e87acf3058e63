"""Flights scored by the model that was at work on their date."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from pyspark.sql import SparkSession

from lake.testing.frames import Row, broken_rules, frame, rows_of
from lakehouse_assets.gold.flight_delay_features import flight_delay_features
from lakehouse_assets.gold.flight_delay_scores import FEATURES, flight_delay_scores
from lakehouse_assets.silver.delay_models import delay_models
from tests import delay_models as written

pytestmark = pytest.mark.spark

FLIGHT = {
    "flight_date": "2013-01-05",
    "carrier": "UA",
    "flight": 100,
    "origin": "EWR",
    "dest": "IAH",
    "scheduled_local_hour": 15,
    "scheduled_departure_at": "2013-01-05T20:00:00Z",
    "has_previous_leg": True,
    "previous_leg_delay_minutes": 40,
}
OTHER = written.with_id({**written.BODY, "prior": 7.0})


def chance(raw: float) -> float:
    return 1 / (1 + math.exp(-raw))


def at_work(serves_from: str = "2013-01-01", issue: int = 1, changes: Mapping[str, object] | None = None) -> Row:
    return written.delivered_line(serves_from, issue, **(changes or {}))


def scored(spark: SparkSession, flights: Sequence[Row], models: Sequence[Row]) -> dict[object, dict[str, object]]:
    rows = flight_delay_scores(frame(spark, flight_delay_features, flights), frame(spark, delay_models, models))
    assert broken_rules(flight_delay_scores, rows) == []
    return {row["flight"]: row for row in rows_of(rows)}


def test_the_features_are_those_that_models_name() -> None:
    assert list(FEATURES) == written.FEATURES


def test_each_tree_sends_a_flight_to_one_leaf(spark: SparkSession) -> None:
    cases: dict[int, tuple[dict[str, Any], float]] = {  # flight: what is different, and what the leaves add to -1
        1: ({}, 2.0 + 0.25),
        2: ({"previous_leg_delay_minutes": 15}, 0.0 + 0.25),
        3: ({"previous_leg_delay_minutes": 16}, 2.0 + 0.25),
        4: ({"previous_leg_delay_minutes": None}, 0.0 + 0.25),
        5: ({"scheduled_local_hour": 3}, 2.0 + 0.25),  # an hour that the model has not met goes right
        6: ({"scheduled_local_hour": None}, 1.0 + 0.25),  # the carrier at an unknown hour: 0.1
        7: ({"dest": "BOS"}, 2.0 + 0.5),
    }
    flights = [FLIGHT | {"flight": flight} | changes for flight, (changes, _) in cases.items()]

    rows = scored(spark, flights, [at_work()])

    assert {flight: row["late_probability"] for flight, row in rows.items()} == pytest.approx(
        {flight: chance(-1.0 + added) for flight, (_, added) in cases.items()}, abs=1e-15
    )
    assert rows[1] | {"late_probability": None} == {
        "flight_date": "2013-01-05", "carrier": "UA", "flight": 1, "origin": "EWR",
        "scheduled_departure_at": "2013-01-05T20:00:00Z", "late_probability": None,
        "model_id": written.with_id(written.BODY)["model_id"], "feature_version": 1,
    }  # fmt: skip


def test_the_model_delivered_last_scores_from_its_first_day_on(spark: SparkSession) -> None:
    days = ["2012-12-31", "2013-01-01", "2013-01-04", "2013-01-05", "2013-01-31"]
    flights = [FLIGHT | {"flight": number, "flight_date": day} for number, day in enumerate(days, start=1)]
    first, other = at_work()["model_id"], OTHER["model_id"]

    def ids(*models: Row) -> list[object]:
        return [row["model_id"] for row in scored(spark, flights, models).values()]

    assert ids() == [None] * 5
    assert ids(at_work(), at_work("2013-01-05", 2, OTHER)) == [None, first, first, other, other]
    # rolled back from the 1st on, by a later delivery
    assert ids(at_work("2013-01-05", 2, OTHER), at_work("2013-01-01", 3)) == [None, first, first, first, first]


def test_a_model_serves_for_92_days(spark: SparkSession) -> None:
    flights = [
        FLIGHT | {"flight": number, "flight_date": day}
        for number, day in enumerate(["2013-04-02", "2013-04-03"], start=1)
    ]

    rows = scored(spark, flights, [at_work()])

    assert [row["model_id"] is None for row in rows.values()] == [False, True]


@pytest.mark.parametrize(
    "changes", [{"feature_version": 2}, {"features": ["dest", *written.FEATURES[1:]]}, {"features": None}]
)
def test_a_model_of_other_features_scores_nothing(spark: SparkSession, changes: dict[str, object]) -> None:
    other = written.with_id({**written.BODY, **changes})

    (row,) = scored(spark, [FLIGHT], [at_work(changes=other)]).values()

    assert (row["late_probability"], row["model_id"]) == (None, other["model_id"])


def test_no_flights_give_no_scores(spark: SparkSession) -> None:
    assert scored(spark, [], [at_work()]) == {}


def test_the_body_of_the_tests_is_what_is_delivered() -> None:
    assert json.loads(str(at_work()["body"])) == written.BODY
