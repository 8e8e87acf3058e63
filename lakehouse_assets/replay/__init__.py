"""Flight records of the past, sent again as an airline would have received them.

    source      reads and checks flight records
    schedule    turns local times and delays into moments in UTC
    messages    what a departure and an arrival message say
    disorder    late, doubled and broken messages, by a seed
    landing_day which messages land on which day
    landing     writes the files
    run         replay(), messages()

The contract of the files is in `landing`, that of the messages in `messages`.
"""

from lakehouse_assets.replay.errors import ReplayError
from lakehouse_assets.replay.late_delivery import deliver_late
from lakehouse_assets.replay.messages import Message
from lakehouse_assets.replay.run import ReplayReport, messages, replay
from lakehouse_assets.replay.schedule import FlightKey

__all__ = ["FlightKey", "Message", "ReplayError", "ReplayReport", "deliver_late", "messages", "replay"]
