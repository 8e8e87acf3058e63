"""Draw one flight: what each layer of the lake says of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import pandas as pd
import streamlit as st

from lake.dashboard.seen import draw_lineage, holds_nothing, look_at
from lake.dashboard.sight import Shown, Sight
from lake.declare.days import Days
from lake.declare.words import breakable
from lake.errors import LakeError
from lake.serve.api.problems import ProblemError

__all__ = ["Flight", "flight", "steps_of"]

_MESSAGES_COME_WITHIN = 30
"""Days; an airline sends a message that late at most."""
_AHEAD = 2
"""Days after the flight date on which a flight may leave or arrive."""


@dataclass(frozen=True)
class Flight:
    """A flight that left the gate.

    Attributes:
        flight_date, carrier, flight, origin: its name.
        left_at: when it left, UTC.
    """

    flight_date: date
    carrier: str
    flight: int
    origin: str
    left_at: datetime

    @property
    def name(self) -> Mapping[str, Any]:
        """The values of the columns that name it."""
        return {"carrier": self.carrier, "flight": self.flight, "origin": self.origin, "flight_date": self.flight_date}

    @property
    def message_key(self) -> Mapping[str, Any]:
        """The key of its messages."""
        return {"key": f"{self.flight_date}|{self.carrier}|{self.flight}|{self.origin}"}

    @property
    def alert(self) -> Mapping[str, Any]:
        """What an alert of its hour says."""
        return {"airport": self.origin, "hour_at": self.left_at.replace(minute=0, second=0, microsecond=0)}

    def days(self, after: int) -> Days:
        """Return its date and some days after it."""
        return Days.of(self.flight_date).widen(after=after)


def flight(sight: Sight) -> None:
    """Draw the flight that is asked for, by carrier, number and day."""
    st.title("A flight")
    shown = look_at(sight, "silver.flights")
    if holds_nothing(shown, "flight"):
        return
    if (asked := _ask(sight, shown)) is None:
        return
    _draw_summary(sight, shown, asked)
    st.subheader("What each layer says")
    st.table(pd.DataFrame(steps_of(sight, asked)), hide_index=True)
    st.caption("Times are UTC. Early: the day is open, so late messages may change it; settled: batch computed it.")
    draw_lineage(sight, shown, [asked.flight_date])


def _ask(sight: Sight, shown: Shown) -> Flight | None:
    columns = st.columns(4)
    newest, oldest = shown.held[0], shown.held[-1]
    day = columns[0].date_input("flight date", newest, min_value=oldest, max_value=newest, key="flight_day")
    known = sight.rows(shown, Days.of(day))
    if known.empty:
        st.info("no flight left the gate on this date")
        return None
    carrier = columns[1].selectbox("carrier", sorted(known["carrier"].unique()), key="flight_carrier")
    known = known[known["carrier"] == carrier]
    number = columns[2].selectbox("flight number", sorted(map(int, known["flight"].unique())), key="flight_number")
    known = known[known["flight"] == number]
    origin = columns[3].selectbox("from", sorted(known["origin"].unique()), key="flight_origin")
    left_at = known[known["origin"] == origin]["departed_at"].iloc[0]
    return Flight(day, carrier, number, origin, left_at.to_pydatetime())


def _draw_summary(sight: Sight, shown: Shown, asked: Flight) -> None:
    rows = sight.rows(shown, Days.of(asked.flight_date))
    is_it = (rows["carrier"] == asked.carrier) & (rows["flight"] == asked.flight) & (rows["origin"] == asked.origin)
    row = rows[is_it].iloc[0]
    state = "settled" if asked.flight_date in shown.settled else "open: early"
    st.markdown(
        f"**{asked.carrier} {asked.flight}** from {asked.origin} to {row['dest']} on {asked.flight_date} · {state}"
    )
    columns = st.columns(4)
    columns[0].metric("scheduled", _clock(row["scheduled_departure_at"]))
    columns[1].metric(
        "left", _clock(row["departed_at"]), _late(row["departure_delay_minutes"]), delta_color="off", delta_arrow="off"
    )
    arrived = _clock(row["arrived_at"]) if row["has_arrived"] else "not known"
    columns[2].metric("arrived", arrived, _late(row["arrival_delay_minutes"]), delta_color="off", delta_arrow="off")
    columns[3].metric("aircraft", row["tail_number"] or "not known")


def _clock(at: Any) -> str:
    return "–" if pd.isna(at) else f"{at:%H:%M}"


def _late(minutes: Any) -> str | None:
    if pd.isna(minutes):
        return None
    return "on the minute" if minutes == 0 else f"{abs(int(minutes))} min {'late' if minutes > 0 else 'early'}"


def steps_of(sight: Sight, asked: Flight) -> list[dict[str, str]]:
    """List what bronze, silver and gold say of a flight, in the order of the layers.

    A table that was never written is one step that says so.
    """
    return [step for source in _SOURCES for step in _steps(sight, asked, source)]


@dataclass(frozen=True)
class _Source:
    """A table that may say something of a flight.

    Attributes:
        table: `layer.name`.
        after: so many days after the flight date its rows may lie.
        equal: what columns of its rows are.
        say: when it was, and what a row says.
    """

    table: str
    after: int
    equal: Callable[[Flight], Mapping[str, Any]]
    say: Callable[[Mapping[str, Any]], tuple[Any, str]]


def _steps(sight: Sight, asked: Flight, source: _Source) -> Iterator[dict[str, str]]:
    try:
        shown = sight.show(sight.environment.tables[source.table])
    except ProblemError as error:
        yield _step(source, "", error.detail, "missing" if error.status == 404 else "broken")
        return
    except LakeError as error:
        yield _step(source, "", str(error), "broken")
        return
    day = str(shown.snapshot.table.day)
    rows = sight.rows(shown, asked.days(source.after), equal=source.equal(asked)).to_dict("records")
    for row in rows:
        at, said = source.say({str(name): value for name, value in row.items()})
        state = "settled" if row[day] in shown.settled else "open: early"
        yield _step(source, "" if pd.isna(at) else f"{at:%Y-%m-%d %H:%M:%S}", said, state)
    if not rows:
        yield _step(source, "", "nothing of this flight", "")


def _step(source: _Source, at: str, said: str, state: str) -> dict[str, str]:
    return {"table": source.table, "at": at, "what it says": said, "state": state}


def _say_message(row: Mapping[str, Any]) -> tuple[Any, str]:
    return row["timestamp"], f"message {row['topic']}/{row['partition']}/{row['offset']}: {_text(row['value'])}"


def _text(value: Any) -> str:
    return breakable(value.decode(errors="replace") if isinstance(value, bytes) else str(value))


def _say_planned(row: Mapping[str, Any]) -> tuple[Any, str]:
    return row["scheduled_departure_at"], f"planned to {row['dest']}, to arrive {_clock(row['scheduled_arrival_at'])}"


def _say_departure(row: Mapping[str, Any]) -> tuple[Any, str]:
    return row["departed_at"], f"left the gate, {_late(row['delay_minutes'])}"


def _say_arrival(row: Mapping[str, Any]) -> tuple[Any, str]:
    return row["arrived_at"], f"reached the gate, {_late(row['delay_minutes'])}"


def _say_flight(row: Mapping[str, Any]) -> tuple[Any, str]:
    weather = f"{row['temperature_f']:.0f} °F, wind {row['wind_speed_mph']:.0f} mph" if row["is_weather_known"] else ""
    about = [weather or "weather not known", row["aircraft_model"] or "aircraft not known"]
    return row["departed_at"], f"joined with its arrival: {'yes' if row['has_arrived'] else 'no'}; {', '.join(about)}"


def _say_alert(row: Mapping[str, Any]) -> tuple[Any, str]:
    many = f"{row['at_least']} or more flights left {row['airport']} {row['late_from_minutes']} minutes late or more"
    return row["hour_at"], f"alert {row['rule']}: in this hour {many}"


def _say_score(row: Mapping[str, Any]) -> tuple[Any, str]:
    chance = row["late_probability"]
    said = "no model was at work" if pd.isna(chance) else f"{chance:.0%} likely to leave late, says {row['model_id']}"
    return row["scheduled_departure_at"], said


_SOURCES = (
    _Source("bronze.departure_events", _MESSAGES_COME_WITHIN, lambda asked: asked.message_key, _say_message),
    _Source("bronze.arrival_events", _MESSAGES_COME_WITHIN, lambda asked: asked.message_key, _say_message),
    _Source("silver.schedules", 0, lambda asked: asked.name, _say_planned),
    _Source("silver.departures", _AHEAD, lambda asked: asked.name, _say_departure),
    _Source("silver.arrivals", _AHEAD, lambda asked: asked.name, _say_arrival),
    _Source("silver.flights", 0, lambda asked: asked.name, _say_flight),
    _Source("gold.flight_delay_scores", 0, lambda asked: asked.name, _say_score),
    _Source("gold.delay_alerts", _AHEAD, lambda asked: asked.alert, _say_alert),
)
