"""Models of late departures, exactly as delivered."""

from datetime import timedelta

from lake.declare.claims import Claim, calendar_date
from lake.declare.received import received
from lakehouse_assets.feeds.delay_models import delay_models


@received(
    delay_models, claim=Claim("serves_from", calendar_date), fresh_within=timedelta(days=93), owner="team:data-science"
)
def delay_model_files() -> None:
    """One row per line of a `delay_models` file, about the first date it scores."""
