"""Late, doubled and broken messages: how many, which, and in what way."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airline.replay.disorder import BROKEN, Disorder
from airline.replay.errors import BadShare
from airline.replay.topics import Post, Report, as_json

pytestmark = pytest.mark.slow

SENT_AT = datetime(2013, 1, 1, 10, 17, 36, tzinfo=UTC)
HOUR = timedelta(hours=1)
CHECKS: dict[str, Callable[[dict[str, Any], Post], bool]] = {
    "wrong_type": lambda value, _: isinstance(value["flight"], str) and not value["flight"].isdigit(),
    "missing_key_field": lambda value, _: len({"flight_date", "carrier", "flight", "origin"} - set(value)) == 1,
    "future_timestamp": lambda value, post: datetime.fromisoformat(value["departed_at"]) >= post.sent_at + HOUR,
    "impossible_airport": lambda value, _: any(
        not re.fullmatch("[A-Z]{3}", value[place]) for place in ("origin", "dest")
    ),
}
"""What the contracts of silver object to."""


def a_report(number: int = 1) -> Report:
    value: dict[str, Any] = {
        "flight_date": "2013-01-01",
        "carrier": "UA",
        "flight": number,
        "origin": "EWR",
        "dest": "IAH",
        "tail_number": None,
        "scheduled_departure_at": "2013-01-01T10:15:00Z",
        "departed_at": "2013-01-01T10:17:00Z",
    }
    return Report("departures", f"2013-01-01|UA|{number}|EWR", value, "departed_at", SENT_AT)


REPORTS = [a_report(number) for number in range(10_000)]


def posts(disorder: Disorder) -> list[Post]:
    return [post for report in REPORTS for post in disorder.posts(report)]


def kinds(found: list[Post]) -> Counter[str]:
    return Counter(post.injected[0] if post.injected else "none" for post in found)


def test_without_disorder_every_message_is_sent_once_and_in_time() -> None:
    assert posts(Disorder(seed=7)) == [
        Post(SENT_AT, report.key, 1, as_json(report.value), "departures", date(2013, 1, 1)) for report in REPORTS
    ]


@pytest.mark.parametrize("share", [0.01, 0.3])
def test_shares_are_kept(share: float) -> None:
    """Ten thousand messages: 0.02 is four to ten standard deviations."""
    found = kinds(posts(Disorder(late=share, duplicates=share, malformed=share, seed=1)))
    for kind in ("late", "malformed"):
        assert found[kind] / len(REPORTS) == pytest.approx(share, abs=0.02)
    assert found["duplicate"] / len(REPORTS) == pytest.approx(share, abs=0.02)


def test_share_1_is_every_message() -> None:
    found = posts(Disorder(late=1, duplicates=1, malformed=1))
    assert kinds(found) == {"late": 10_000, "duplicate": 10_000, "malformed": 10_000}


def test_a_late_message_is_intact_and_comes_1_hour_to_10_days_later() -> None:
    found = posts(Disorder(late=1))
    delays = [post.sent_at - SENT_AT for post in found]
    assert [post.value for post in found] == [as_json(report.value) for report in REPORTS]
    assert HOUR <= min(delays) < 2 * HOUR
    assert timedelta(days=9, hours=22) < max(delays) <= timedelta(days=10)
    assert {post.undisturbed_day for post in found} == {date(2013, 1, 1)}
    assert all(post.injected == ("late", f"by {delay}") for post, delay in zip(found, delays, strict=True))


def test_a_duplicate_has_the_same_key_and_value_and_comes_up_to_6_hours_later() -> None:
    found = posts(Disorder(duplicates=1))
    first, second = found[::2], found[1::2]
    assert [(post.key, post.value) for post in first] == [(post.key, post.value) for post in second]
    delays = [echo.sent_at - post.sent_at for post, echo in zip(first, second, strict=True)]
    assert timedelta(0) < min(delays)
    assert 5 * HOUR < max(delays) <= 6 * HOUR


def test_a_duplicate_of_a_late_message_comes_after_it() -> None:
    for report in REPORTS[:100]:
        first, second = Disorder(late=1, duplicates=1).posts(report)
        assert first.injected is not None
        assert second.injected is not None
        assert (first.injected[0], second.injected[0]) == ("late", "duplicate")
        assert second.sent_at > first.sent_at > SENT_AT


def test_a_broken_copy_is_received_before_the_intact_message_at_the_same_moment() -> None:
    found = posts(Disorder(malformed=1))
    for intact, broken in zip(found[::2], found[1::2], strict=True):
        assert intact.injected is None
        assert sorted([intact, broken]) == [broken, intact]
        assert broken.sent_at == intact.sent_at
        assert broken.value != intact.value


def test_all_kinds_of_broken_copies_occur_and_each_is_what_it_says() -> None:
    broken = [
        post for post in posts(Disorder(malformed=1, late=0.5)) if post.injected and post.injected[0] == "malformed"
    ]
    details = Counter(post.injected[1] for post in broken if post.injected)
    assert set(details) == set(BROKEN) == {*CHECKS, "bad_json"}
    assert min(details.values()) > 1800
    for post in broken:
        assert post.injected is not None
        detail = post.injected[1]
        if detail == "bad_json":
            with pytest.raises(json.JSONDecodeError):
                json.loads(post.value)
        else:
            assert CHECKS[detail](json.loads(post.value), post)


def test_an_intact_message_passes_the_same_checks() -> None:
    [post] = Disorder().posts(a_report())
    assert not any(check(json.loads(post.value), post) for check in CHECKS.values())


def test_another_seed_disturbs_other_messages() -> None:
    late = [{post.key for post in posts(Disorder(late=0.5, seed=seed)) if post.injected} for seed in (1, 2)]
    assert 2_000 < len(late[0] & late[1]) < 3_000


def test_a_larger_share_disturbs_the_same_messages_and_more() -> None:
    few, many = ({post for post in posts(Disorder(late=share)) if post.injected} for share in (0.05, 0.2))
    assert few < many


def test_one_kind_does_not_change_another() -> None:
    alone = {post for post in posts(Disorder(malformed=0.1)) if post.injected}
    together = {post for post in posts(Disorder(malformed=0.1, duplicates=0.5)) if post.injected}
    assert alone < together


def test_the_draw_is_the_same_on_every_machine() -> None:
    """The literal result of one message: it changes only when somebody changes which messages a seed disturbs."""
    first, second, third = Disorder(late=1, duplicates=1, malformed=1, seed=3).posts(a_report(1545))
    assert [first.injected, second.injected, third.injected] == [
        ("late", "by 6 days, 0:36:43"),
        ("duplicate", "after 2:14:17"),
        ("malformed", "wrong_type"),
    ]


@given(seed=st.integers(), flight=st.integers(0, 9999), share=st.floats(0, 1))
def test_a_message_is_never_lost(seed: int, flight: int, share: float) -> None:
    report = a_report(flight)
    found = list(Disorder(share, share, share, seed).posts(report))
    assert as_json(report.value) in [post.value for post in found]
    assert all(SENT_AT <= post.sent_at < SENT_AT + timedelta(days=11) for post in found)


@pytest.mark.parametrize("share", [-0.1, 1.5, float("nan"), float("inf")])
@pytest.mark.parametrize("name", ["late", "duplicates", "malformed"])
def test_a_share_is_between_0_and_1(name: str, share: float) -> None:
    shares: Any = {name: share}
    with pytest.raises(BadShare, match=f"--{name} {share}: expected a share of the messages between 0 and 1"):
        Disorder(**shares)
