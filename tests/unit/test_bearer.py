"""What an Authorization header must look like, against the grammar as it is written (RFC 9110 section 11.2, RFC 6750
section 2.1)."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vestibule.edge.bearer import bearer
from vestibule.edge.http import Request
from vestibule.errors import AmbiguousCredentials, MissingCredentials

GRAMMAR = re.compile(rb"[ \t]*[Bb][Ee][Aa][Rr][Ee][Rr] +([A-Za-z0-9\-._~+/]+=*)[ \t]*")
PIECES = (
    b"Bearer",
    b"bearer",
    b"Basic",
    b" ",
    b"  ",
    b"\t",
    b"=",
    b"==",
    b"a.b-c",
    b"~+/_9",
    b",",
    b"\x00",
    b"\xe9",
    b"",
)


def read(*values: bytes) -> str | None:
    async def receive() -> dict[str, str]:
        raise AssertionError("no body is read")

    headers = [(b"authorization", value) for value in values]
    try:
        return bearer(Request({"headers": headers, "method": "GET", "path": "/"}, receive))
    except MissingCredentials:
        return None


@given(st.lists(st.sampled_from(PIECES), max_size=8).map(b"".join) | st.binary(max_size=40))
def test_takes_what_the_grammar_takes(value: bytes) -> None:
    match = GRAMMAR.fullmatch(value)
    assert read(value) == (match[1].decode() if match is not None else None)


def test_has_a_bound_and_takes_one_header() -> None:
    assert read() is None
    assert read(b"Bearer " + b"a" * 4_089) == "a" * 4_089
    assert read(b"Bearer " + b"a" * 4_090) is None
    with pytest.raises(AmbiguousCredentials):
        read(b"Bearer a", b"Bearer a")
