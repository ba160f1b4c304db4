"""A body is one JSON text in one reading (RFC 8259, bounded): everything that two readers could read differently, and
everything that costs more than it says, is a 400 and changes nothing."""

from __future__ import annotations

import base64
import json
import string
import time
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures.front_door import Workspace, refused

VECTORS = Path(__file__).parents[1] / "vectors"
SUITE: list[dict[str, str]] = json.loads((VECTORS / "json" / "JSONTestSuite.json").read_text(encoding="utf-8"))["items"]
NAUGHTY: list[str] = json.loads((VECTORS / "strings" / "blns.json").read_text(encoding="utf-8"))["strings"][::3]

TEXTS = {"name": 256, "avatar_url": 2_048, "phone": 64, "chat_context": 32_768}
KINDS = ("query_params", "path_params", "body_params", "headers")
# Where a value can stand: templates of bodies, %b is the place.
PLACES = {
    "a field": b'{"email":"a@b.de","name":%b}',
    "the key": b'{"email":%b}',
    "customData": b'{"email":"a@b.de","customData":%b}',
    "a member of customData": b'{"email":"a@b.de","customData":{"x":%b}}',
    "http_action_overrides": b'{"email":"a@b.de","http_action_overrides":%b}',
    "an override map": b'{"email":"a@b.de","http_action_overrides":{"headers":%b}}',
    "an override": b'{"email":"a@b.de","http_action_overrides":{"query_params":{"x":%b}}}',
    "an unknown override map": b'{"email":"a@b.de","http_action_overrides":{"cookies":%b}}',
    "an unknown member": b'{"email":"a@b.de","unknown":%b}',
    "below an unknown member": b'{"email":"a@b.de","unknown":{"x":[1,%b]}}',
    "an unknown member that comes first": b'{"unknown":%b,"email":"a@b.de"}',
}
place = pytest.mark.parametrize("place", PLACES.values(), ids=PLACES.keys())
NOT_UTF_8 = (
    b"\xff",
    b"\xfe\xff",
    b"\xc3",
    b"\xe9",  # Latin-1
    b"\xc0\xaf",  # overlong
    b"\xe0\x80\xaf",
    b"\xf0\x80\x80\xaf",
    b"\xed\xa0\x80",  # a surrogate, in octets
    b"\xed\xa0\xbd\xed\xb8\x80",  # CESU-8
    b"\xf4\x90\x80\x80",  # beyond U+10FFFF
    b"\xf8\x88\x80\x80\x80",
)


class TestDuplicateMembers:
    """RFC 8259 section 4: names SHOULD be unique; where they are not, the behaviour of readers is unpredictable."""

    BODIES = (
        b'{"email":"a@b.de","email":"c@d.de"}',
        b'{"email":"a@b.de","email":"a@b.de"}',
        b'{"email":"a@b.de","\\u0065mail":"c@d.de"}',
        b'{"email":"a@b.de","em\\u0061il":"c@d.de"}',
        b'{"email":1,"email":"a@b.de"}',
        b'{"email":"a@b.de","email":1}',
        b'{"email":"a@b.de","name":"A","name":null}',
        b'{"email":"a@b.de","customData":{},"customData":{}}',
        b'{"email":"a@b.de","customData":{"a":1,"a":2}}',
        b'{"email":"a@b.de","customData":{"a":1,"\\u0061":1}}',
        b'{"email":"a@b.de","customData":{"\\ud83d\\ude00":1,"\xf0\x9f\x98\x80":1}}',
        b'{"email":"a@b.de","custom_data":{"":1,"":2}}',
        b'{"email":"a@b.de","http_action_overrides":{"headers":{},"headers":{"X":"1"}}}',
        b'{"email":"a@b.de","http_action_overrides":{"headers":{"X":"1","X":"2"}}}',
        b'{"email":"a@b.de","http_action_overrides":{"path_params":{"a/b":"1","a\\/b":"2"}}}',
        b'{"email":"a@b.de","unknown":{"a":1,"a":2}}',
        b'{"email":"a@b.de","unknown":[[{"a":{"b":1,"b":1}}]]}',
        b'{"email":"a@b.de","unknown":1,"unknown":2}',
    )

    def test_are_refused_however_they_are_spelled(self, workspace: Workspace) -> None:
        with workspace.unharmed():
            for body in self.BODIES:
                refused(workspace.post(body), 400, "malformed_body", names="two members of the same name")

    def test_names_that_differ_in_case_are_no_duplicates(self, workspace: Workspace) -> None:
        token, _ = workspace.sign_in(customData={"a": 1, "A": 2})
        assert workspace.me(token).json()["custom_data"] == {"a": 1, "A": 2}

    @place
    def test_ten_thousand_members_are_answered_at_once(self, workspace: Workspace, place: bytes) -> None:
        """They do not fit into the limit of a body; as many as fit are refused, or ignored where nothing is read."""
        alphabet = string.ascii_letters + string.digits
        names = [a + b + c for a in "abc" for b in alphabet for c in alphabet]
        for count, statuses in ((10_000, {413}), (7_000, {200, 400})):
            body = place % ("{" + ",".join(f'"{name}":1' for name in names[:count]) + "}").encode()
            began = time.monotonic()
            assert workspace.post(body).status_code in statuses
            assert time.monotonic() - began < 1

    def test_proto_is_no_name_for_a_member(self, workspace: Workspace) -> None:
        bodies = (
            b'{"__proto__":{"verified":true},"email":"a@b.de"}',
            b'{"email":"a@b.de","\\u005f_proto__":{}}',
            b'{"email":"a@b.de","customData":{"__proto__":1}}',
            b'{"email":"a@b.de","customData":{"__prot\\u006f__":1}}',
            b'{"email":"a@b.de","http_action_overrides":{"__proto__":{}}}',
            b'{"email":"a@b.de","http_action_overrides":{"headers":{"__proto__":"x"}}}',
            b'{"email":"a@b.de","unknown":[{"__proto__":{}}]}',
        )
        with workspace.unharmed():
            for body in bodies:
                refused(workspace.post(body), 400, names="__proto__")


