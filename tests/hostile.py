"""Text that people and programs send where a day or a name is expected."""

from __future__ import annotations

__all__ = ["HOSTILE_DAYS", "HOSTILE_NAMES"]

HOSTILE_DAYS = [
    "",
    " ",
    "today",
    "2013-1-1",
    "20130101",
    "2013-02-30",
    "2013-13-01",
    "2013-00-10",
    "0000-01-01",
    "1899-12-31",
    "9999-99-99",
    "9999-12-31",
    "10000-01-01",
    "-2013-01-01",
    "2013-01-01T00:00:00",
    "2013-01-01\n",
    "2013-01-01\x00",
    "2013-W01-1",
    "2013-01-01' OR 1=1",
    "2013-01-01' OR '1'='1' --",
    "2013-01-01); DROP TABLE flights; --",
    "../../etc/passwd",
    "2013-01-01/../../..",
    "%2e%2e%2f",
    "٢٠١٣-٠١-٠١",  # Arabic digits
    "２０１３-０１-０１",  # full-width digits
    "2013‐01‐01",  # hyphens that are no minus
    "${jndi:ldap://127.0.0.1/x}",
]
"""No day, and no end of a range either."""

HOSTILE_NAMES = [
    "",
    ".",
    "..",
    "../../etc/passwd",
    "silver",
    "silver.",
    ".departures",
    "silver.departures; DROP TABLE x",
    "silver.departures' OR 1=1",
    "silver.`departures`",
    "silver/../bronze/departure_events",
    "Silver.Departures",
    "silver.départures",
    "silver.departures\n",
    "silver.departures\x00",
    "s" * 5000,
]
"""No table of the project, written like one."""
