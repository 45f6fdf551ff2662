"""Numbers, lengths and dates in words, as people in Poland and elsewhere write them."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone

import pytest

from sipmail.mail.english import English
from sipmail.mail.polish import Polish, plural, tied
from sipmail.mail.wording import Wording, clock, short, wording
from tests.mail.post import WARSAW

POLISH, ENGLISH = Polish(), English()


# The rule of the Polish language council as Unicode's CLDR has it: one, few, many.
@pytest.mark.parametrize(
    ("count", "word"),
    [
        (0, "minut"),
        (1, "minuta"),
        (2, "minuty"),
        (3, "minuty"),
        (4, "minuty"),
        (5, "minut"),
        (11, "minut"),
        (12, "minut"),
        (13, "minut"),
        (14, "minut"),
        (15, "minut"),
        (21, "minut"),
        (22, "minuty"),
        (24, "minuty"),
        (25, "minut"),
        (31, "minut"),
        (100, "minut"),
        (101, "minut"),
        (102, "minuty"),
        (112, "minut"),
        (113, "minut"),
        (122, "minuty"),
    ],
)
def test_polish_plural(count: int, word: str) -> None:
    assert plural(count, "minuta", "minuty", "minut") == word


@pytest.mark.parametrize(
    ("seconds", "polish", "english"),
    [
        (0.2, "mniej niż sekunda", "less than a second"),
        (1, "1 sekunda", "1 second"),
        (2, "2 sekundy", "2 seconds"),
        (5, "5 sekund", "5 seconds"),
        (22, "22 sekundy", "22 seconds"),
        (59.4, "59 sekund", "59 seconds"),
        (59.6, "1 minuta", "1 minute"),
        (60, "1 minuta", "1 minute"),
        (61, "1 minuta 1 sekunda", "1 minute 1 second"),
        (125, "2 minuty 5 sekund", "2 minutes 5 seconds"),
        (300, "5 minut", "5 minutes"),
        (3600, "1 godzina", "1 hour"),
        (7384, "2 godziny 3 minuty 4 sekundy", "2 hours 3 minutes 4 seconds"),
        (18000, "5 godzin", "5 hours"),
    ],
)
def test_duration(seconds: float, polish: str, english: str) -> None:
    assert POLISH.duration(seconds) == re.sub(r"(\d) ", "\\1\u00a0", polish)
    assert ENGLISH.duration(seconds) == english


@pytest.mark.parametrize(
    ("seconds", "player", "signs"),
    [
        (0.2, "0:00", "0 s"),
        (42.3, "0:42", "42 s"),
        (60, "1:00", "1 min"),
        (65, "1:05", "1 min 5 s"),
        (3723, "1:02:03", "1 h 2 min 3 s"),
    ],
)
def test_short_lengths(seconds: float, player: str, signs: str) -> None:
    assert clock(seconds) == player
    assert short(seconds) == signs


def test_dates() -> None:
    when = datetime(2026, 11, 23, 14, 30, 12, tzinfo=WARSAW)
    assert POLISH.date(when) == ("poniedziałek, 23\u00a0listopada 2026\u00a0r., godz.\u00a014:30")
    assert ENGLISH.date(when) == "Monday, 23 November 2026, 14:30"
    assert POLISH.day(when) == "poniedziałek, 14:30"
    assert POLISH.date(when.replace(month=2, day=1, hour=7, minute=5)) == (
        "niedziela, 1\u00a0lutego 2026\u00a0r., godz.\u00a007:05"
    )


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("w załączniku", "w~załączniku"),
        ("W nagraniu i o tym", "W~nagraniu i~o~tym"),
        ("(z tym)", "(z~tym)"),
        ("za tym, na a", "za tym, na a"),
        ("Ewa w domu", "Ewa w~domu"),
    ],
)
def test_a_word_of_one_letter_is_tied_to_the_next(text: str, shown: str) -> None:
    assert tied(text) == shown.replace("~", "\u00a0")


def test_no_polish_word_of_one_letter_stands_alone() -> None:
    said = [*POLISH.endings.values(), *POLISH.notes.values(), *POLISH.reasons.values()]
    said += [
        text for name, text in vars(Polish).items() if isinstance(text, str) and name[0] != "_"
    ]
    said += [POLISH.lost(0.1), POLISH.silent]
    for text in said:
        assert tied(text) == text


def test_every_month_and_day_in_polish() -> None:
    months = [POLISH.date(datetime(2026, month, 1)).split()[2] for month in range(1, 13)]
    assert " ".join(months) == (
        "stycznia lutego marca kwietnia maja czerwca lipca sierpnia września października "
        "listopada grudnia"
    )
    days = [POLISH.day(datetime(2026, 11, 23) + timedelta(day)).split(",")[0] for day in range(7)]
    assert " ".join(days) == "poniedziałek wtorek środa czwartek piątek sobota niedziela"


@pytest.mark.parametrize(
    ("zone", "text"),
    [
        (WARSAW, "UTC+01:00"),
        (timezone(timedelta(hours=-3, minutes=-30)), "UTC-03:30"),
        (UTC, "UTC+00:00"),
    ],
)
def test_offset(zone: timezone, text: str) -> None:
    assert POLISH.zone(datetime(2026, 11, 23, 14, 30, tzinfo=zone)) == text


def test_summer_time() -> None:
    assert POLISH.zone(datetime(2026, 7, 1, tzinfo=WARSAW)) == "UTC+02:00"


@pytest.mark.parametrize("language", [POLISH, ENGLISH])
def test_a_language_says_everything(language: Wording) -> None:
    for name in Wording.__annotations__:
        assert getattr(language, name), name
    assert set(language.reasons) == {"no-answer", "busy", "unavailable", "unconditional"}
    assert set(language.endings) == set(POLISH.endings)
    assert set(language.notes) == set(POLISH.notes)


def test_the_language_by_its_code() -> None:
    assert wording("pl").code == "pl"
    assert wording("en").code == "en"


def test_losses_are_never_nothing() -> None:
    assert "1%" in POLISH.lost(0.001)
    assert "8%" in ENGLISH.lost(0.08)
