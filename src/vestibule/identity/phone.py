"""Reads a phone number and makes the key that finds a contact, E.164 by libphonenumber; it must not refuse a person for
a bad number (DESIGN rule 2.7)."""

from __future__ import annotations

import functools
import re

import phonenumbers

# Digits and the usual separators. Letters are refused: libphonenumber would dial "1-800-FLOWERS", and a vanity
# spelling must not be a second name of somebody's key.
_WRITTEN = re.compile(r"\+?[0-9 ()\-./\u00a0]{3,40}")


@functools.lru_cache(maxsize=4096)  # parsing costs 100 µs, and the same visitors come again
def phone_key(number: str, country_code: str | None = None) -> str | None:
    """The E.164 form (`+4930123456`) of an international number, or of a national one with its `country_code`
    (`+49`, `49`, `0049` or `DE`); None where that is no valid number, for then it may be shown but finds nobody."""
    text = number.strip()
    if _WRITTEN.fullmatch(text) is None:
        return None
    region = None
    if not text.startswith("+"):
        region = region_of(country_code or "")
        if region is None:
            return None
    try:
        parsed = phonenumbers.parse(text, region)
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_valid_number(parsed):
        return None
    return phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164)


def calling_code(country_code: str) -> str | None:
    """`+84` of `+84`, `84`, `0084` or `VN`; None where this is no country code."""
    region = region_of(country_code)
    return f"+{phonenumbers.country_code_for_region(region)}" if region is not None else None


def region_of(country_code: str) -> str | None:
    """The region whose rules a national number is read by; None where this is no country code."""
    text = country_code.strip()
    if text.upper() in phonenumbers.SUPPORTED_REGIONS:
        return text.upper()
    digits = text.removeprefix("+") if text.startswith("+") else text.removeprefix("00")
    if not digits.isascii() or not digits.isdigit() or len(digits) > 3:
        return None
    region = phonenumbers.region_code_for_country_code(int(digits))
    return region if region in phonenumbers.SUPPORTED_REGIONS else None
