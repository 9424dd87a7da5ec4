"""Cron lines: what can fire and what cannot, and when, where clocks are changed."""

from __future__ import annotations

import datetime as dt
import itertools

import pytest

from pipeline.cron import NICKNAMES, check_line, check_zone, occurrences
from tests.pipeline.schedules import utc


def times(line: str, zone: str, after: str, count: int) -> list[str]:
    return [moment.isoformat()[:16] for moment in itertools.islice(occurrences(line, zone, utc(after)), count)]


@pytest.mark.parametrize("line", ["0 3 * * *", "*/15 8-18 * * MON-FRI", "0 0 29 2 *", "0 0 * 2 MON#5", "0 0 L * *", " 0  3 1,15 * * "])
def test_a_line_that_can_fire_is_taken_with_single_blanks(line: str) -> None:
    assert check_line(line) == " ".join(line.split())


@pytest.mark.parametrize("line", ["0 0 30 2 *", "0 0 31 4,6,9,11 *", "0 12 31 2 *"])
def test_a_line_that_can_never_fire_is_refused(line: str) -> None:
    with pytest.raises(ValueError, match=r"can never fire: no day fits day-of-month 3\d in month .*; give a day that its months have"):
        check_line(line)


@pytest.mark.parametrize(
    ("line", "about"),
    [
        ("60 * * * *", "its minute is wrong"),
        ("0 24 * * *", "its hour is wrong"),
        ("0 0 0 * *", "its day-of-month is wrong"),
        ("0 0 32 2 *", "its day-of-month is wrong"),
        ("0 0 * 13 *", "its month is wrong"),
        ("0 0 * * 8", "its day-of-week is wrong"),
        ("0 0 * *", "has 4 fields; a cron line has five"),
        ("0 0 0 * * *", "has 6 fields"),
        ("", "has 0 fields"),
        ("*/0 * * * *", "its minute is wrong"),
        ("5-1 * * * *", "its minute is wrong"),
    ],
)
def test_a_wrong_line_is_told_by_the_field_that_is_wrong(line: str, about: str) -> None:
    with pytest.raises(ValueError, match=about):
        check_line(line)


@pytest.mark.parametrize("nickname", list(NICKNAMES))
def test_a_nickname_is_told_as_the_line_it_stands_for(nickname: str) -> None:
    with pytest.raises(ValueError, match="write the line it stands for") as error:
        check_line(nickname)
    check_line(str(error.value).split("'")[1])


@pytest.mark.parametrize(
    ("zone", "near"), [("Europe/Berln", "Europe/Berlin"), ("Kolkatta", "Asia/Kolkata"), ("new york", "America/New_York"), ("utcc", "UTC")]
)
def test_a_time_zone_that_does_not_exist_is_told_with_the_closest(zone: str, near: str) -> None:
    with pytest.raises(ValueError, match="is no time zone") as error:
        check_zone(zone)
    assert f"did you mean '{near}'?" in str(error.value)


def test_a_path_is_no_time_zone() -> None:
    for name in ("../../etc/passwd", "/etc/localtime", ""):
        with pytest.raises(ValueError, match="is no time zone"):
            check_zone(name)


def test_a_line_follows_its_time_zone() -> None:
    assert times("0 3 * * *", "Europe/Berlin", "2026-01-01T00:00", 1) == ["2026-01-01T02:00"]
    assert times("0 3 * * *", "Europe/Berlin", "2026-07-01T00:00", 1) == ["2026-07-01T01:00"]
    assert times("0 3 * * *", "UTC", "2026-07-01T00:00", 1) == ["2026-07-01T03:00"]


def test_an_hour_that_does_not_exist_fires_at_the_next_minute_that_does_and_once() -> None:
    """29 March 2026: 02:00 to 03:00 is left out in Berlin; 03:00 there is 01:00 UTC."""
    assert times("30 2 * * *", "Europe/Berlin", "2026-03-28T00:00", 3) == ["2026-03-28T01:30", "2026-03-29T01:00", "2026-03-30T00:30"]
    assert times("15,45 2 * * *", "Europe/Berlin", "2026-03-28T12:00", 3) == ["2026-03-29T01:00", "2026-03-30T00:15", "2026-03-30T00:45"]


def test_an_hour_that_comes_twice_fires_at_the_first_of_the_two_alone() -> None:
    """25 October 2026: 02:00 to 03:00 comes twice in Berlin, at 00:00 and at 01:00 UTC."""
    assert times("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00", 2) == ["2026-10-25T00:30", "2026-10-26T01:30"]


def test_a_line_that_begins_with_a_star_follows_the_clock_that_passes() -> None:
    assert times("*/30 * * * *", "Europe/Berlin", "2026-10-25T00:00", 4) == [
        "2026-10-25T00:30",
        "2026-10-25T01:00",
        "2026-10-25T01:30",
        "2026-10-25T02:00",
    ]
    assert times("0 * * * *", "Europe/Berlin", "2026-03-29T00:00", 2) == ["2026-03-29T01:00", "2026-03-29T02:00"]


@pytest.mark.parametrize("line", ["30 2 * * *", "0 * * * *", "*/20 1-3 * * *", "50 2 * * SUN", "15,45 2 * * *"])
@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "UTC"])
def test_it_makes_no_difference_after_which_moment_one_looks(line: str, zone: str) -> None:
    """A scheduler begins anew from the last moment that is accounted for, again and again."""
    for begin, end in ((utc("2026-03-05T00:00"), utc("2026-04-08T00:00")), (utc("2026-10-01T00:00"), utc("2026-11-04T00:00"))):
        whole = list(itertools.takewhile(lambda moment, end=end: moment < end, occurrences(line, zone, begin)))
        stepwise: list[dt.datetime] = []
        while (moment := next(occurrences(line, zone, stepwise[-1] if stepwise else begin))) < end:
            stepwise.append(moment)
        assert stepwise == whole
        assert whole == sorted(set(whole))


def test_a_moment_within_a_second_is_not_found_again() -> None:
    moment = utc("2026-01-01T03:00")
    assert next(occurrences("0 3 * * *", "UTC", moment)) == moment + dt.timedelta(days=1)
    assert next(occurrences("0 3 * * *", "UTC", moment + dt.timedelta(microseconds=1))) == moment + dt.timedelta(days=1)
    assert next(occurrences("0 3 * * *", "UTC", moment - dt.timedelta(microseconds=1))) == moment