class TestNumbers:
    @place
    def test_nan_and_infinity_are_not_json(self, workspace: Workspace, place: bytes) -> None:
        with workspace.unharmed():
            for number in (b"NaN", b"-NaN", b"Infinity", b"-Infinity", b"nan", b"inf"):
                refused(workspace.post(place % number), 400, "malformed_body")

    @place
    def test_other_languages_numbers_are_not_json(self, workspace: Workspace, place: bytes) -> None:
        with workspace.unharmed():
            for number in (b"+1", b"01", b"-01", b".5", b"1.", b"1.e3", b"1e", b"0x10", b"1_000", b"--1", b"1-"):
                refused(workspace.post(place % number), 400, "malformed_body")

    def test_numbers_beyond_every_column_are_refused(self, workspace: Workspace) -> None:
        with workspace.unharmed():
            for number in (b"1e999", b"-1e999", b"1e400", b"9" * 400, b"-" + b"9" * 5_000, b"9" * 60_000):
                refused(workspace.post(PLACES["a member of customData"] % number), 400)

    def test_integers_beyond_64_bits_are_refused_by_name(self, workspace: Workspace) -> None:
        """RFC 8259 section 6: beyond the range of common readers, agreement on the value is lost."""
        with workspace.unharmed():
            for number in (2**63, 2**64 - 1, 2**64, -(2**63), -(2**63) - 1, 10**30):
                answer = workspace.authenticate(email="a@b.de", customData={"big": number})
                refused(answer, 400, "invalid_field", names="customData")

    def test_none_of_them_does_harm_where_it_is_not_read(self, workspace: Workspace) -> None:
        for number in (b"1e999", b"9" * 400, b"9" * 5_000, b"9" * 60_000, b"1e-999", b"0." + b"1" * 60_000):
            began = time.monotonic()
            answer = workspace.post(PLACES["an unknown member"] % number)
            assert answer.status_code in {200, 400}, answer.text
            assert time.monotonic() - began < 1


