"""Lines of the reference file `planes`, exactly as received."""

from datetime import timedelta

from lake.declare.received import received
from lakehouse_assets.feeds.planes import planes


@received(planes, fresh_within=timedelta(days=32), owner="team:reference-data")
def reference_planes() -> None:
    """One row per line of a `planes` file.

    The full list lands about once a month.
    """
