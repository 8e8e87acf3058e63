"""Arrival messages, exactly as received."""

from datetime import timedelta

from pyspark.sql import DataFrame

from lake.declare.table import Append, table
from lakehouse_assets.bronze.landing import TopicMessage, topic_rows
from lakehouse_assets.feeds.arrivals import arrivals


class ArrivalEvents(TopicMessage):
    """A message as received, with the UTC day of the arrival that it reports."""


@table(
    reads=[arrivals],
    contract=ArrivalEvents,
    key=["topic", "partition", "offset"],
    day="landed_on",
    day_of="offset",  # which the broker gives to one message, and with it one timestamp
    read_by="event_date",
    write=Append(),
    fresh_within=timedelta(hours=2),
    owner="team:operations",
)
def arrival_events(arrivals: DataFrame) -> DataFrame:
    """One row per message on the topic `arrivals`, kept for ever, broken and repeated ones too.

    Grain: topic, partition, offset. Day: `landed_on`, the UTC day of the message timestamp; readers select rows by
    `event_date`, the UTC day of `arrived_at` in the message. A claim outside the 30 days up to the landing day is not
    believed, and the row is filed under the landing day, where silver meets it and rejects it.

    Reads: the landing day itself. Late data: a late message is an ordinary row of the day it lands on, with an older
    event date. Rejected: lines without a readable envelope, messages delivered under another day than that of their
    timestamp (an archive copied into the wrong folder), and messages sent after the lake's clock or outside its
    calendar.
    """
    return topic_rows(arrivals, claimed_at="arrived_at")
