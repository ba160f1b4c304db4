"""DESIGN rules 2.3, 2.7, 2.8: the decision which contact verified claims belong to, and what changes; no database."""

from __future__ import annotations

import msgspec
import pytest
from msgspec import UNSET

from vestibule.identity.matching import Known, KnownSubject, Outcome, decide, decide_by_subject
from vestibule.identity.profile_rules import MOST_CUSTOM_MEMBERS
from vestibule.model.claims import CustomData, HttpOverrides, Method, ProfileClaims, ProviderSubject, VerifiedClaims
from vestibule.model.contact import Contact, Provenance

NOW = 1_800_000_000_000
BEFORE = Provenance(Method.AUTH_ENDPOINT, 1)


def claims(*, phone_key: str | None = None, **profile: object) -> VerifiedClaims:
    return VerifiedClaims(  # house-rule: a test makes its own
        workspace_id="w",
        method=Method.SERVER_TO_SERVER,
        proven_at=NOW,
        profile=msgspec.structs.replace(ProfileClaims(email="ada@example.com"), **profile),
        email_key="ada@example.com",
        phone_key=phone_key,
    )


def contact(**members: object) -> Contact:
    stored = Contact(
        "w", "c1", 7, verified=True, created_at=1, updated_at=1, email_key="ada@example.com", email="ada@example.com"
    )
    return msgspec.structs.replace(stored, **members)


def test_unknown_keys_create_a_contact_with_them() -> None:
    decision = decide(claims(name="Ada", phone_key="+4930123456", phone="030/123456"), Known())
    made = decision.contact
    assert decision.outcome is Outcome.CREATED
    assert (made.verified, made.email_key, made.phone_key) == (True, "ada@example.com", "+4930123456")
    assert made.provenance["name"] == Provenance(Method.SERVER_TO_SERVER, NOW)


def test_the_same_profile_changes_nothing() -> None:
    known = contact(name="Ada", custom_data={"a": 1}, provenance={"name": BEFORE})
    decision = decide(claims(name="Ada", custom_data={"a": 1}), Known(by_email=known))
    assert decision.outcome is Outcome.UNCHANGED
    assert decision.contact is known


def test_of_a_provider_s_custom_claims_each_is_kept_or_cleared_by_itself() -> None:
    """Else whoever shows a token with fewer of them takes from the contact what a backend or an operator has said."""
    known = Known(by_email=contact(custom_data={"plan": "gold", "customer_no": "4711"}))

    def told(custom: CustomData, *none_of: str) -> VerifiedClaims:
        return msgspec.structs.replace(claims(custom_data=custom), no_custom=frozenset(none_of))

    assert decide(told({"plan": "basic"}), known).contact.custom_data == {"plan": "basic", "customer_no": "4711"}
    assert decide(told({}, "plan"), known).contact.custom_data == {"customer_no": "4711"}
    assert decide(told({"plan": "gold"}, "risk"), known).outcome is Outcome.UNCHANGED
    assert decide(told({}, "plan"), Known(by_email=contact())).outcome is Outcome.UNCHANGED
    full = Known(by_email=contact(custom_data={f"m{number}": number for number in range(MOST_CUSTOM_MEMBERS)}))
    assert decide(told({"one": "more"}), full).outcome is Outcome.UNCHANGED


def test_absent_keeps_and_null_clears() -> None:
    known = contact(name="Ada", phone="1", language="en", provenance={"name": BEFORE, "language": BEFORE})
    decision = decide(claims(name=None), Known(by_email=known))
    changed = decision.contact
    assert decision.outcome is Outcome.UPDATED
    assert (changed.name, changed.phone, changed.language) == (None, "1", "en")
    assert changed.provenance["name"].at == NOW
    assert changed.provenance["language"] == BEFORE
    assert decision.fields == {"email": "accepted", "name": "cleared"}


@pytest.mark.parametrize(
    ("stored", "claimed"),
    [({"a": True}, {"a": 1}), ({"a": 1}, {"a": 1.0}), ({"a": 1, "b": 2}, {"a": 1}), ({}, None), (None, {})],
)
def test_custom_data_is_replaced_whole_and_compared_as_documents(
    stored: dict[str, object] | None, claimed: dict[str, object] | None
) -> None:
    decision = decide(claims(custom_data=claimed), Known(by_email=contact(custom_data=stored)))
    assert decision.outcome is Outcome.UPDATED
    assert decision.contact.custom_data == claimed


def test_equal_overrides_are_no_change_and_others_are() -> None:
    known = Known(by_email=contact(http_action_overrides=HttpOverrides(headers={"X": "1"})))
    same = decide(claims(http_action_overrides=HttpOverrides(headers={"X": "1"})), known)
    other = decide(claims(http_action_overrides=HttpOverrides(headers={"X": "2"})), known)
    assert (same.outcome, other.outcome) == (Outcome.UNCHANGED, Outcome.UPDATED)


