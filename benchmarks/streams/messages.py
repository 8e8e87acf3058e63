"""Send departures and arrivals of made-up flights at a steady rate.

Each is stamped when it is sent. No message is late, repeated or broken, and each has a key of its own, so that what the
tables must hold is known.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zlib import crc32

from airline.producing import produce
from airline.replay import Message
from airline.replay.topics import PARTITIONS, Topic
from lake.stream.kafka import KafkaCluster

__all__ = ["SENT", "flight_messages", "steadily"]

SENT = "sent.json"
"""Where in its home the producer writes how many messages it sent."""

CARRIERS = ("9E", "AA", "AS", "B6", "DL", "EV", "F9", "FL", "HA", "MQ", "OO", "UA", "US", "VX", "WN", "YV")
AIRPORTS = (
    "ATL", "AUS", "BNA", "BOS", "BWI", "CLE", "CLT", "DCA", "DEN", "DFW", "DTW", "EWR", "FLL", "HOU", "IAD", "IAH",
    "JFK", "LAS", "LAX", "LGA", "MCO", "MIA", "MSP", "MSY", "ORD", "PHL", "PHX", "RDU", "SEA", "SFO", "STL", "TPA",
)  # fmt: skip
FLIGHT_NUMBERS = 9_999
LONGEST_REPORT_SECONDS = 20
PAUSE_SECONDS = 0.005


def flight_messages(clock: Iterator[datetime]) -> Iterator[Message]:
    """Give a departure and an arrival in turn.

    The clock says when each is sent.
    """
    for number, sent_at in enumerate(clock):
        yield _message("departures" if number % 2 == 0 else "arrivals", number // 2, sent_at)


def _message(topic: Topic, number: int, sent_at: datetime) -> Message:
    """Return the `number`-th message of a topic.

    Its event happened a few seconds before it is sent.
    """
    carrier, rest = CARRIERS[number % len(CARRIERS)], number // len(CARRIERS)
    origin, rest = AIRPORTS[rest % len(AIRPORTS)], rest // len(AIRPORTS)
    flight = 1 + rest % FLIGHT_NUMBERS
    dest = AIRPORTS[(number + 1 + number % 7) % len(AIRPORTS)]
    happened = sent_at - timedelta(seconds=1 + number % LONGEST_REPORT_SECONDS)
    scheduled = happened - timedelta(minutes=number % 45 - 10)
    date = f"{happened:%Y-%m-%d}"
    who = (
        f'"flight_date":"{date}","carrier":"{carrier}","flight":{flight},"origin":"{origin}","dest":"{dest}",'
        f'"tail_number":"N{number % 4000 + 1000}"'
    )
    what = (
        f'"scheduled_departure_at":"{_text(scheduled)}","departed_at":"{_text(happened)}"'
        if topic == "departures"
        else f'"scheduled_arrival_at":"{_text(scheduled)}","arrived_at":"{_text(happened)}","air_time_minutes":'
        f"{40 + number % 300}"
    )
    key = f"{date}|{carrier}|{flight}|{origin}"
    return Message(key, f"{{{who},{what}}}", topic, crc32(key.encode()) % PARTITIONS, -1, sent_at)


def _text(at: datetime) -> str:
    return at.isoformat(timespec="seconds")[:19] + "Z"


def steadily(rate: float, seconds: float) -> Iterator[datetime]:
    """Give the moments at which messages are sent, `rate` a second.

    As evenly as sleeping for 5 ms allows.
    """
    started, sent = time.monotonic(), 0
    while (passed := time.monotonic() - started) < seconds:
        due = int(passed * rate)
        for _ in range(due - sent):
            yield datetime.now(UTC)
        sent = max(sent, due)
        time.sleep(PAUSE_SECONDS)


def main(home: str, address: str, rate: str, seconds: str) -> None:
    """Send, then write how many messages each topic got."""
    counts = {"departures": 0, "arrivals": 0}
    for message in produce(flight_messages(steadily(float(rate), float(seconds))), KafkaCluster(address)):
        counts[message.topic] += 1
    (Path(home) / SENT).write_text(json.dumps(counts))


if __name__ == "__main__":
    main(*sys.argv[1:])
