"""The model of late departures: trained as of a version, measured on later days, delivered, rolled back."""

from __future__ import annotations

import base64
import json
from dataclasses import asdict
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pandas as pd
import pytest
from deltalake import write_deltalake
from pyspark.sql import SparkSession
from threadpoolctl import threadpool_limits

from airline.delay_model.assets import BETTER, MODEL, build_delay_model
from airline.delay_model.commands import Action, model
from airline.delay_model.delivering import Delivery, deliveries, put_to_work, roll_back
from airline.delay_model.errors import NoSuchModel, TooFewFlights
from airline.delay_model.forest import rates_of, train
from airline.delay_model.measuring import measure
from airline.delay_model.training_set import Split, read_training_set, split_of
from lake.declare.days import Days
from lake.errors import BadDay
from lake.orchestration.definitions import build_definitions
from lake.project.opening import open_store
from lake.project.settings import Settings
from lake.storage.landing import Landing
from lake.testing.frames import frame, rows_of
from lakehouse_assets.gold.flight_delay_features import flight_delay_features
from lakehouse_assets.gold.flight_delay_scores import NUMBERS, flight_delay_scores
from lakehouse_assets.silver.delay_models import delay_models
from tests.airline_lakes import TABLES
from tests.delay_models import BODY, delivered_line, land_model, with_id
from tests.lakes import without_spark
from tests.quiet_dagster import QUIET_DAGSTER

pytestmark = [QUIET_DAGSTER, pytest.mark.slow]

FIRST = date(2013, 1, 1)
TODAY = date(2013, 1, 25)
KEY = ["flight_date", "carrier", "flight", "origin"]
WHOLE = {"distance_miles", "scheduled_local_hour", "day_of_week", "origin_departures", "origin_departures_late"}
FLAGS = {"has_previous_leg", "previous_leg_has_departed", "previous_leg_has_arrived"}


def flown(days: int = 20, flights: int = 120, *, seed: int = 1, known: bool = True) -> pd.DataFrame:
    """Flights that are late the more often the later their previous leg was; by chance alone if nothing is known."""
    chance = np.random.default_rng(seed)
    rows = pd.DataFrame(
        [(FIRST + timedelta(days=day), number) for day in range(days) for number in range(1, flights + 1)],
        columns=["flight_date", "flight"],
    )
    rows["carrier"] = np.where(rows["flight"] % 3 == 0, "UA", "B6")
    rows["origin"] = np.where(rows["flight"] % 2 == 0, "EWR", "JFK")
    rows["dest"] = np.where(rows["flight"] % 5 == 0, "IAH", "BOS")
    for name in NUMBERS:
        if name in FLAGS:
            rows[name] = chance.random(len(rows)) < 0.5
        else:
            drawn = chance.normal(20, 25, len(rows)).round()
            rows[name] = drawn if name not in WHOLE else np.abs(drawn).clip(0, 23)
    rows.loc[chance.random(len(rows)) < 0.3, "previous_leg_arrival_delay_minutes"] = np.nan
    rows.loc[chance.random(len(rows)) < 0.1, "scheduled_local_hour"] = np.nan
    worse = rows["previous_leg_arrival_delay_minutes"].fillna(0) if known else 0
    rows["departure_delay_minutes"] = (worse + chance.normal(0, 15, len(rows))).round()
    rows["is_late"] = rows["departure_delay_minutes"] >= 15
    return rows.sort_values(KEY, ignore_index=True)


def write(root: Path, rows: pd.DataFrame) -> None:
    features, outcomes = (
        rows.drop(columns=["departure_delay_minutes", "is_late"]),
        rows[[*KEY, "departure_delay_minutes"]],
    )
    for name, table in (("gold/flight_delay_features", features), ("silver/flights", outcomes)):
        write_deltalake(str(root / "tables" / name), table, partition_by=["flight_date"], mode="overwrite")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """The airline on the morning of 25 January 2013."""
    env = {"LAKEHOUSE_HOME": str(tmp_path), "LAKEHOUSE_NOW": "2013-01-25T08:00:00Z"}
    return Settings.from_env(env)


# Training


def test_the_same_rows_give_the_same_model_and_other_rows_another() -> None:
    first, again, other = train(flown()), train(flown()), train(flown(seed=2))
    with threadpool_limits(limits=1):
        alone = train(flown())

    assert first.body == again.body == alone.body
    assert first.model_id == again.model_id
    assert first.model_id != other.model_id
    assert len(first.model_id) == 16


def test_a_model_is_numbers_and_text_without_nan_or_infinity() -> None:
    said = json.loads(train(flown()).body, parse_constant=pytest.fail)

    assert sorted(said) == ["depth", "feature_version", "features", "nodes", "prior", "rates", "roots"]
    assert len(said["roots"]) == 60


