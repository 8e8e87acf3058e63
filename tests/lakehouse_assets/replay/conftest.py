"""A source small enough to read: nine flights of New Year 2013."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

FLIGHTS_HEADER = (
    "year,month,day,dep_time,sched_dep_time,dep_delay,arr_time,sched_arr_time,arr_delay,"
    "carrier,flight,tailnum,origin,dest,air_time,distance,hour,minute,time_hour"
)
FLIGHTS = [
    "2013,1,1,517,515,2,830,819,11,UA,1545,N14228,EWR,IAH,227,1400,5,15,2013-01-01T10:00:00Z",
    "2013,1,1,NA,1630,NA,NA,1815,NA,EV,4308,N18120,EWR,RDU,NA,416,16,30,2013-01-01T21:00:00Z",  # cancelled
    "2013,1,1,1525,1530,-5,1934,1805,NA,MQ,4525,N719MQ,LGA,XNA,NA,1147,15,30,2013-01-01T20:00:00Z",  # diverted
    "2013,1,1,628,630,-2,1137,1140,-3,AA,413,N3BAAA,JFK,SJU,192,1598,6,30,2013-01-01T11:00:00Z",  # supplement
    "2013,1,1,2355,2359,-4,432,440,-8,B6,739,NA,JFK,PSE,191,1617,23,59,2013-01-02T04:00:00Z",  # leaves on 2 January UTC
    "2013,1,2,2031,2030,1,10,2400,10,B6,707,N1JB,JFK,SJU,122,1598,20,30,2013-01-03T01:00:00Z",  # 2400
    "2013,1,2,1000,900,60,1230,1100,90,DL,42,N9DL,LGA,ATL,115,762,9,0,2013-01-02T14:00:00Z",
    "2013,1,3,2100,2030,30,2359,2340,19,UA,9,N2UA,EWR,LAX,340,2454,20,30,2013-01-04T01:00:00Z",
    "2013,1,3,800,800,0,945,1000,-15,AA,301,N4AA,LGA,ORD,130,733,8,0,2013-01-03T13:00:00Z",
]
WEATHER = """origin,year,month,day,hour,temp,dewp,humid,wind_dir,wind_speed,wind_gust,precip,pressure,visib,time_hour
EWR,2013,1,1,1,39.02,26.06,59.37,270,10.357019999999999,NA,0,1012,10,2013-01-01T06:00:00Z
JFK,2013,1,1,1,39.02,NA,59.37,NA,NA,NA,0.01,NA,10,2013-01-01T06:00:00Z
EWR,2013,1,1,19,39.02,26.06,59.37,270,10.3,25.3,0,1012,10,2013-01-02T00:00:00Z
"""
PLANES = """tailnum,year,type,manufacturer,model,engines,seats,speed,engine
N14228,1999,Fixed wing multi engine,BOEING,737-824,2,149,NA,Turbo-fan
N9DL,NA,Fixed wing multi engine,AIRBUS,A320-214,2,182,432,Turbo-fan
"""
AIRLINES = 'carrier,name\nUA,United Air Lines Inc.\nEV,"ExpressJet, Airlines Inc."\n'
AIRPORTS = """faa,name,lat,lon,alt,tz,dst,tzone
ATL,Hartsfield Jackson Atlanta Intl,33.636719,-84.428067,1026,-5,A,America/New_York
EWR,Newark Liberty Intl,40.6925,-74.168667,18,-5,A,America/New_York
IAH,George Bush Intercontinental,29.984433,-95.341442,97,-6,A,America/Chicago
JFK,John F Kennedy Intl,40.639751,-73.778925,13,-5,A,America/New_York
LAX,Los Angeles Intl,33.942536,-118.408075,126,-8,A,America/Los_Angeles
LGA,La Guardia,40.777245,-73.872608,22,-5,A,America/New_York
ORD,Chicago Ohare Intl,41.978603,-87.904842,668,-6,A,America/Chicago
RDU,Raleigh Durham Intl,35.877639,-78.787472,435,-5,A,America/New_York
XNA,NW Arkansas Regional,36.281869,-94.306811,1287,-6,A,America/Chicago
"""

SourceMaker = Callable[..., Path]


@pytest.fixture
def make_source(tmp_path: Path) -> SourceMaker:
    """Write a source folder: the small one, with whole files or the lines of flights replaced."""

    def make(*flights: str, name: str = "source", **files: str) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        texts = {
            "flights": "\n".join([FLIGHTS_HEADER, *(flights or FLIGHTS)]) + "\n",
            "weather": WEATHER,
            "planes": PLANES,
            "airlines": AIRLINES,
            "airports": AIRPORTS,
        }
        for table, text in (texts | files).items():
            (folder / f"{table}.csv").write_text(text)
        return folder

    return make


@pytest.fixture
def source(make_source: SourceMaker) -> Path:
    """The small source as five CSV files."""
    return make_source()


def read_lines(*files: Path) -> list[dict[str, Any]]:
    """The JSON lines of some files, in order."""
    return [json.loads(line) for file in files for line in file.read_text(encoding="utf-8").split("\n") if line]


@pytest.fixture
def lines() -> Callable[..., list[dict[str, Any]]]:
    """See `read_lines`."""
    return read_lines


def read_tree(root: Path) -> dict[str, bytes]:
    """Every file below a folder with its bytes."""
    return {str(file.relative_to(root)): file.read_bytes() for file in sorted(root.rglob("*")) if file.is_file()}


@pytest.fixture
def tree() -> Callable[[Path], dict[str, bytes]]:
    """See `read_tree`."""
    return read_tree
