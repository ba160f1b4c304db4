"""The pure parts of asking an auth endpoint: tokens that are none, what an answer allows, which domains match."""

from __future__ import annotations

import base64
import json

import pytest

from vestibule.auth_endpoint.domains import host_of, matches, normalised, read_list
from vestibule.auth_endpoint.question import Question, redacted
from vestibule.auth_endpoint.reply import read
from vestibule.auth_endpoint.user_token import LONGEST, ends_at, usable
from vestibule.clock import now_ms
from vestibule.errors import DomainNotAllowed, IdentityConflict, UpstreamFailed
from vestibule.identity.matching import KnownKeys, Outcome, decide_by_key
from vestibule.identity.phone import calling_code
from vestibule.model.auth_endpoint import AuthEndpointSettings, ExtraField, HeaderForm
from vestibule.model.claims import KeyKind, Method, ProfileClaims, VerifiedClaims
from vestibule.model.contact import Contact
from vestibule.outbound.messages import Answer
from vestibule.outbound.standard_webhooks import new_secret

SETTINGS = AuthEndpointSettings(url="https://a.example/", header_token="abc", secrets=(new_secret(),))


@pytest.mark.parametrize(
    ("token", "found"),
    [
        ("abc", "abc"),
        (" abc ", " abc "),  # it is the customer's own, to the letter
        ("%user_token%", "%user_token%"),
        ("undefined1", "undefined1"),
        ("x" * LONGEST, "x" * LONGEST),
        ("x" * (LONGEST + 1), None),
        ("", None),
        (" \t\n", None),
        (" undefined ", None),
        ("%USER_TOKEN%", None),
        ("null", None),
        (None, None),
    ],
)
def test_which_token_is_one(token: str | None, found: str | None) -> None:
    assert usable(token) == found


def jwt(payload: object) -> str:
    text = base64.urlsafe_b64encode(json.dumps(payload).encode()).rstrip(b"=").decode()
    return f"e30.{text}.c2ln"


@pytest.mark.parametrize(
    ("token", "end"),
    [
        (jwt({"exp": 1000}), 1000),
        (jwt({"exp": 1000.5}), 1000.5),
        (jwt({}), None),
        (jwt({"exp": "1000"}), None),
        (jwt([1]), None),
        ("a.b.c", None),
        ("a.\u00e9.c", None),
        ("abc", None),
        (jwt({"exp": 1000}) + ".x", None),
    ],
)
def test_when_a_token_that_looks_like_a_jwt_ends(token: str, end: float | None) -> None:
    assert ends_at(token) == end


@pytest.mark.parametrize(
    ("headers", "data", "life"),
    [
        ([], {}, None),
        ([("cache-control", "max-age=10")], {}, 10),
        ([("cache-control", "private, MAX-AGE=10")], {}, 10),
        ([("cache-control", 'max-age="10"')], {}, 10),
        ([("cache-control", "max-age=86400")], {}, 300),
        ([("cache-control", "max-age=10, no-store")], {}, 0),
        ([("cache-control", "no-cache")], {"expires_in": 60}, 0),
        ([("cache-control", "max-age=10"), ("cache-control", "max-age=5")], {}, 5),
        ([("cache-control", "max-age=-1")], {}, None),
        ([], {"expires_in": 20}, 20),
        ([], {"expires_in": 2**70}, 300),
        ([], {"expires_in": -1}, 0),
        ([], {"expires_in": True}, None),
        ([], {"expires_in": "20"}, 20),
        ([], {"expires_in": "0"}, 0),
        ([], {"expires_in": "-1"}, 0),
        ([], {"expires_in": 20.9}, 20),
        ([], {"expires_in": "20s"}, None),
        ([], {"expires_in": "\u0662"}, None),
        ([], {"expires_in": "9" * 5000}, None),
        ([("cache-control", "max-age=10")], {"expires_in": 20}, 10),
    ],
)
def test_how_long_an_answer_may_be_remembered(
    headers: list[tuple[str, str]], data: dict[str, object], life: int | None
) -> None:
    body = json.dumps({"status": True, "data": data}).encode()
    assert read(Answer(200, headers, body, 1.0), 0).life == life


