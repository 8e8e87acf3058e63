"""Measure the requests per second that the read API answers.

And those per second that a processor works for it.

    python -m benchmarks.read_api URL PATH [--column flight_date] [--seconds 10] [--clients 4]

`lakehouse api --port 8000` serves a lake in another terminal. Each client asks for the rows of one day after the other
of a table, in a shuffled order: first with another limit each time, so that each answer is read anew, then as programs
ask, so that answers come again. Programs that work on the machine at the same time slow this down. So the time that
processors spent on the servers is told too: a server with idle processors answers so many.
"""

from __future__ import annotations

import argparse
import random
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import date, timedelta

import httpx
import psutil


@dataclass(frozen=True)
class Question:
    """What clients ask for.

    Attributes:
        base: address of the server.
        path: of the table.
        column: its day.
        accept: the media type.
        anew: whether no answer may be one that is kept.
    """

    base: str
    path: str
    column: str
    accept: str
    anew: bool

    def parameters(self, day: date) -> dict[str, str]:
        limit = random.randrange(2000, 10_001) if self.anew else 2000
        return {self.column: str(day), "limit": str(limit)}


def ask(question: Question, days: list[date], seconds: float) -> tuple[Counter[int], int]:
    """Ask for days until the time is over.

    Returns:
        How often which status came, and the bytes that came.
    """
    statuses, received = Counter[int](), 0
    order = random.sample(days, len(days))
    with httpx.Client(base_url=question.base, headers={"accept": question.accept}, timeout=60) as client:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for day in order[:50]:
                answer = client.get(question.path, params=question.parameters(day))
                statuses[answer.status_code] += 1
                received += len(answer.content)
            random.shuffle(order)
    return statuses, received


def processor_seconds(port: int) -> float:
    """Sum up the time that the processes behind a port have worked."""
    return sum(sum(one.cpu_times()[:2]) for one in psutil.process_iter() if _serves(one, port))


def _serves(process: psutil.Process, port: int) -> bool:
    """Tell whether a process holds the socket of a port: workers of one server share it."""
    try:
        return any(getattr(c.laddr, "port", None) == port for c in process.net_connections("tcp4"))
    except psutil.Error:
        return False


def measure(question: Question, seconds: float, clients: int) -> str:
    port = httpx.URL(question.base).port or 80
    about = next(t for t in httpx.get(f"{question.base}/tables").json()["tables"] if t["href"] == question.path)
    last = date.fromisoformat(about["settled_through"])
    days = [last - timedelta(days=n) for n in range(2, 300)]
    ask(question, days[:20], 1)
    before, start = processor_seconds(port), time.monotonic()
    with ProcessPoolExecutor(clients) as pool:
        parts = [pool.submit(ask, question, days, seconds) for _ in range(clients)]
        results = [part.result() for part in parts]
    took, worked = time.monotonic() - start, processor_seconds(port) - before
    statuses = sum((found for found, _ in results), Counter[int]())
    size = sum(received for _, received in results) / statuses.total()
    how = "read anew" if question.anew else "as asked"
    return (
        f"{question.path} {question.accept} {how}: {statuses.total() / took:.0f} requests/s, "
        f"{statuses.total() / worked:.0f} per processor second, {size / 1024:.0f} KiB each, statuses {dict(statuses)}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("base")
    parser.add_argument("path")
    parser.add_argument("--column", default="flight_date", help="the day")
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--clients", type=int, default=4)
    asked = parser.parse_args()
    for accept in ("application/json", "application/vnd.apache.arrow.stream"):
        for anew in (True, False):
            question = Question(asked.base, asked.path, asked.column, accept, anew)
            print(measure(question, asked.seconds, asked.clients), flush=True)


if __name__ == "__main__":
    main()
