"""Train the trees, and write them as numbers.

They are JSON that a transform applies, and that no reader executes. The same rows give the same model, and so the same
id: rows come in the order of their keys, training uses one thread and one seed, and the id is a hash of what the model
computes with.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier
from threadpoolctl import threadpool_limits

from airline.delay_model.delivering import id_of
from lakehouse_assets.gold.flight_delay_features import FEATURE_VERSION
from lakehouse_assets.gold.flight_delay_scores import FEATURES, NUMBERS, RATES

__all__ = ["Model", "matrix", "one_thread", "rates_of", "train"]

Floats = NDArray[np.float64]
Rates = Mapping[str, Mapping[str, float]]

SEED = 2013
TREES, LEAVES, DEPTH, LEARNING_RATE, FLIGHTS_A_LEAF = 60, 16, 6, 0.1, 100
PRIOR_FLIGHTS = 20
"""The share of a group of flights is drawn to that of all as if it had so many more."""
_LARGEST = float(np.finfo(np.float64).max)


@dataclass(frozen=True)
class Model:
    """A trained model.

    Attributes:
        fitted: as scikit-learn keeps it, in memory only.
        rates: share of late flights by group, of those it learned from.
        usual: share of late flights of all.
        body: what is delivered.
    """

    fitted: HistGradientBoostingClassifier
    rates: Rates
    usual: float
    body: str

    @property
    def model_id(self) -> str:
        """Name the model by what it computes with."""
        return id_of(self.body)

    def predict(self, flights: pd.DataFrame) -> Floats:
        """Give the chance that each flight leaves late."""
        with one_thread():
            found: Floats = self.fitted.predict_proba(matrix(flights, self.rates))[:, 1]
        return found

    def predict_usual(self, flights: pd.DataFrame) -> Floats:
        """Give the mean of a flight's carrier and hour.

        A model has to beat it.
        """
        return np.asarray(_rate(flights, self.rates, "carrier_hour").fillna(self.usual), dtype=np.float64)


def train(flights: pd.DataFrame) -> Model:
    """Train on flights in the order of their keys, which have the column `is_late`."""
    rates, usual = rates_of(flights), float(flights["is_late"].mean())
    fitted = HistGradientBoostingClassifier(
        max_iter=TREES,
        max_leaf_nodes=LEAVES,
        max_depth=DEPTH,
        learning_rate=LEARNING_RATE,
        min_samples_leaf=min(FLIGHTS_A_LEAF, max(1, len(flights) // 50)),
        early_stopping=False,
        random_state=SEED,
    )
    with one_thread():
        fitted.fit(matrix(flights, rates), flights["is_late"].to_numpy())
    return Model(fitted, rates, usual, _as_text(fitted, rates))


def one_thread() -> AbstractContextManager[Any]:
    """Keep scikit-learn to one thread.

    This is done because several threads add numbers up in another order, which changes the last digits. And where other
    programs need the cores, its threads wait for each other far longer than they compute.
    """
    limits: AbstractContextManager[Any] = threadpool_limits(limits=1)
    return limits


def rates_of(flights: pd.DataFrame) -> Rates:
    """Give the share of late flights by group.

    It is drawn to that of all where a group is small.
    """
    usual = flights["is_late"].mean()
    found = {}
    for group in RATES:
        late = flights["is_late"].groupby(_names(flights, group)).agg(["sum", "count"])
        shares = (late["sum"] + PRIOR_FLIGHTS * usual) / (late["count"] + PRIOR_FLIGHTS)
        found[group] = {str(name): float(share) for name, share in sorted(shares.items())}
    return found


def matrix(flights: pd.DataFrame, rates: Rates) -> Floats:
    """Give what a model sees of flights.

    Each flight is a row, with columns in the order of FEATURES. What is unknown is NaN.
    """
    columns = [flights[name].astype(float) for name in NUMBERS] + [_rate(flights, rates, group) for group in RATES]
    return np.column_stack([column.to_numpy(dtype=np.float64) for column in columns])


def _rate(flights: pd.DataFrame, rates: Rates, group: str) -> pd.Series[float]:
    return _names(flights, group).map(rates[group]).astype(float)


def _names(flights: pd.DataFrame, group: str) -> pd.Series[str]:
    """Name the group of each flight as the transform does.

    A name is the known values of the group, with spaces between.
    """
    columns = [_as_word(flights[name]) for name in RATES[group]]
    return pd.Series([" ".join(filter(None, words)) for words in zip(*columns, strict=True)], index=flights.index)


def _as_word(column: pd.Series[Any]) -> Iterable[str]:
    is_number = pd.api.types.is_numeric_dtype(column)
    return ("" if pd.isna(value) else str(int(value)) if is_number else str(value) for value in column)


def _as_text(fitted: HistGradientBoostingClassifier, rates: Rates) -> str:
    roots, nodes, depth = [], list[dict[str, Any]](), 1
    for (tree,) in fitted._predictors:
        roots.append(len(nodes))
        depth = max(depth, int(tree.nodes["depth"].max()))
        nodes += [_node(node, len(nodes) + place, roots[-1]) for place, node in enumerate(tree.nodes)]
    said = {
        "feature_version": FEATURE_VERSION,
        "features": FEATURES,
        "rates": rates,
        "prior": float(fitted._baseline_prediction.item()),
        "depth": depth,
        "roots": roots,
        "nodes": nodes,
    }
    return json.dumps(said, separators=(",", ":"), allow_nan=False)


def _node(node: Any, place: int, root: int) -> dict[str, Any]:
    is_leaf = bool(node["is_leaf"])
    return {
        "feature": 0 if is_leaf else int(node["feature_idx"]),
        "at_most": 0.0 if is_leaf else float(np.clip(node["num_threshold"], -_LARGEST, _LARGEST)),
        "missing_left": is_leaf or bool(node["missing_go_to_left"]),
        "left": place if is_leaf else root + int(node["left"]),
        "right": place if is_leaf else root + int(node["right"]),
        "value": float(node["value"]),
    }
