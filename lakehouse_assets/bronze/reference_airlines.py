"""Lines of the reference file `airlines`, exactly as received."""

from datetime import timedelta

from lake.declare.received import received
from lakehouse_assets.feeds.airlines import airlines


@received(airlines, fresh_within=timedelta(days=32), owner="team:reference-data")
def reference_airlines() -> None:
    """One row per line of a `airlines` file.

    The full list lands about once a month.
    """
