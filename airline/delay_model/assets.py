"""Build the Dagster asset of the model of late departures.

Its runs deliver the feed `delay_models`, and say how good the model is.
"""

# No `from __future__ import annotations` here: Dagster reads the annotations of the functions below.
from collections.abc import Sequence
from datetime import date
from typing import Any

import dagster as dg

from lake.declare.days import Days
from lake.declare.graph import with_upstream
from lake.declare.table import Table, is_followable
from lake.errors import LakeError
from lake.orchestration.keys import asset_key
from lake.orchestration.resource import Lakehouse
from lake.project.settings import Settings
from lakehouse_assets.gold.flight_delay_features import flight_delay_features
from lakehouse_assets.gold.flight_delay_scores import flight_delay_scores
from lakehouse_assets.silver.flights import flights
from sensors.retraining import build_retraining
from sensors.scoring import build_scoring

__all__ = ["BETTER", "MODEL", "Training", "build_delay_model"]

MODEL = dg.AssetKey(["models", "delay_model"])
BETTER = "better_than_usual"


class Training(dg.Config):
    """The choices of a run.

    They are texts as `lakehouse --days` takes them, empty for the default.
    """

    learned: str = ""
    held_out: str = ""
    serves_from: str = ""


def build_delay_model(settings: Settings, tables: Sequence[Table]) -> dg.Definitions:
    """Build the asset that trains, its check and its schedules.

    Nothing is built where the tables that it reads are left out.
    """
    if not {flight_delay_features, flights} <= set(tables):
        return dg.Definitions()

    @dg.asset(
        key=MODEL,
        deps=[asset_key(flight_delay_features), asset_key(flights)],
        check_specs=[dg.AssetCheckSpec(BETTER, asset=MODEL, description=BETTER_PROMISE)],
        group_name="models",
        owners=["team:data-science"],
        kinds={"scikitlearn"},
        description=HOW,
    )
    def train_delay_model(config: Training, lakehouse: Lakehouse) -> dg.MaterializeResult:  # type: ignore[type-arg]  # Dagster knows it without only, where there are checks
        try:
            return _train(config, lakehouse, settings)
        except LakeError as error:
            raise dg.Failure(str(error), allow_retries=False) from error

    schedules = [build_retraining(MODEL)]
    if flight_delay_scores in tables:
        read = with_upstream([flight_delay_scores])
        schedules.append(
            build_scoring(settings, [table for table in tables if table in read and not is_followable(table)])
        )
    return dg.Definitions(assets=[train_delay_model], schedules=schedules)


BETTER_PROMISE = (
    "On the held-out days the model is better than the mean of carrier and hour, by log loss and Brier score."
)
HOW = (
    "The model of late departures. Each run delivers one to the feed `delay_models`. It learns from features and "
    "outcomes as of the newest versions of their tables, on all days but the last quarter, and is measured on these. "
    "A model that is not better than the mean of carrier and hour is not put to work."
)


def _train(config: Training, lakehouse: Lakehouse, settings: Settings) -> dg.MaterializeResult[None]:
    # scikit-learn and matplotlib take seconds to import, and only training needs them.
    from airline.delay_model.delivering import new_delivery, put_to_work
    from airline.delay_model.forest import train
    from airline.delay_model.measuring import measure
    from airline.delay_model.training_set import Split, read_training_set

    today = settings.today()
    split = Split(Days.parse(config.learned), Days.parse(config.held_out)) if config.learned else None
    serves_from = date.fromisoformat(config.serves_from) if config.serves_from else today
    rows = read_training_set(lakehouse.store(), today, split)
    model = train(rows.learned)
    measures = measure(model, rows.held_out)
    delivery = new_delivery(model, rows, measures, serves_from)
    if measures.is_better:
        delivery = put_to_work(settings.landing, delivery, today, serves_from)
    return dg.MaterializeResult(
        metadata=_metadata(delivery, measures, model, rows),
        check_results=[_verdict(measures)],
    )


def _metadata(delivery: Any, measures: Any, model: Any, rows: Any) -> dict[str, Any]:
    from airline.delay_model.measuring import draw_calibration, draw_importance

    return {
        "model_id": delivery.model_id,
        "issue": delivery.issue,
        "serves_from": delivery.serves_from,
        "learned": str(rows.split.learned),
        "held_out": str(rows.split.held_out),
        "flights_learned": len(rows.learned),
        "flights_held_out": measures.flights,
        "features_version": delivery.features_version,
        "flights_version": delivery.flights_version,
        "late_share": round(measures.late, 4),
        **{f"model_{name}": round(value, 4) for name, value in vars(measures.model).items()},
        **{f"usual_{name}": round(value, 4) for name, value in vars(measures.usual).items()},
        "calibration": dg.MetadataValue.md(draw_calibration(model, rows.held_out)),
        "importance": dg.MetadataValue.md(draw_importance(model, rows.held_out)),
    }


def _verdict(measures: Any) -> dg.AssetCheckResult:
    said = (
        f"log loss {measures.model.log_loss:.4f} against {measures.usual.log_loss:.4f}, "
        f"Brier score {measures.model.brier:.4f} against {measures.usual.brier:.4f}"
    )
    return dg.AssetCheckResult(
        check_name=BETTER,
        passed=measures.is_better,
        description=said if measures.is_better else f"{said}; the model was not put to work",
        metadata={"log_loss": measures.model.log_loss, "usual_log_loss": measures.usual.log_loss},
    )
