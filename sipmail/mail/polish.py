"""E-mails in Polish.

What belongs together stays on one line: a word of one letter and the one after it, a number and
what it counts.
"""

from __future__ import annotations

import re
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
_TIE = "\u00a0"
_LONELY = re.compile(r"(?<![^\s(„])([aiouwz]) ", re.IGNORECASE)


def tied(text: str) -> str:
    """`text` whose words of one letter never stand at the end of a line."""
    return _LONELY.sub(rf"\1{_TIE}", text)


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
    larger_than_allowed = tied(
        "Nagranie jest długie, dlatego załączono je w formacie, który zajmuje mniej miejsca."
    )

    call = "Zadzwoń"
    call_back = "Oddzwonię"
    call_back_hint = (
        "„Oddzwonię” przygotuje e-mail do wszystkich odbiorców, aby wiedzieli, kto oddzwoni."
    )
    answer_all = tied("Oddzwaniasz? Odpowiedz wszystkim, aby inni o tym wiedzieli.")
    attached = tied("Nagranie jest w załączniku:")
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
        "max": tied("Nagranie osiągnęło największą dozwoloną długość i zostało ucięte."),
    }
    notes = {  # noqa: RUF012
        "fax": "Na ten numer próbowano wysłać faks.",
        "overrun": tied(
            "System był przez chwilę zbyt obciążony, żeby odebrać cały dźwięk: może brakować "
            "fragmentów nagrania lub jego końcówki."
        ),
    }
    cut_off = tied(
        "Połączenie zostało przerwane przez awarię lub ponowne uruchomienie systemu, zanim nagrano "
        "wiadomość."
    )
    silent = tied("W nagraniu prawie nic nie słychać.")

    def duration(self, seconds: float) -> str:
        hours, minutes, rest = parts(seconds)
        counted = ((hours, _HOURS), (minutes, _MINUTES), (rest, _SECONDS))
        words = [f"{count}{_TIE}{plural(count, *forms)}" for count, forms in counted if count]
        return " ".join(words) or "mniej niż sekunda"

    def date(self, when: datetime) -> str:
        return (
            f"{_DAYS[when.weekday()]}, {when.day}{_TIE}{_MONTHS[when.month - 1]} "
            f"{when.year}{_TIE}r., godz.{_TIE}{when:%H:%M}"
        )

    def day(self, when: datetime) -> str:
        return f"{_DAYS[when.weekday()]}, {when:%H:%M}"

    def lost(self, share: float) -> str:
        percent = max(1, round(share * 100))
        return f"Jakość połączenia była słaba: utracono około {percent}% dźwięku."

    def length_in_subject(self, seconds: float) -> str:
        return f"nagranie {short(seconds)}"

    def call_back_body(self, who: str, when: datetime) -> str:
        # Whoever writes this answer has usual spaces.
        when_in_words = self.date(when).replace(_TIE, " ")
        return f"Oddzwonię w sprawie połączenia: {who}, {when_in_words}."