def test_rates_are_drawn_to_the_share_of_all_flights() -> None:
    rows = pd.DataFrame(
        {
            "carrier": ["UA"] * 4 + ["B6"] * 4,
            "scheduled_local_hour": [9.0, 9.0, np.nan, np.nan, 9.0, 9.0, 9.0, 9.0],
            "dest": "IAH",
            "origin": "EWR",
            "is_late": [True, True, False, False, False, False, False, False],
        }
    )

    rates = rates_of(rows)

    assert rates["carrier_hour"] == pytest.approx(
        {"UA 9": (2 + 20 * 0.25) / 22, "UA": 20 * 0.25 / 22, "B6 9": 20 * 0.25 / 24}
    )
    assert rates["dest"] == pytest.approx({"IAH": 0.25})


def test_a_model_beats_the_mean_where_there_is_something_to_know_and_not_where_there_is_nothing() -> None:
    for known in (True, False):
        rows = flown(known=known)
        is_later = rows["flight_date"] >= date(2013, 1, 16)

        found = measure(train(rows[~is_later]), rows[is_later].reset_index(drop=True))

        assert found.is_better is known
        assert found.flights == 5 * 120


@pytest.mark.spark
def test_scikit_learn_and_the_table_give_the_same_chances(spark: SparkSession) -> None:
    """Two readers of one model: its fitted object, and the transform on its text."""
    rows = flown()
    trained, asked = train(rows), rows.sample(300, random_state=1).reset_index(drop=True)
    asked.loc[0, "dest"] = "XXX"
    given = [known(row) for row in asked.drop(columns=["departure_delay_minutes", "is_late"]).to_dict("records")]
    line = delivered_line("2013-01-01", body=trained.body, model_id=trained.model_id)

    scores = flight_delay_scores(frame(spark, flight_delay_features, given), frame(spark, delay_models, [line]))

    found = {tuple(row[name] for name in KEY): row["late_probability"] for row in rows_of(scores)}
    expected = dict(
        zip(zip(*(asked[name].astype(str) for name in KEY), strict=True), trained.predict(asked), strict=True)
    )
    assert len({round(chance, 6) for chance in found.values()}) > 100
    assert {tuple(map(str, key)): chance for key, chance in found.items()} == pytest.approx(expected, abs=1e-12)


def known(row: dict[Any, Any]) -> dict[str, Any]:
    types = {field.name: field.dataType.typeName() for field in flight_delay_features.contract.schema.fields}
    values = {str(name): None if pd.isna(value) else value for name, value in row.items()}
    return {name: int(v) if v is not None and types[name] in ("integer", "long") else v for name, v in values.items()}


# Training sets


def test_the_last_quarter_of_the_days_is_held_out() -> None:
    days = [FIRST + timedelta(days=number) for number in range(21)]

    assert split_of(days) == Split(Days.parse("2013-01-01..2013-01-16"), Days.parse("2013-01-17..2013-01-21"))
    with pytest.raises(TooFewFlights):
        split_of(days[:7])


def test_a_training_set_is_read_as_of_a_version(tmp_path: Path) -> None:
    store = without_spark(tmp_path)
    write(tmp_path, flown())
    first = read_training_set(store, TODAY)
    write(tmp_path, flown(seed=2))

    newest = read_training_set(store, TODAY)
    again = read_training_set(store, TODAY, features_version=0, flights_version=0)

    assert (first.features_version, newest.features_version, again.features_version) == (0, 1, 0)
    assert train(again.learned).model_id == train(first.learned).model_id
    assert train(newest.learned).model_id != train(first.learned).model_id


def test_what_is_held_out_is_later_than_all_that_is_learned_and_already_known(tmp_path: Path) -> None:
    write(tmp_path, flown())

    rows = read_training_set(without_spark(tmp_path), date(2013, 1, 20))

    assert rows.learned["flight_date"].max() < rows.held_out["flight_date"].min()
    assert rows.held_out["flight_date"].max() == date(2013, 1, 17)  # flights of the 18th may still leave on the 20th


# Deliveries


def line() -> Delivery:
    return Delivery(**delivered_line("2013-01-25"))


def other() -> Delivery:
    return Delivery(**{**delivered_line("2013-01-25"), **with_id({**BODY, "prior": 3.0})})


def test_deliveries_are_numbered_and_a_rollback_is_one_more(tmp_path: Path) -> None:
    landing = Landing(tmp_path)
    first = put_to_work(landing, line(), TODAY, TODAY)
    second = put_to_work(landing, other(), TODAY, TODAY)

    back = roll_back(landing, TODAY)
    forth = roll_back(landing, TODAY + timedelta(days=1))

    assert [one.issue for one in deliveries(landing)] == [1, 2, 3, 4]
    assert (back.model_id, forth.model_id) == (first.model_id, second.model_id)
    assert asdict(back) == asdict(first) | {"issue": 3}
    assert forth.serves_from == "2013-01-26"
    assert roll_back(landing, TODAY, second.model_id, date(2013, 1, 5)).serves_from == "2013-01-05"


def test_a_model_that_was_changed_since_is_not_rolled_back_to(tmp_path: Path) -> None:
    landing = Landing(tmp_path)
    changed = put_to_work(landing, line(), TODAY, TODAY)
    put_to_work(landing, other(), TODAY, TODAY)
    (file, _) = sorted(tmp_path.glob("delay_models/*/*.jsonl"))
    file.write_text(file.read_text().replace("0.25", "0.75"))

    with pytest.raises(NoSuchModel, match="lakehouse model list"):
        roll_back(landing, TODAY)
    with pytest.raises(NoSuchModel):
        roll_back(landing, TODAY, changed.model_id)