def test_a_byte_order_mark_before_an_answer_is_ignored() -> None:
    """Some servers write it without their owners' knowing."""
    body = b'\xef\xbb\xbf{"status": true, "data": {"id": "u-1"}}'
    assert read(Answer(200, [], body, 1.0), 0).data == {"id": "u-1"}


@pytest.mark.parametrize(
    ("text", "domain"),
    [
        ("Example.COM", "example.com"),
        ("example.com.", "example.com"),
        (" *.Example.com ", "*.example.com"),
        ("m\u00fcnchen.example", "xn--mnchen-3ya.example"),
        ("xn--mnchen-3ya.example", "xn--mnchen-3ya.example"),
        ("localhost", "localhost"),
        ("127.0.0.1", "127.0.0.1"),
        ("[::1]", "::1"),
        ("https://example.com", None),
        ("example.com/path", None),
        ("example.com:8080", None),
        ("a.*.com", None),
        ("*.*.com", None),
        ("*", None),
        ("", None),
        ("a b.com", None),
        ("a..com", None),
        ("x" * 300 + ".com", None),
    ],
)
def test_domains_have_one_form(text: str, domain: str | None) -> None:
    assert normalised(text) == domain


def test_a_star_names_what_is_below_it() -> None:
    listed = ("example.com", "*.example.org")
    assert matches("example.com", listed)
    assert matches("a.b.example.org", listed)
    assert not any(matches(host, listed) for host in ("www.example.com", "example.org", "xexample.org", "org", ""))


@pytest.mark.parametrize(
    "origins",
    [
        [b"https://a.com", b"https://a.com"],
        [b"null"],
        [b"https://a.com, https://b.com"],
        [b"https://a.com/"],
        [b"file://"],
        [b"https://u@a.com"],
        [b""],
    ],
)
def test_an_origin_is_one_page_s(origins: list[bytes]) -> None:
    with pytest.raises(DomainNotAllowed):
        host_of(origins)


def test_a_list_of_domains() -> None:
    assert read_list(b'["A.com", "nonsense!", "*.b.com"]') == ("a.com", "*.b.com")
    assert read_list(b'{"status": true, "data": ["a.com"]}') == ("a.com",)
    assert read_list(b"[]") == ()
    assert read_list(b'\xef\xbb\xbf["a.com", 5, null, ["b.com"], "*.b.com"]') == ("a.com", "*.b.com")
    for body in (b'{"status": 1, "data": ["a.com"]}', b'{"data": ["a.com"]}', b'"a.com"', b"[1]", b"[", b"[[]]"):
        with pytest.raises(UpstreamFailed):
            read_list(body)


def test_a_question_shows_no_secret() -> None:
    question = Question("w", SETTINGS, "canary-token", {"user_id": "7"})
    assert "canary" not in repr(question)
    assert "abc" not in repr(SETTINGS)
    headers, body = redacted(question, question.headers("msg_1"))
    assert headers["Authorization"] == "<hidden> Bearer"
    assert "canary" not in str(headers) + body.decode()
    assert headers["webhook-signature"] == "v1,<hidden>"


def test_a_token_with_braces_is_no_form() -> None:
    settings = AuthEndpointSettings(header_token="{token}{x}", header_form=HeaderForm.TOKEN, secrets=SETTINGS.secrets)
    assert Question("w", settings, "t").headers("m")["Authorization"] == "{token}{x}"


def test_a_body_is_what_is_ticked_and_said() -> None:
    settings = AuthEndpointSettings(fields=(ExtraField.EMAIL, ExtraField.NAME))
    question = Question("w", settings, 'a"\\\u2028', {"email": "a@b.example", "name": "", "user_id": "7"})
    assert json.loads(question.body) == {"access_token": 'a"\\\u2028', "email": "a@b.example"}


def claims(kind: KeyKind, **members: object) -> VerifiedClaims:
    given = {"profile": ProfileClaims(name="Ada"), "match_by": kind, **members}
    return VerifiedClaims(workspace_id="w", method=Method.AUTH_ENDPOINT, proven_at=now_ms(), **given)  # type: ignore[arg-type]


def contact(contact_id: str = "c", **members: object) -> Contact:
    given = {"verified": True, **members}
    return Contact(workspace_id="w", id=contact_id, version=3, created_at=1, updated_at=1, **given)  # type: ignore[arg-type]


