"""Measure a model on flights of later days.

It is set beside the mean of carrier and hour, and shown in pictures.

Whether a flight leaves 15 minutes late or more is what is predicted, not by how many minutes: that is the airlines' own
measure of being on time, and minutes have so long a tail (1,301 at most) that a few flights would decide what is
learned. A desk weighs costs by a chance, so what counts is whether the chances are true: log loss, and Brier's score
beside it. The area under the curve says how well flights are ordered, whatever the chances.
"""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from sklearn.inspection import permutation_importance
from sklearn.metrics import brier_score_loss, log_loss, roc_auc_score

from airline.delay_model.forest import Floats, Model, matrix, one_thread
from lakehouse_assets.gold.flight_delay_scores import FEATURES

__all__ = ["Measures", "Scores", "draw_calibration", "draw_importance", "measure"]

BINS = 10
SAMPLE, REPEATS, SEED = 5_000, 2, 2013


@dataclass(frozen=True)
class Scores:
    """The scores that say how true chances were.

    Attributes:
        log_loss: mean, nats; less is better.
        brier: mean squared error of the chance; less is better.
        auc: chance that a late flight got a higher one than a punctual flight.
    """

    log_loss: float
    brier: float
    auc: float


@dataclass(frozen=True)
class Measures:
    """The measures of a model on held-out flights.

    Attributes:
        flights: how many.
        late: share of them that left late.
        model: its scores.
        usual: those of the mean of carrier and hour.
    """

    flights: int
    late: float
    model: Scores
    usual: Scores

    @property
    def is_better(self) -> bool:
        """Tell whether the model is better than the mean.

        It has to be by both measures of true chances.
        """
        return self.model.log_loss < self.usual.log_loss and self.model.brier < self.usual.brier


def measure(model: Model, held_out: pd.DataFrame) -> Measures:
    """Score held-out flights."""
    late = held_out["is_late"].to_numpy()
    return Measures(
        len(held_out),
        float(late.mean()),
        _scores(late, model.predict(held_out)),
        _scores(late, model.predict_usual(held_out)),
    )


def _scores(late: np.typing.NDArray[np.bool_], chance: Floats) -> Scores:
    losses = log_loss(late, chance, labels=[False, True]), brier_score_loss(late, chance)
    auc = roc_auc_score(late, chance) if late.any() and not late.all() else 0.5
    return Scores(float(losses[0]), float(losses[1]), float(auc))


def draw_calibration(model: Model, held_out: pd.DataFrame) -> str:
    """Draw the share of flights that left late by their chance.

    Flights with about the same chance count together. The picture is a Markdown image.
    """
    figure = Figure(figsize=(5, 4.2), layout="constrained")
    axes = figure.add_subplot()
    axes.plot([0, 1], [0, 1], color="0.6", linestyle="--", linewidth=1, label="as often as said")
    late = held_out["is_late"].astype(float)
    for name, chance, mark in (
        ("model", model.predict(held_out), "o"),
        ("mean of carrier and hour", model.predict_usual(held_out), "s"),
    ):
        rows = pd.DataFrame({"chance": chance, "late": late, "bin": pd.Series(chance).rank(pct=True).mul(BINS).round()})
        means = rows.groupby("bin").mean()
        axes.plot(means["chance"], means["late"], marker=mark, label=name)
    axes.set(xlabel="chance that was given", ylabel="share that left late", xlim=(0, 1), ylim=(0, 1))
    axes.legend()
    return _as_markdown(figure, "calibration on the held-out days")


def draw_importance(model: Model, held_out: pd.DataFrame) -> str:
    """Draw how much worse a shuffled feature makes the log loss.

    One feature is shuffled at a time. The picture is a Markdown image.
    """
    sample = held_out.sample(min(SAMPLE, len(held_out)), random_state=SEED)
    with one_thread():
        found = permutation_importance(
            model.fitted,
            matrix(sample, model.rates),
            sample["is_late"].to_numpy(),
            scoring="neg_log_loss",
            n_repeats=REPEATS,
            random_state=SEED,
        )
    order = np.argsort(found.importances_mean)
    figure = Figure(figsize=(6, 4.6), layout="constrained")
    axes = figure.add_subplot()
    axes.barh([FEATURES[place] for place in order], found.importances_mean[order])
    axes.set(xlabel="log loss added by shuffling it, nats")
    return _as_markdown(figure, "importance of features")


def _as_markdown(figure: Figure, title: str) -> str:
    """Write a picture into the text itself, so that nothing has to serve it."""
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=80, metadata={"Software": None})
    return f"![{title}](data:image/png;base64,{base64.b64encode(picture.getvalue()).decode()})"
