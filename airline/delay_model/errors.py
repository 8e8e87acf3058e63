"""Name what keeps a model from being trained or put to work.

LakeError
├── NoSuchModel
└── TooFewFlights
"""

from __future__ import annotations

from lake.errors import LakeError, Message

__all__ = ["NoSuchModel", "TooFewFlights"]


class TooFewFlights(LakeError, runbook="docs/runbook.md#the-example-refuses"):
    """There is not enough to learn from.

    Attributes:
        days: with features and outcomes.
        at_least: how many it takes.
    """

    days: int
    at_least: int

    def message(self) -> Message:
        return Message(
            "airline.delay_model",
            f"{self.days} days have features and outcomes, and training takes {self.at_least} at least",
            "lakehouse refresh gold.flight_delay_features silver.flights",
        )


class NoSuchModel(LakeError, runbook="docs/runbook.md#the-example-refuses"):
    """No delivered model can be put to work again under this id.

    Attributes:
        asked: the id, or None for the one before.
        known: ids of those that can.
    """

    asked: str | None
    known: list[str]

    def message(self) -> Message:
        asked = f"no model {self.asked} was" if self.asked else "no model before the one at work was"
        known = ", ".join(self.known) or "none"
        return Message("feed delay_models", f"{asked} delivered; delivered were: {known}", "lakehouse model list")
