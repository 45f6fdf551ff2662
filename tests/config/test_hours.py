"""Opening hours, Polish public holidays, and the days of 23 and 25 hours.

The holidays are those of the Act on days free from work (Ustawa o dniach wolnych od pracy): among
them 11 November, Corpus Christi (60 days after Easter), and since 2025 Christmas Eve.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from sipmail.config.hours import check, is_open

WARSAW = ZoneInfo("Europe/Warsaw")
OFFICE = "Mo-Fr 08:00-16:00; PH off"


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=WARSAW)


@pytest.mark.parametrize(
    ("when", "opened"),
    [
        ("2026-11-10 10:00", True),  # Tuesday
        ("2026-11-10 07:59", False),
        ("2026-11-10 08:00", True),
        ("2026-11-10 15:59", True),
        ("2026-11-10 16:00", False),
        ("2026-11-14 10:00", False),  # Saturday
    ],
)
def test_the_hours_of_a_week(when: str, opened: bool) -> None:
    assert is_open(OFFICE, at(when), "PL") is opened


@pytest.mark.parametrize(
    "day",
    [
        "2026-01-01", "2026-01-06", "2026-04-06", "2026-05-01", "2026-06-04", "2026-11-11",
        "2026-12-24", "2026-12-25", "2027-03-29", "2027-05-03", "2027-05-27", "2027-11-01",
        "2028-08-15", "2030-05-01", "2035-11-01",
    ],
)  # fmt: skip
def test_polish_holidays_are_closed(day: str) -> None:
    when = at(f"{day} 10:00")
    assert when.weekday() < 5
    assert not is_open(OFFICE, when, "PL")
    assert is_open("Mo-Fr 08:00-16:00", when, "PL")


def test_a_holiday_is_on_call() -> None:
    on_call = "Mo-Fr 16:00-08:00; Sa,Su,PH"
    assert is_open(on_call, at("2026-11-11 10:00"), "PL")
    assert not is_open(on_call, at("2026-11-12 10:00"), "PL")
    assert is_open(on_call, at("2026-11-12 20:00"), "PL")
    assert is_open(on_call, at("2026-11-13 03:00"), "PL")


def test_other_countries_have_other_holidays() -> None:
    assert is_open(OFFICE, at("2026-11-11 10:00"), "DE")
    assert not is_open(OFFICE, at("2026-12-25 10:00"), "DE")


def test_the_clock_on_the_wall_counts_when_it_is_changed() -> None:
    # 2026-03-29 02:00 CET becomes 03:00 CEST; 2026-10-25 03:00 CEST becomes 02:00 CET.
    before = datetime(2026, 3, 29, 0, 59, tzinfo=UTC)
    spring = "Su 03:00-04:00"
    assert not is_open(spring, before.astimezone(WARSAW), None)
    assert is_open(spring, (before + timedelta(minutes=1)).astimezone(WARSAW), None)
    autumn = "Su 02:15-02:45"
    first = datetime(2026, 10, 25, 0, 30, tzinfo=UTC).astimezone(WARSAW)
    second = datetime(2026, 10, 25, 1, 30, tzinfo=UTC).astimezone(WARSAW)
    assert (first.fold, second.fold) == (0, 1)
    assert is_open(autumn, first, None)
    assert is_open(autumn, second, None)
    # In summer 06:30 UTC is 08:30 in Warsaw, in winter 07:30.
    summer, winter = (
        datetime(2026, 7, 1, 6, 30, tzinfo=UTC),
        datetime(2026, 12, 1, 6, 30, tzinfo=UTC),
    )
    assert is_open(OFFICE, summer.astimezone(WARSAW), "PL")
    assert not is_open(OFFICE, winter.astimezone(WARSAW), "PL")


@pytest.mark.parametrize(
    "text",
    ["24/7", "Mo-Sa 08:00-12:00,13:00-17:00; Dec 24 off", 'Mo 08:00-09:00 "PH"', "week 1-26 Mo"],
)
def test_hours_that_need_no_country(text: str) -> None:
    check(text, None)
    check(text, "PL")


@pytest.mark.parametrize(
    ("text", "country", "hint"),
    [
        ("", "PL", "the hours are empty"),
        ("Mo-Fr 8-16", "PL", "from '8-16' on"),
        ("from nine to five", "PL", "cannot be understood"),
        ("Mo-Fr 25:00-26:00", "PL", "from '25:00-26:00' on"),
        ("Mo-Fr 08:00-16:00; PH off", None, "add country:"),
        ("Mo-Fr 08:00-16:00; SH off", "PL", "school holidays"),
        ("sunrise-sunset", "PL", "sunrise is not known here"),
        ("PH off", "AQ", "write their dates instead of PH"),
    ],
)
def test_hours_that_are_wrong(text: str, country: str | None, hint: str) -> None:
    with pytest.raises(ValueError, match=hint):
        check(text, country)
