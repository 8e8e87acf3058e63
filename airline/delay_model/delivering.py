"""Put a model to work: deliver it to the feed `delay_models`.

This is done after training or as a rollback. A delivery is a file of one JSON line. What is read back is believed only
where the model has the hash that its id says.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from airline.delay_model.errors import NoSuchModel
from lake.declare.claims import PLAUSIBLE_DAYS
from lake.errors import BadDay
from lake.storage.deliver import deliver
from lake.storage.landing import Landing
from lake.storage.store_path import AnyPath
from lakehouse_assets.feeds.delay_models import delay_models
from lakehouse_assets.silver.delay_models import ID_LENGTH

if TYPE_CHECKING:  # they need scikit-learn, and a rollback does not
    from airline.delay_model.forest import Model
    from airline.delay_model.measuring import Measures
    from airline.delay_model.training_set import TrainingSet

__all__ = ["Delivery", "deliveries", "id_of", "new_delivery", "put_to_work", "roll_back"]

_FILE = re.compile(r"delay-model-(\d{6})-[0-9a-f]+\.jsonl")


@dataclass(frozen=True)
class Delivery:
    """A line of the feed.

    `lakehouse_assets.silver.delay_models` says what its fields are.
    """

    serves_from: str
    issue: int
    model_id: str
    trained_from: str
    trained_until: str
    held_out_until: str
    trained_on_flights: int
    features_version: int
    flights_version: int
    log_loss: float
    usual_log_loss: float
    body: str

    @property
    def is_intact(self) -> bool:
        """Tell whether the model is the one that its id says."""
        return id_of(self.body) == self.model_id


def id_of(body: str) -> str:
    """Hash the text of a model."""
    return hashlib.sha256(body.encode()).hexdigest()[:ID_LENGTH]


def new_delivery(model: Model, rows: TrainingSet, measures: Measures, serves_from: date) -> Delivery:
    """Describe a trained model.

    It gets its number where it is put to work.
    """
    return Delivery(
        serves_from=str(serves_from),
        issue=0,
        model_id=model.model_id,
        trained_from=str(rows.split.learned.start),
        trained_until=str(rows.split.learned.last),
        held_out_until=str(rows.split.held_out.last),
        trained_on_flights=len(rows.learned),
        features_version=rows.features_version,
        flights_version=rows.flights_version,
        log_loss=measures.model.log_loss,
        usual_log_loss=measures.usual.log_loss,
        body=model.body,
    )


def deliveries(landing: Landing) -> list[Delivery]:
    """Read all that was delivered, in order.

    Files that are no delivery are passed over, because the table tells of them.
    """
    files = (landing.reach() / delay_models.name).glob("landed_on=*/*.jsonl")
    found = [one for file in files if _FILE.fullmatch(file.name) and (one := _read(file))]
    return sorted(found, key=lambda one: one.issue)


def put_to_work(landing: Landing, delivery: Delivery, landed_on: date, serves_from: date) -> Delivery:
    """Deliver a model under the next number.

    From `serves_from` on it scores, whatever was delivered before.

    Args:
        landing: the landing folder.
        delivery: the model.
        landed_on: today.
        serves_from: first flight date that it scores.

    Raises:
        BadDay: that is later than today, or more than 30 days ago: bronze would not believe it.
    """
    if not landed_on - timedelta(days=PLAUSIBLE_DAYS) <= serves_from <= landed_on:
        raise BadDay(
            str(serves_from), f"a model scores from today, {landed_on}, or a day up to {PLAUSIBLE_DAYS} before"
        )
    numbers = [one.issue for one in deliveries(landing)]
    line = {**asdict(delivery), "serves_from": str(serves_from), "issue": max(numbers, default=0) + 1}
    done = Delivery(**line)
    with TemporaryDirectory() as folder:
        file = Path(folder, f"delay-model-{done.issue:06}-{done.model_id}.jsonl")
        file.write_text(json.dumps(line) + "\n")
        deliver(landing, delay_models, landed_on, [file])
    return done


def roll_back(landing: Landing, today: date, model_id: str | None = None, serves_from: date | None = None) -> Delivery:
    """Put an earlier model to work again.

    Args:
        landing: the landing folder.
        today: when it is delivered.
        model_id: which; the one that was at work before the last one by default.
        serves_from: first flight date that it scores; today by default, so that no day that is over is scored again.

    Raises:
        NoSuchModel: there is none, or its file was changed since.
    """
    intact = [one for one in deliveries(landing) if one.is_intact]
    last = intact[-1].model_id if intact else None
    wanted = [one for one in intact if (one.model_id == model_id if model_id else one.model_id != last)]
    if not wanted:
        raise NoSuchModel(model_id, list(dict.fromkeys(one.model_id for one in intact)))
    return put_to_work(landing, wanted[-1], today, serves_from or today)


def _read(file: AnyPath) -> Delivery | None:
    try:
        said = json.loads(file.read_text())
        return Delivery(**said) if isinstance(said, Mapping) else None
    except (ValueError, TypeError):
        return None
