"""Models that predict late departures: what training, or a rollback, puts to work."""

from lake.declare.feed import SOME_DAYS, FileFeed

delay_models = FileFeed(
    name="delay_models",
    description=(
        "Models of late departures, delay-model-NNNNNN-ID.jsonl: one JSON line with a whole model, from which flight "
        "date on it scores, and what it was trained on. Lands when a model is trained, and when one is rolled back."
    ),
    delivers=SOME_DAYS,
)
