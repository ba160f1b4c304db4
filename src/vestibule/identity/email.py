r"""Reads an e-mail address by the published rule and makes the key that finds a contact; it must not guess at typos.

The rule is the pattern of the seed (opencx-authenticate-user.openapi.md):

    ^(?!\.)(?!.*\.\.)([A-Za-z0-9_'+\-\.]*)[A-Za-z0-9_+-]@([A-Za-z0-9][A-Za-z0-9\-]*\.)+[A-Za-z]{2,}$

with the lengths of RFC 5321 section 4.5.3.1 and the label rule of RFC 1035 section 2.3.1 (no hyphen at the end). It is
applied to every source alike: what an identity provider or a customer's endpoint says is not bound by the pattern.

The pattern is ASCII only, so lower-casing cannot join two people: the letters that fold onto ASCII from outside (the
Kelvin sign, the long s) are refused before. Sub-addresses (`a+b@`) and dots are not folded: who owns them is the mail
provider's business. The local part is folded, as every large provider does, because two contacts for `Ada@` and `ada@`
would be one person in two halves.
"""

from __future__ import annotations

import re

from vestibule.errors import InvalidField

LONGEST = 254
# Character classes only, matched against the parts between fixed separators: no nested repeat, so no backtracking.
_LOCAL = re.compile(r"[A-Za-z0-9_'+\-.]{0,63}[A-Za-z0-9_+\-]")
_LABEL = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9\-]{0,61}[A-Za-z0-9])?")
_TOP_LABEL = re.compile(r"[A-Za-z]{2,63}")


def email_key(address: str, field: str = "email") -> str:
    """The key of an address: lower-cased ASCII. Raises InvalidField, naming `field`."""
    if len(address) > LONGEST:
        raise InvalidField(field, f"must be at most {LONGEST} characters")
    local, at, domain = address.partition("@")
    labels = domain.split(".")
    if (
        not at
        or local.startswith(".")
        or ".." in address
        or _LOCAL.fullmatch(local) is None
        or len(labels) < 2
        or _TOP_LABEL.fullmatch(labels[-1]) is None
        or not all(_LABEL.fullmatch(label) for label in labels[:-1])
    ):
        raise InvalidField(field, "must be an e-mail address such as ada@example.com")
    return address.lower()
