"""Lines of the reference file `airports`, exactly as received."""

from datetime import timedelta

from lake.declare.received import received
from lakehouse_assets.feeds.airports import airports


@received(airports, fresh_within=timedelta(days=32), owner="team:reference-data")
def reference_airports() -> None:
    """One row per line of a `airports` file.

    The full list lands about once a month.
    """
