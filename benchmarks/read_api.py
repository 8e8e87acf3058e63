"""Measure the requests per second that the read API answers.

And those per second that a processor works for it.

    python -m benchmarks.read_api URL PATH [--column flight_date] [--seconds 10] [--clients 4]

`lakehouse api --port 8000 --workers 2` serves a lake in another terminal. Each client asks for the rows of one day
after the other of a table, in a shuffled order. Programs that work on the machine at the same time slow this down. So
the time that processors spent on the servers is told too: a server with idle processors answers so many.
"""

from __future__ import annotations

import argparse
import random
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from datetime import date, timedelta

import httpx
import psutil


def ask(base: str, path: str, column: str, days: list[date], seconds: float, accept: str) -> tuple[Counter[int], int]:
    """Ask for days until the time is over.

    Returns:
        How often which status came, and the bytes that came.
    """
    statuses, received = Counter[int](), 0
    order = random.sample(days, len(days))
    with httpx.Client(base_url=base, headers={"accept": accept}, timeout=60) as client:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for day in order[:50]:
                answer = client.get(path, params={column: str(day)})
                statuses[answer.status_code] += 1
                received += len(answer.content)
            random.shuffle(order)
    return statuses, received


def processor_seconds(port: int) -> float:
    """Sum up the time that the processes behind a port have worked."""
    found = {c.pid for c in psutil.net_connections("tcp4") if c.laddr and c.laddr.port == port and c.pid}
    family = {one for pid in found for one in [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]}
    return sum(sum(one.cpu_times()[:2]) for one in family)


def measure(base: str, path: str, column: str, seconds: float, clients: int, accept: str) -> str:
    port = httpx.URL(base).port or 80
    about = next(t for t in httpx.get(f"{base}/tables").json()["tables"] if t["href"] == path)
    last = date.fromisoformat(about["settled_through"])
    days = [last - timedelta(days=n) for n in range(2, 300)]
    ask(base, path, column, days[:20], 1, accept)
    before, start = processor_seconds(port), time.monotonic()
    with ProcessPoolExecutor(clients) as pool:
        parts = [pool.submit(ask, base, path, column, days, seconds, accept) for _ in range(clients)]
        results = [part.result() for part in parts]
    took, worked = time.monotonic() - start, processor_seconds(port) - before
    statuses = sum((found for found, _ in results), Counter[int]())
    size = sum(received for _, received in results) / statuses.total()
    return (
        f"{path} {accept}: {statuses.total() / took:.0f} requests/s, {statuses.total() / worked:.0f} per processor "
        f"second, {size / 1024:.0f} KiB each, statuses {dict(statuses)}"
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
        print(measure(asked.base, asked.path, asked.column, asked.seconds, asked.clients, accept))


if __name__ == "__main__":
    main()