def test_a_bad_phone_number_is_shown_and_finds_nobody() -> None:
    known = contact(phone="+4930123456", phone_key="+4930123456")
    decision = decide(claims(phone="call me", name="Ada"), Known(by_email=known))
    assert (decision.contact.phone, decision.contact.phone_key, decision.contact.name) == ("call me", None, "Ada")
    assert decision.fields["phone"].startswith("kept for display")


def test_a_shared_phone_number_goes_on_finding_the_first_person() -> None:
    other = contact(id="c2", email_key="bob@example.com", phone_key="+4930123456")
    decision = decide(claims(phone="+4930123456", phone_key="+4930123456"), Known(by_phone=other))
    assert decision.outcome is Outcome.CREATED
    assert decision.contact.id != "c2"
    assert (decision.contact.phone, decision.contact.phone_key) == ("+4930123456", None)


@pytest.mark.parametrize(
    ("own_address", "own_number", "kept"),
    [
        ("ada@example.com", None, None),
        ("ada@example.com", "+4930654321", None),
        ("lead@example.com", None, None),
        ("lead@example.com", "+4930654321", "+4930654321"),
    ],
    ids=["ours", "ours instead of another", "theirs", "theirs beside ours"],
)
def test_a_merged_contact_s_number_stays_its_key(own_address: str, own_number: str | None, kept: str | None) -> None:
    """It finds the person as it is. Written a second time it is taken, at every sign-in."""
    lead = contact(email_key=own_address, phone_key=own_number)
    claimed = claims(phone="+4930123456", phone_key="+4930123456")
    decision = decide(claimed, Known(by_email=lead, by_phone=lead))
    assert decision.contact.phone_key == kept
    assert decision.fields["phone"] == "accepted"


def test_a_phone_never_chooses_the_contact() -> None:
    """Found by e-mail, or made: a number that moved to another person must not open the first one's chats."""
    other = contact(id="c2", email_key="bob@example.com", phone_key="+4930123456")
    decision = decide(claims(phone_key="+4930123456", phone="+4930123456"), Known(by_email=contact(), by_phone=other))
    assert decision.contact.id == "c1"


def of_provider(email: str, **changes: object) -> VerifiedClaims:
    """By a subject, with an address that the provider does not say is proven."""
    said = claims(email=email)
    given = {"method": Method.TOKEN_EXCHANGE, "email_key": None, "unproven": frozenset({"email", "phone"}), **changes}
    return msgspec.structs.replace(said, subject=ProviderSubject("https://idp.example.com", "u-1", 1), **given)


def test_what_may_have_been_typed_in_at_a_provider_is_the_person_s_own_word() -> None:
    made = decide_by_subject(of_provider("ada@example.com"), KnownSubject()).contact
    assert (made.verified, made.email, made.provenance["email"].source) == (True, "ada@example.com", Method.UNVERIFIED)
    again = decide_by_subject(of_provider("ada@example.com"), KnownSubject(made))
    assert again.outcome is Outcome.UNCHANGED
    proven = decide_by_subject(of_provider("ada@example.com", unproven=frozenset()), KnownSubject(made))
    assert (proven.outcome, proven.contact.provenance["email"].source) == (Outcome.UPDATED, Method.TOKEN_EXCHANGE)
    # As it was stored before, and where the provider takes its word back.
    doubted = decide_by_subject(of_provider("ada@example.com"), KnownSubject(proven.contact))
    assert doubted.contact.provenance["email"].source is Method.UNVERIFIED


def test_what_was_typed_in_replaces_nothing_that_is_vouched_for() -> None:
    vouched = contact(phone="+4930123456", provenance={"phone": Provenance(Method.SERVER_TO_SERVER, 1)})
    said = msgspec.structs.replace(of_provider("ada@example.com"), profile=ProfileClaims(phone="+4930999999"))
    decision = decide_by_subject(said, KnownSubject(vouched))
    assert (decision.outcome, decision.contact.phone) == (Outcome.UNCHANGED, "+4930123456")
    assert decision.fields["phone"].startswith("kept")


def test_the_word_of_who_vouches_replaces_the_visitor_s_for_an_equal_value() -> None:
    claimed = contact(provenance={"email": Provenance(Method.UNVERIFIED, 1)})
    decision = decide(claims(), Known(by_email=claimed))
    assert decision.outcome is Outcome.UPDATED
    assert decision.contact.provenance["email"] == Provenance(Method.SERVER_TO_SERVER, NOW)
    assert decide(claims(), Known(by_email=decision.contact)).outcome is Outcome.UNCHANGED


def test_what_was_left_out_is_told_by_field() -> None:
    noted = msgspec.structs.replace(claims(), notes={"avatar_url": "refused: not a URL"})
    assert decide(noted, Known(by_email=contact())).fields["avatar_url"] == "refused: not a URL"


def test_unset_is_not_none() -> None:
    assert ProfileClaims().name is UNSET
