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
    (`+49`); None where that is no valid number, for then it may be shown but finds nobody."""
    text = number.strip()
    if _WRITTEN.fullmatch(text) is None:
        return None
    region = None
    if not text.startswith("+"):
        digits = (country_code or "").strip().removeprefix("+")
        if not digits.isascii() or not digits.isdigit() or len(digits) > 3:
            return None
        region = phonenumbers.region_code_for_country_code(int(digits))
    try:
        parsed = phonenumbers.parse(text, region)
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_valid_number(parsed):
        return None
    return phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164)