class TestDepth:
    @place
    def test_nesting_beyond_the_limit_is_refused(self, workspace: Workspace, place: bytes) -> None:
        with workspace.unharmed():
            for opening, closing, depths in ((b"[", b"]", (33, 1_000, 30_000)), (b'{"a":', b"}", (33, 1_000, 10_000))):
                for depth in depths:
                    began = time.monotonic()
                    answer = workspace.post(place % (opening * depth + b"1" + closing * depth))
                    refused(answer, 400, "malformed_body")
                    assert time.monotonic() - began < 1, depth

    def test_nesting_that_never_ends_is_refused(self, workspace: Workspace) -> None:
        with workspace.unharmed():
            for opening in (b"[", b'{"a":', b'[{"a":', b"[[],", b'{"a":[', b'["[",'):
                refused(workspace.post(opening * (65_000 // len(opening))), 400, "malformed_body")
                refused(workspace.post(b'{"email":"a@b.de","x":' + opening * (64_000 // len(opening))), 400)

    def test_nesting_up_to_the_limit_is_read(self, workspace: Workspace) -> None:
        for opening, closing in ((b"[", b"]"), (b'{"a":', b"}")):
            value = opening * 31 + b"1" + closing * 31
            assert workspace.post(PLACES["an unknown member"] % value).status_code == 200
            refused(workspace.post(PLACES["an unknown member"] % (opening + value + closing)), 400, names="32 levels")

    def test_brackets_in_a_text_are_no_nesting(self, workspace: Workspace) -> None:
        text = '[{"\\' * 2_000
        _, contact_id = workspace.sign_in(chat_context=text)
        assert workspace.contact(contact_id)["chat_context"] == text


class TestText:
    @pytest.mark.parametrize("field", [*TEXTS, "email", "language"])
    def test_lone_surrogates_are_refused(self, workspace: Workspace, field: str) -> None:
        """RFC 8259 section 8.2: such a text is no Unicode, and cannot be stored or sent on."""
        with workspace.unharmed():
            for text in ("\\ud800", "\\udc00", "a\\udbff", "\\udfff\\ud800", "\\ud83d\\u0041", "\\uD800\\uD800"):
                members = f'"{field}":"{text}"' if field == "email" else f'"email":"a@b.de","{field}":"{text}"'
                refused(workspace.post(f"{{{members}}}".encode()), 400)

    @place
    def test_lone_surrogates_are_refused_in_every_place(self, workspace: Workspace, place: bytes) -> None:
        with workspace.unharmed():
            for value in (b'"\\ud800"', b'{"\\udc00":"x"}', b'{"x":"\\ud83d\\u0041"}', b'["\\udfff"]'):
                refused(workspace.post(place % value), 400)

    @place
    def test_octets_that_are_no_utf_8_are_refused(self, workspace: Workspace, place: bytes) -> None:
        """RFC 8259 section 8.1."""
        with workspace.unharmed():
            for octets in NOT_UTF_8:
                refused(workspace.post(place % (b'"' + octets + b'"')), 400)
                refused(workspace.post(place % (b'{"' + octets + b'":"x"}')), 400)

    @pytest.mark.parametrize(
        "encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-be", "utf-8-sig", "utf-7"]
    )
    def test_other_encodings_and_byte_order_marks_are_refused(self, workspace: Workspace, encoding: str) -> None:
        body = '{"email":"a@b.de","name":"\u00e4+{"}'.encode(encoding)
        if encoding == "utf-7":
            body = b"+AHs-" + body[1:]  # which readers of UTF-7 take for the brace
        with workspace.unharmed():
            refused(workspace.post(body), 400, "malformed_body")

    def test_raw_control_characters_are_refused(self, workspace: Workspace) -> None:
        """RFC 8259 section 7: U+0000 to U+001F, quotation mark and reverse solidus must be escaped."""
        with workspace.unharmed():
            for character in (*range(32), 0x22, 0x5C):
                body = b'{"email":"a@b.de","name":"x%cy"}' % character
                refused(workspace.post(body), 400, "malformed_body")

    def test_nul_is_refused_by_name(self, workspace: Workspace) -> None:
        """PostgreSQL stores no NUL in a text; both engines say the same."""
        with workspace.unharmed():
            for field in TEXTS:
                answer = workspace.authenticate({"email": "a@b.de", field: "a\0b"})
                refused(answer, 400, "invalid_field", names=field)

    def test_nul_is_refused_below_maps(self, workspace: Workspace) -> None:
        payloads: tuple[dict[str, Any], ...] = (
            {"customData": {"a": "\0"}},
            {"customData": {"\0": "a"}},
            {"custom_data": {"a\0": 1}},
            *({"http_action_overrides": {kind: {"a": "\0"}}} for kind in KINDS),
            *({"http_action_overrides": {kind: {"\0": "a"}}} for kind in KINDS),
        )
        with workspace.unharmed():
            for payload in payloads:
                answer = workspace.authenticate(payload, email="a@b.de")
                refused(answer, 400, "invalid_field", names=next(iter(payload)))

    def test_names_in_errors_cannot_write_lines_of_their_own(self, workspace: Workspace) -> None:
        with workspace.unharmed():
            answer = workspace.authenticate(email="a@b.de", customData={"x\r\n\u2028\x1b[2Ja": "\0"})
            message = refused(answer, 400, "invalid_field", names="customData")["message"]
            assert message.isprintable(), message

    def test_naughty_strings_are_kept_as_they_are_or_refused(self, workspace: Workspace) -> None:
        """https://github.com/minimaxir/big-list-of-naughty-strings."""
        for text in NAUGHTY:
            answer = workspace.authenticate(email="a@b.de", name=text, customData={"text": text})
            if "\0" in text or len(text) > TEXTS["name"]:
                refused(answer, 400, "invalid_field")
            else:
                assert answer.status_code == 200, text
                me = workspace.me(answer.json()["token"]).json()
                assert (me["name"], me["custom_data"]["text"]) == (text, text)


class TestTheWholeBody:
    GOOD = b'{"email":"a@b.de"}'
    TAILS = (
        b"{}",
        b',"x":1',
        b"x",
        b"\0",
        b"\xff",
        b"}",
        b"]",
        b"// x",
        b"/* x */",
        b"#",
        b";",
        b"\xef\xbb\xbf",
        b"\xa0",
    )
    HEADS = (b"\xef\xbb\xbf", b"\0", b"\x0b", b"\x0c", b"\xa0", b")]}',\n", b"while(1);", b"// x\n", b"{}")
    NEARLY = (
        b"{'email':'a@b.de'}",
        b'{email:"a@b.de"}',
        b'{"email":"a@b.de",}',
        b'{"email":"a@b.de" "name":"x"}',
        b'{"email":"a@b.de";"name":"x"}',
        b'{"email"="a@b.de"}',
        b'{"email":"a@b.de","name":undefined}',
        b'{"email":"a@b.de","name":True}',
        b'{"email":"a@b.de","name":"\\x41"}',
        b'{"email":"a@b.de","name":"\\u00"}',
        b'{"email":"a@b.de","name":"\\u{41}"}',
        b'{"email":"a@b.de","name":"\\U0001f600"}',
        b'{"email":"a@b.de","name":"a\\',
        b'{"email":"a@b.de"',
        b'[{"email":"a@b.de"}]',
        b'{"email":"a@b.de"}\n{"email":"c@d.de"}',
        b'{/**/"email":"a@b.de"}',
    )

    def test_trailing_octets_are_refused(self, workspace: Workspace) -> None:
        with workspace.unharmed():
            for tail in self.TAILS:
                for body in (self.GOOD + tail, self.GOOD + b" \n" + tail):
                    refused(workspace.post(body), 400, "malformed_body")

    def test_leading_octets_are_refused(self, workspace: Workspace) -> None:
        with workspace.unharmed():
            for head in self.HEADS:
                refused(workspace.post(head + self.GOOD), 400, "malformed_body")

    def test_what_is_nearly_json_is_refused(self, workspace: Workspace) -> None:
        with workspace.unharmed():
            for body in self.NEARLY:
                refused(workspace.post(body), 400, "malformed_body")

    def test_white_space_around_it_is_read(self, workspace: Workspace) -> None:
        assert workspace.post(b" \t\r\n" + self.GOOD + b"\r\n\t ").status_code == 200


class TestJsonTestSuite:
    """https://github.com/nst/JSONTestSuite: n_ must be refused, y_ must be read (no body of this API is more than an
    object, so most are another 400), i_ are free; nothing may ever be a 500."""

    def test_every_text_as_the_whole_body(self, workspace: Workspace) -> None:
        with workspace.unharmed():
            for item in SUITE:
                answer = workspace.post(base64.b64decode(item["base64"]))
                assert answer.status_code in {400, 413}, item["name"]

    @pytest.mark.parametrize("place", ["an unknown member", "below an unknown member", "customData"])
    def test_every_text_as_the_value_of_a_member(self, workspace: Workspace, place: str) -> None:
        for item in SUITE:
            kind = item["name"].partition("/")[2][:2]
            answer = workspace.post(PLACES[place] % base64.b64decode(item["base64"]))
            if kind == "n_":
                assert answer.status_code in {400, 413}, item["name"]
            elif kind == "y_" and place != "customData" and "duplicated_key" not in item["name"]:
                assert answer.status_code == 200, item["name"]
            else:
                assert answer.status_code in {200, 400}, item["name"]