def test_a_day_that_bronze_would_not_believe_is_refused(tmp_path: Path) -> None:
    for day in (TODAY + timedelta(days=1), TODAY - timedelta(days=31)):
        with pytest.raises(BadDay):
            put_to_work(Landing(tmp_path), line(), TODAY, day)
    assert deliveries(Landing(tmp_path)) == []


# The asset


def trained(instance: dg.DagsterInstance, settings: Settings) -> dg.ExecuteInProcessResult:
    definitions = build_definitions(settings, TABLES.values(), own=build_delay_model)
    job = definitions.resolve_implicit_global_asset_job_def()
    return job.execute_in_process(instance=instance, asset_selection=[MODEL], raise_on_error=False)


def test_a_run_delivers_a_model_with_its_measures_and_pictures(
    instance: dg.DagsterInstance, settings: Settings, tmp_path: Path
) -> None:
    write(tmp_path, flown())

    result = trained(instance, settings)

    (told,) = result.asset_materializations_for_node(MODEL.to_python_identifier())
    (delivered,) = deliveries(settings.landing)
    assert delivered.is_intact
    assert delivered.serves_from == "2013-01-25"
    assert told.metadata["model_id"].value == delivered.model_id
    assert told.metadata["features_version"].value == delivered.features_version == 0
    for name in ("calibration", "importance"):
        picture = str(told.metadata[name].value).partition("base64,")[2].removesuffix(")")
        assert base64.b64decode(picture).startswith(b"\x89PNG")
    (verdict,) = result.get_asset_check_evaluations()
    assert (verdict.check_name, verdict.passed) == (BETTER, True)
    assert float(str(told.metadata["model_log_loss"].value)) < float(str(told.metadata["usual_log_loss"].value))


def test_a_model_that_is_not_better_is_not_put_to_work(
    instance: dg.DagsterInstance, settings: Settings, tmp_path: Path
) -> None:
    write(tmp_path, flown(known=False))

    result = trained(instance, settings)

    assert deliveries(settings.landing) == []
    (verdict,) = result.get_asset_check_evaluations()
    assert not verdict.passed
    assert "not put to work" in str(verdict.description)


def test_too_few_days_fail_with_the_next_step(instance: dg.DagsterInstance, settings: Settings) -> None:
    result = trained(instance, settings)

    assert not result.success
    failure = result.failure_data_for_node(MODEL.to_python_identifier())
    assert failure is not None
    assert failure.user_failure_data is not None
    assert "next: lakehouse refresh" in str(failure.user_failure_data.description)


def test_the_asset_reads_features_and_outcomes(settings: Settings) -> None:
    graph = build_definitions(settings, TABLES.values(), own=build_delay_model).resolve_asset_graph()

    assert graph.get(MODEL).is_materializable
    assert {key.to_user_string() for key in graph.get(MODEL).parent_keys} == {
        "gold/flight_delay_features",
        "silver/flights",
    }


def test_the_example_retrains_by_a_schedule(settings: Settings) -> None:
    built = build_definitions(settings, TABLES.values(), own=build_delay_model)

    assert built.resolve_schedule_def("retrain").cron_schedule == "0 5 1 * *"


def test_today_is_scored_every_ten_minutes_from_what_batch_alone_computes(settings: Settings) -> None:
    built = build_definitions(settings, TABLES.values(), own=build_delay_model)
    schedule = built.resolve_schedule_def("score_today")

    (request,) = schedule.evaluate_tick(dg.build_schedule_context()).run_requests or ()

    assert {name: request.tags[f"dagster/asset_partition_range_{name}"] for name in ("start", "end")} == {
        "start": "2013-01-24",
        "end": "2013-01-25",
    }
    keys = built.resolve_job_def("score_today").asset_layer.selected_asset_keys
    names = {key.path[-1] for key in keys}
    assert {"flight_delay_scores", "flight_delay_features", "schedules", "weather", "delay_models"} <= names
    assert not names & {"departures", "arrivals", "flights", "departure_events", "arrival_events"}


# The command


def test_the_command_trains_lists_and_rolls_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path, flown())
    monkeypatch.setenv("LAKEHOUSE_HOME", str(tmp_path))
    monkeypatch.setenv("LAKEHOUSE_NOW", "2013-01-25T08:00:00Z")
    land_model(tmp_path / "landing", "2013-01-20")

    model(Action.TRAIN, learned="2013-01-01..2013-01-10", held_out="2013-01-11..2013-01-20")
    said = capsys.readouterr().out
    model(Action.ROLLBACK)
    model(Action.LIST)
    listed = capsys.readouterr().out

    assert f"{BETTER}: passed" in said
    assert "held_out: 2013-01-11..2013-01-20" in said
    assert open_store(Settings.from_env()).landing.root == tmp_path / "landing"
    assert [one.issue for one in deliveries(Landing(tmp_path / "landing"))] == [1, 2, 3]
    assert "2013-01-25" in listed
