"""Flight records of the past, sent again as an airline would have received them.

In the order in which a record passes through them:

    files, source    read and check flight records
    schedule         turns local times and delays into moments in UTC
    topics           what a departure and an arrival message say, when they are sent, which offset they get
    disorder         late, doubled and broken messages, by a seed
    landing_day      which messages land on which day
    landing          writes the files
    run              replay() and messages(), which put it together
    late_delivery    deliver_late(), for flights that a replay held back
"""

from lakehouse_assets.replay.errors import ReplayError
from lakehouse_assets.replay.late_delivery import deliver_late
from lakehouse_assets.replay.run import ReplayReport, messages, replay
from lakehouse_assets.replay.schedule import FlightKey
from lakehouse_assets.replay.topics import Message

__all__ = ["FlightKey", "Message", "ReplayError", "ReplayReport", "deliver_late", "messages", "replay"]
