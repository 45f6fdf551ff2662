"""E-mails in Polish."""

from __future__ import annotations

from datetime import datetime

from sipmail.mail.wording import Wording, parts, short

_DAYS = ("poniedziałek", "wtorek", "środa", "czwartek", "piątek", "sobota", "niedziela")
_MONTHS = (
    "stycznia",
    "lutego",
    "marca",
    "kwietnia",
    "maja",
    "czerwca",
    "lipca",
    "sierpnia",
    "września",
    "października",
    "listopada",
    "grudnia",
)
_HOURS = ("godzina", "godziny", "godzin")
_MINUTES = ("minuta", "minuty", "minut")
_SECONDS = ("sekunda", "sekundy", "sekund")


def plural(count: int, one: str, few: str, many: str) -> str:
    """1 minuta, 2 minuty, 5 minut, 12 minut, 22 minuty."""
    if count == 1:
        return one
    return few if 2 <= count % 10 <= 4 and not 12 <= count % 100 <= 14 else many


class Polish(Wording):
    code = "pl"

    message = "Nowa wiadomość głosowa"
    urgent_message = "Pilna wiadomość głosowa"
    missed_call = "Nieodebrane połączenie"
    missed_subject = "Nieodebrane: "
    urgent_subject = "Pilne: "
    no_message_left = "Osoba dzwoniąca nie zostawiła wiadomości."
    withheld = "Numer zastrzeżony"
    unknown = "Numer nieznany"
    withheld_file = "zastrzezony"
    unknown_file = "nieznany"

    caller = "Kto dzwonił"
    number = "Numer"
    mailbox = "Skrzynka"
    called = "Wybrany numer"
    why = "Powód"
    when = "Kiedy"
    length = "Długość"
    also_called = "Ponowne próby"
    larger_than_allowed = "Nagranie jest długie, dlatego załączono je w mniejszym formacie."

    call = "Zadzwoń"
    call_back = "Oddzwonię"
    call_back_hint = (
        "„Oddzwonię” przygotuje e-mail do wszystkich odbiorców z informacją, że zajmiesz się tą "
        "rozmową."
    )
    answer_all = "Oddzwaniasz? Odpowiedz wszystkim, aby inni o tym wiedzieli."
    attached = "Nagranie jest w załączniku:"
    waveform = "Wykres głośności nagrania"
    attention = "Uwaga"

    reasons = {  # noqa: RUF012 - a constant of the language
        "no-answer": "nikt nie odebrał",
        "busy": "linia była zajęta",
        "unavailable": "telefon był niedostępny",
        "unconditional": "połączenia są przekierowane na pocztę głosową",
    }
    endings = {  # noqa: RUF012
        "timeout": "Połączenie urwało się: od pewnej chwili nie docierał już żaden dźwięk.",
        "interrupted": "Nagranie zostało przerwane przez awarię lub ponowne uruchomienie systemu; "
        "może brakować końcówki.",
        "shutdown": "Nagranie zostało przerwane, bo system był właśnie wyłączany; "
        "może brakować końcówki.",
        "media": "Nagranie zostało przerwane przez awarię systemu; może brakować końcówki.",
        "max": "Nagranie osiągnęło najdłuższy dozwolony czas i zostało ucięte.",
    }
    notes = {  # noqa: RUF012
        "fax": "Na ten numer próbowano wysłać faks.",
    }
    silent = "W nagraniu prawie nic nie słychać."

    def duration(self, seconds: float) -> str:
        hours, minutes, rest = parts(seconds)
        counted = ((hours, _HOURS), (minutes, _MINUTES), (rest, _SECONDS))
        words = [f"{count} {plural(count, *forms)}" for count, forms in counted if count]
        return " ".join(words) or "mniej niż sekunda"

    def date(self, when: datetime) -> str:
        return (
            f"{_DAYS[when.weekday()]}, {when.day} {_MONTHS[when.month - 1]} {when.year} r., "
            f"{when:%H:%M}"
        )

    def day(self, when: datetime) -> str:
        return f"{_DAYS[when.weekday()]}, {when:%H:%M}"

    def lost(self, share: float) -> str:
        percent = max(1, round(share * 100))
        return f"Jakość połączenia była słaba: zginęło około {percent}% dźwięku."

    def length_in_subject(self, seconds: float) -> str:
        return f"nagranie {short(seconds)}"

    def call_back_body(self, who: str, when: datetime) -> str:
        return f"Oddzwonię w sprawie połączenia: {who}, {self.date(when)}."