class TestDecideByKey:
    @pytest.mark.parametrize(
        ("kind", "column"),
        [
            (KeyKind.EXTERNAL_ID, "external_id"),
            (KeyKind.EMAIL, "email_key"),
            (KeyKind.PHONE, "phone_key"),
        ],
    )
    def test_only_its_own_key_is_made(self, kind: KeyKind, column: str) -> None:
        keys = {"external_id": "u", "email_key": "a@b.example", "phone_key": "+4930901820"}
        made = decide_by_key(claims(kind, **keys), KnownKeys())
        assert made.outcome is Outcome.CREATED
        assert made.contact.verified
        found = {name: getattr(made.contact, name) for name in keys}
        assert found == {name: value if name == column else None for name, value in keys.items()}

    def test_another_s_key_is_a_conflict_and_one_s_own_is_none(self) -> None:
        known, other = contact("c", external_id="u", email_key="a@b.example"), contact("d", email_key="a@b.example")
        by_id = claims(KeyKind.EXTERNAL_ID, external_id="u", email_key="a@b.example")
        assert decide_by_key(by_id, KnownKeys(known, (known,))).outcome is Outcome.UPDATED
        for found in (known, None):
            with pytest.raises(IdentityConflict):
                decide_by_key(by_id, KnownKeys(found, (other,)))

    def test_a_shown_address_may_change_under_an_old_key(self) -> None:
        known = contact(external_id="u", email_key="old@b.example", email="old@b.example")
        profile = ProfileClaims(email="new@b.example")
        made = decide_by_key(
            claims(KeyKind.EXTERNAL_ID, external_id="u", email_key="new@b.example", profile=profile), KnownKeys(known)
        )
        assert (made.contact.email, made.contact.email_key) == ("new@b.example", "old@b.example")

    def test_a_merged_contact_s_number_stays_its_own(self) -> None:
        lead = contact(phone_key="+4930901820", phone="+4930901820")
        profile = ProfileClaims(phone="+4930901821")
        made = decide_by_key(claims(KeyKind.PHONE, phone_key="+4930901821", profile=profile), KnownKeys(lead))
        assert (made.outcome, made.fields["phone"]) == (Outcome.UNCHANGED, "kept with the merged contact")

    def test_claiming_makes_the_unverified_one_the_proven(self) -> None:
        typed = contact(verified=False, name="Typed", email="A@b.example", expires_at=9)
        profile = ProfileClaims(name="Ada", email="a@b.example")
        made = decide_by_key(
            claims(KeyKind.EMAIL, email_key="a@b.example", profile=profile), KnownKeys(claimable=typed)
        )
        assert made.outcome is Outcome.CLAIMED
        now = made.contact
        assert (now.id, now.verified, now.email_key, now.expires_at) == ("c", True, "a@b.example", None)
        assert (now.name, now.provenance["name"].source) == ("Ada", Method.AUTH_ENDPOINT)

    def test_a_number_is_dialled_by_the_last_code_that_was_said(self) -> None:
        known = contact(external_id="u", phone="0901234567", phone_e164="+84901234567")

        def after(key: str | None, phone: str | None) -> str | None:
            given = claims(KeyKind.EXTERNAL_ID, external_id="u", phone_key=key, profile=ProfileClaims(phone=phone))
            return decide_by_key(given, KnownKeys(known)).contact.phone_e164

        assert after("+81901234567", "0901234567") == "+81901234567"
        assert after(None, "0901234567") == "+84901234567"
        assert after(None, "unknown") is None
        assert after(None, None) is None

    def test_the_same_again_changes_nothing(self) -> None:
        known = contact(external_id="u", name="Ada", labels=("Gold",))
        profile = ProfileClaims(name="Ada", labels=("Gold",))
        made = decide_by_key(claims(KeyKind.EXTERNAL_ID, external_id="u", profile=profile), KnownKeys(known))
        assert made.outcome is Outcome.UNCHANGED


@pytest.mark.parametrize(
    ("code", "found"),
    [("+84", "+84"), ("84", "+84"), ("0084", "+84"), ("VN", "+84"), ("vn", "+84"), ("+999", None), ("", None)],
)
def test_calling_codes(code: str, found: str | None) -> None:
    assert calling_code(code) == found
