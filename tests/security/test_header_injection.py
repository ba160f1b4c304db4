"""Overrides become headers of requests that are sent later: no name and no value may change the frame of a message,
speak for another host, or split in two (RFC 9110 sections 5.1, 5.5 and 7.6.1)."""

from __future__ import annotations

import itertools

import pytest

from tests.fixtures.front_door import Workspace, refused

FORBIDDEN = (
    "Host",
    "Content-Length",
    "Transfer-Encoding",
    "Connection",
    "Keep-Alive",
    "Proxy-Connection",
    "Proxy-Authenticate",
    "Proxy-Authorization",
    "TE",
    "Trailer",
    "Upgrade",
    "Expect",
    "HTTP2-Settings",
    "X-OpenCX-Contact",
    "X-Vestibule-Contact",
    "X-Forwarded-For",
    "X-Forwarded-Host",
    "Sec-WebSocket-Key",
    "Sec-Fetch-Site",
    ":authority",
    ":path",
)
# Letters that fold, lower-case or normalise onto those of the forbidden names, and characters that do not show.
LOOKALIKES = (
    "H\u043est",  # Cyrillic o
    "\uff28\uff4f\uff53\uff54",  # full width
    "Ho\u017ft",  # long s
    "Keep-Al\u0131ve",  # dotless i
    "\u212aeep-Alive",  # Kelvin sign
    "Host\u200b",
    "\ufeffHost",
    "Ho\u00adst",
    "Content\u2010Length",  # hyphen
    "Content\u2011Length",  # non-breaking hyphen
    "Content\uff0dLength",
    "Transfer-Encod\u0130ng",
    "Host\u0301",
)
CONTROL = [chr(code) for code in (*range(9), *range(10, 32), 0x7F)]


def refuse_header(workspace: Workspace, name: str, value: str = "x") -> str:
    overrides = {"headers": {name: value}}
    answer = workspace.authenticate(email="a@b.de", http_action_overrides=overrides)
    message: str = refused(answer, 400, "invalid_field", names="http_action_overrides.headers")["message"]
    assert message.isprintable()
    return message


def test_headers_of_the_message_and_the_connection_cannot_be_set(workspace: Workspace) -> None:
    with workspace.unharmed():
        for name in FORBIDDEN:
            # With `_`: what CGI and WSGI cannot tell from `-`.
            for spelling in {name, name.lower(), name.upper(), name.swapcase(), name.title(), name.replace("-", "_")}:
                refuse_header(workspace, spelling)


def test_they_cannot_be_set_beside_good_ones_either(workspace: Workspace) -> None:
    with workspace.unharmed():
        for headers in ({"X-Good": "1", "host": "evil.example"}, {"content-length": "0", "X-Good": "1"}):
            answer = workspace.authenticate(email="a@b.de", http_action_overrides={"headers": headers})
            refused(answer, 400, "invalid_field")


@pytest.mark.parametrize("name", LOOKALIKES)
def test_names_that_look_like_them_are_no_names(workspace: Workspace, name: str) -> None:
    with workspace.unharmed():
        refuse_header(workspace, name)


def test_characters_that_no_name_has_are_refused(workspace: Workspace) -> None:
    """RFC 9110 section 5.6.2."""
    with workspace.unharmed():
        refuse_header(workspace, "")
        for character in (*CONTROL, *' \t"(),/:;<=>?@[\\]{}\u00e9\u0085\u00a0\u2028\U0001f600'):
            for name in (f"X{character}Y", f"{character}X", f"X{character}", f"Host{character}", character):
                refuse_header(workspace, name)


def test_values_cannot_end_the_line(workspace: Workspace) -> None:
    with workspace.unharmed():
        for character in CONTROL:
            for value in (f"a{character}b", f"{character}", f"a{character}"):
                refuse_header(workspace, "X-Good", value)
        for split in ("a\r\nHost: evil", "a\nHost: evil", "a\rHost: evil", "a\r\n\r\nGET / HTTP/1.1", "a\r\n b"):
            refuse_header(workspace, "X-Good", split)


@pytest.mark.parametrize(
    "character",
    [
        "\u0085",
        "\u0080",
        "\u009f",
        "\u2028",
        "\u2029",
        "\u010a",
        "\u010d",
        "\u0a0d",
        "\u560d",
        "\u560a",
        "\uff0a",
        "\U0001f60a",
    ],
    ids=ascii,
)
def test_values_cannot_end_the_line_when_they_are_cut_to_octets(workspace: Workspace, character: str) -> None:
    """Cut to their low octet, or read as Latin-1, these are line ends: U+560D U+560A is CR LF to careless senders."""
    with workspace.unharmed():
        refuse_header(workspace, "X-Good", f"a{character}Host: evil")


def test_one_header_cannot_be_named_twice(workspace: Workspace) -> None:
    with workspace.unharmed():
        for one, other in itertools.permutations(["X-Good", "x-good", "X-GOOD"], 2):
            overrides = {"headers": {one: "1", other: "2"}}
            refused(workspace.authenticate(email="a@b.de", http_action_overrides=overrides), 400, names="headers")


def test_what_a_header_can_carry_is_taken(workspace: Workspace) -> None:
    headers = {
        "Authorization": "Bearer abc",
        "Cookie": "a=b; c=d",
        "X-Custom_Header.1~!#$%&'*+^`|": "a\tb c",
        "x-latin": "caf\u00e9",
        "X-Empty": "",
        "X-Long": "x" * 8_192,
        "Hosts": "x",
        "X-Host": "x",
        "Content-Lengths": "1",
    }
    _, contact_id = workspace.sign_in(http_action_overrides={"headers": headers})
    assert workspace.overrides(contact_id) == {"headers": headers}


def test_the_other_maps_may_hold_any_text(workspace: Workspace) -> None:
    """They are encoded where they are put: the rules of headers are not theirs."""
    for kind in ("query_params", "path_params", "body_params"):
        members = {"Host": "a\r\nb", "a b": "\u2028", "": "", "../x": "..%2f", "x": "\U0001f600"}
        answer = workspace.authenticate(email="a@b.de", http_action_overrides={kind: members})
        assert answer.status_code == 200, answer.text
