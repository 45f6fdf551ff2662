"""Names of callers, from the configuration and from CSV files as programs export them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sipmail.config.model import Contacts as Section
from sipmail.mail.contacts import Contacts, read
from tests.mail.post import CONFIG

JAN = {"+48601234567": "Jan Żółć"}


@pytest.mark.parametrize(
    "text",
    [
        "name,phone\nJan Żółć,+48 601 234 567\n",
        "Nazwa;Telefon\nJan Żółć;601-234-567\n",
        "Imię\tNazwisko\tTelefon komórkowy\nJan\tŻółć\t601 234 567\n",
        "601234567,Jan Żółć\n",
        "Jan Żółć;0048601234567\n",
        '"First Name","Last Name","Phone 1 - Label","Phone 1 - Value"\n'
        "Jan,Żółć,Mobile,601 234 567\n",
        "Name,E-mail,Mobile\nJan Żółć,jan@example.com,(601) 234-567\n",
        "sep=;\r\nImię;Nazwisko;Telefon\r\nJan;Żółć;601234567\r\n",
        "id;nazwa;telefon\n7;Jan Żółć;601234567\n\n",
        "name,phone,comment\nNobody,,\n,601234568,\nJan Żółć,601234567,\nShort\n"
        "Jan,601234567,later\n",
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1250", "iso-8859-2"])
def test_files_as_programs_write_them(tmp_path: Path, text: str, encoding: str) -> None:
    file = tmp_path / "contacts.csv"
    file.write_bytes(text.encode(encoding))
    assert read(file, "PL") == JAN


def test_several_numbers_and_a_company(tmp_path: Path) -> None:
    file = tmp_path / "contacts.csv"
    file.write_text(
        "Name,Company,Phone,Fax\nEva,Sun Ltd,601111111 ::: 602222222,22 123 45 67\n,Moon,201,\n"
    )
    assert read(file, "PL") == {
        "+48601111111": "Eva (Sun Ltd)",
        "+48602222222": "Eva (Sun Ltd)",
        "+48221234567": "Eva (Sun Ltd)",
        "201": "Moon",
    }


def test_numbers_in_the_lines_of_a_cell(tmp_path: Path) -> None:
    file = tmp_path / "contacts.csv"
    file.write_text('Name,Phone\nEva,"601111111\n602222222"\n')
    assert set(read(file, "PL")) == {"+48601111111", "+48602222222"}


@pytest.mark.parametrize("encoding", ["cp1250", "iso-8859-2"])
def test_letters_that_two_code_pages_place_differently(tmp_path: Path, encoding: str) -> None:
    file = tmp_path / "contacts.csv"
    file.write_bytes("Łucja Śliwińska-Wąż,601234567\n".encode(encoding))
    assert read(file, "PL") == {"+48601234567": "Łucja Śliwińska-Wąż"}


def test_what_is_written_in_a_file_stays_text(tmp_path: Path) -> None:
    file = tmp_path / "contacts.csv"
    file.write_text('name,phone\n"Eva\nBcc: x@example.com",601111111\n"=cmd()",602222222\n')
    assert "\n" not in "".join(read(file, "PL").values())


@pytest.mark.parametrize("data", [b"", b"\n\n", b"name,phone\n", b"\x00\xff\xfe", b"a,b\nc,d\n"])
def test_files_without_contacts(tmp_path: Path, data: bytes) -> None:
    file = tmp_path / "contacts.csv"
    file.write_bytes(data)
    assert read(file, "PL") == {}


def contacts(*files: Path, now: list[float], **numbers: str) -> Contacts:
    section = Section(numbers=numbers, files=files)
    return Contacts(CONFIG.model_copy(update={"contacts": section}), lambda: now[0])


def test_a_file_is_read_again_when_it_changes(tmp_path: Path) -> None:
    file = tmp_path / "contacts.csv"
    file.write_text("Eva,601111111\n")
    now = [0.0]
    known = contacts(file, now=now)
    assert known.name("+48601111111") == "Eva"
    file.write_text("Eve,601111111\n")
    os.utime(file, ns=(1, 1))
    now[0] += 0.5
    assert known.name("+48601111111") == "Eva"
    now[0] += 1.0
    assert known.name("+48601111111") == "Eve"
    file.unlink()
    now[0] += 2.0
    assert known.name("+48601111111") == "Eve"


def test_who_comes_first(tmp_path: Path) -> None:
    one, two = tmp_path / "one.csv", tmp_path / "two.csv"
    one.write_text("One,601111111\n")
    two.write_text("Two,601111111\nTwo,602222222\nTwo,603333333")
    known = contacts(one, two, now=[0.0], **{"603333333": "Three"})
    numbers = ("+48601111111", "602222222", "603333333", "+48604444444", None, "")
    assert [known.name(number) for number in numbers] == ["One", "Two", "Three", None, None, None]
