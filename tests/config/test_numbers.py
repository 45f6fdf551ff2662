"""Numbers of one subscriber compare equal, whatever form a carrier or a person gives them."""

from __future__ import annotations

import subprocess
import sys

import pytest

from sipmail.config.numbers import country_name, display, normalize


@pytest.mark.parametrize(
    "written",
    [
        "+48221234567", "0048221234567", "221234567", "48221234567", "22 123 45 67", "22-123-45-67",
        "(22) 123 45 67", "+48 (22) 123-45-67", "+48 (0) 22 123 45 67", "+48.22.123.45.67",
        "sip:+48221234567@pbx.example.com;user=phone", "sip:%2B48221234567@pbx.example.com",
        "sips:221234567@pbx.example.com", "+48221234567;npdi;rn=+48500",
        "tel:+48-22-123-45-67", "tel:221234567;phone-context=+48",
        "sip:221234567;phone-context=+48@carrier.example.com;user=phone",
        "TEL:+48(22)1234567",
    ],
)  # fmt: skip
def test_one_polish_number(written: str) -> None:
    assert normalize(written, "PL") == "+48221234567"


@pytest.mark.parametrize(
    "written",
    [
        "201",
        "2",
        "20100",
        "201234",
        "112",
        "*98",
        "*98#",
        "#31#",
        "sales",
        "anna.k",
        "anonymous",
        "",
    ],
)
@pytest.mark.parametrize("country", ["PL", "DE", "US", None])
def test_an_extension_stays_what_it_is(written: str, country: str | None) -> None:
    assert normalize(written, country) == written


def test_the_country_decides_how_a_national_number_is_read() -> None:
    assert normalize("020 7946 0958", "GB") == "+442079460958"
    assert normalize("(212) 555-0100", "US") == "+12125550100"
    assert normalize("011 48 22 123 45 67", "US") == "+48221234567"
    assert normalize("030 123456", "DE") == "+4930123456"
    # Without a country only international forms are known.
    assert normalize("221234567", None) == "221234567"
    assert normalize("0048221234567", None) == "+48221234567"


def test_the_number_of_a_uri_ends_where_its_user_ends() -> None:
    assert normalize("sip:201@10.0.0.1:5060;transport=tcp", "PL") == "201"
    assert normalize("tel:201;phone-context=pbx.example.com", "PL") == "201"


def test_numbers_for_people() -> None:
    assert display("+48221234567") == "+48 22 123 45 67"
    assert display("+48600123456") == "+48 600 123 456"
    assert display("+442079460958") == "+44 20 7946 0958"
    assert display("201") == "201"
    assert display("+1") == "+1"
    assert display("+999123456789") == "+999123456789"
    assert display("anonymous") == "anonymous"


@pytest.mark.parametrize(
    ("number", "polish", "english"),
    [
        ("+48600123456", "Polska", "Poland"),
        ("+4930123456", "Niemcy", "Germany"),
        ("+442079460958", "Wielka Brytania", "United Kingdom"),
        ("201", "", ""),
        ("+80012345678", "", ""),  # universal freephone: of no country
        ("+999123456789", "", ""),
    ],
)
def test_countries(number: str, polish: str, english: str) -> None:
    assert country_name(number, "pl") == polish
    assert country_name(number, "en") == english


def test_every_country_has_a_name() -> None:
    from phonenumbers import SUPPORTED_REGIONS

    from sipmail.config.numbers import _country_names

    for language in ("pl", "en"):
        names = _country_names(language)
        # Territories that the library's names leave out.
        assert {region for region in SUPPORTED_REGIONS if not names.get(region)} <= {
            "AC",
            "TA",
            "XK",
        }


def test_importing_costs_nothing_until_a_number_needs_it() -> None:
    code = (
        "import sys; from sipmail.config.numbers import normalize, country_name;"
        "normalize('201', 'PL'); normalize('+48221234567', 'PL');"
        "assert 'phonenumbers' not in sys.modules; country_name('+48221234567', 'pl');"
        "assert 'phonenumbers.geodata' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
