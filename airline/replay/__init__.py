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

from airline.replay.errors import ReplayError
from airline.replay.late_delivery import deliver_late
from airline.replay.run import ReplayReport, messages, replay
from airline.replay.schedule import FlightKey
from airline.replay.topics import Message

__all__ = ["FlightKey", "Message", "ReplayError", "ReplayReport", "deliver_late", "messages", "replay"]
