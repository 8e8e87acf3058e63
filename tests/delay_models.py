"""Models of late departures for tests: two small trees, written by hand, and lines of the feed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = ["BODY", "FEATURES", "delivered_line", "land_model", "with_id"]

FEATURES = [
    "distance_miles", "day_of_week", "scheduled_local_hour", "has_previous_leg", "minutes_since_previous_leg",
    "previous_leg_has_departed", "previous_leg_has_arrived", "previous_leg_delay_minutes",
    "previous_leg_arrival_delay_minutes", "origin_departures", "origin_departures_late",
    "origin_departure_delay_minutes", "temperature_f", "wind_speed_mph", "visibility_miles", "precipitation_inches",
    "carrier_hour", "dest", "origin",
]  # fmt: skip


def leaf(place: int, value: float) -> Mapping[str, Any]:
    return {"feature": 0, "at_most": 0.0, "missing_left": True, "left": place, "right": place, "value": value}


def split(name: str, at_most: float, left: int, right: int, *, missing_left: bool) -> Mapping[str, Any]:
    feature = FEATURES.index(name)
    return {
        "feature": feature, "at_most": at_most, "missing_left": missing_left, "left": left, "right": right, "value": 0.0
    }  # fmt: skip


BODY: Mapping[str, Any] = {
    "feature_version": 1,
    "features": FEATURES,
    "rates": {"carrier_hour": {"UA 15": 0.5, "UA": 0.1}, "dest": {"IAH": 0.2}, "origin": {"EWR": 0.3}},
    "prior": -1.0,
    "depth": 2,
    "roots": [0, 5],
    "nodes": [
        split("previous_leg_delay_minutes", 15.0, 1, 2, missing_left=True),
        leaf(1, 0.0),
        split("carrier_hour", 0.4, 3, 4, missing_left=False),
        leaf(3, 1.0),
        leaf(4, 2.0),
        split("dest", 0.2, 6, 7, missing_left=False),
        leaf(6, 0.25),
        leaf(7, 0.5),
    ],
}
"""Late legs add 1, and 2 at an hour in which the carrier is often late; the destination adds a quarter, or half."""


def with_id(body: Mapping[str, Any]) -> dict[str, str]:
    """A body as text, and the id that it has."""
    text = json.dumps(body)
    return {"body": text, "model_id": hashlib.sha256(text.encode()).hexdigest()[:16]}


def delivered_line(serves_from: str, issue: int = 1, **changes: object) -> dict[str, Any]:
    """A line of the feed."""
    return {
        "serves_from": serves_from,
        "issue": issue,
        "trained_from": "2012-12-01",
        "trained_until": "2012-12-20",
        "held_out_until": "2012-12-28",
        "trained_on_flights": 1000,
        "features_version": 3,
        "flights_version": 4,
        "log_loss": 0.4,
        "usual_log_loss": 0.5,
        **with_id(BODY),
        **changes,
    }


def land_model(landing: Path, day: str) -> None:
    """Let the model land on a day, which is the first that it scores."""
    folder = landing / "delay_models" / f"landed_on={day}"
    folder.mkdir(parents=True)
    line = delivered_line(day)
    (folder / f"delay-model-000001-{line['model_id']}.jsonl").write_text(json.dumps(line) + "\n")
