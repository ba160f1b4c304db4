"""A userInfoId is bound once, and people are found by what their provider proved, on both engines."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from vestibule.clock import now_ms
from vestibule.errors import IdentityConflict, InvalidGrant, StorageUnavailable
from vestibule.identity.matching import Outcome
from vestibule.identity.resolution import Resolver
from vestibule.ids import short_id
from vestibule.model.claims import Method, ProfileClaims, ProviderSubject, VerifiedClaims
from vestibule.model.contact import Contact
from vestibule.sealing import KEY_BYTES, Sealer
from vestibule.storage.contacts import Contacts
from vestibule.storage.opening import ensure_schema, open_store
from vestibule.storage.pending_identities import MOST_WRONG_VERIFIERS
from vestibule.storage.provider_identities import ProviderIdentities
from vestibule.storage.statement import Statement
from vestibule.storage.store import Query, Store
from vestibule.tokens import pkce
from vestibule.tokens.pending_identity import PREFIX, PendingIdentities, fingerprint

WORKSPACE = "01a1fe9a-bfae-7803-87f1-bfd5aefe77fb"
ANOTHER = "01a1fe9a-bfae-7803-87f1-bfd5aefe77fc"
ISSUER = "https://idp.example.com"
VERIFIER = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
CHALLENGE = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"


def of_this_test(sql: str) -> Statement:
    """Not registered: none of the product's."""
    return Statement(sql, sql, sql.replace("$", "?"), 0, shared=False, reads=False)


def wrong_verifier() -> str:
    return secrets.token_urlsafe(40)


@pytest.fixture(scope="module")
def migrated(module_database_url: str) -> str:
    ensure_schema(module_database_url, may_migrate=True)
    return module_database_url


@pytest.fixture
async def schema(migrated: str) -> str:
    """A database whose tables are empty: a migration for each test would take minutes."""
    opened = await open_store(migrated)
    for table in ("contacts", "provider_identities", "pending_identities"):
        await opened.write(of_this_test(f"DELETE FROM {table} RETURNING workspace_id"))  # noqa: S608
    await opened.close()
    return migrated


@pytest.fixture
async def store(schema: str) -> AsyncIterator[Store]:
    opened = await open_store(schema)
    yield opened
    await opened.close()


@pytest.fixture
def pending(store: Store) -> PendingIdentities:
    return PendingIdentities(store)


@pytest.fixture
def contacts(store: Store) -> Contacts:
    return Contacts(store, Sealer((secrets.token_bytes(KEY_BYTES),)))


@pytest.fixture
def resolver(store: Store, contacts: Contacts) -> Resolver:
    return Resolver(contacts, ProviderIdentities(store, contacts))


def proof(subject: str = "u-1", **changes: Any) -> VerifiedClaims:
    of_subject = {name: changes.pop(name) for name in ("issuer", "expires_at", "auth_time") if name in changes}
    given: dict[str, Any] = {
        "workspace_id": WORKSPACE,
        "method": Method.TOKEN_EXCHANGE,
        "proven_at": now_ms(),
        "profile": ProfileClaims(name="Ada"),
        "subject": msgspec.structs.replace(ProviderSubject(ISSUER, subject, 1), **of_subject),
    }
    return VerifiedClaims(**{**given, **changes})


def vouched(email: str, name: str = "Ada") -> VerifiedClaims:
    profile = ProfileClaims(name=name, email=email)
    return VerifiedClaims(WORKSPACE, Method.SERVER_TO_SERVER, now_ms(), profile, email_key=email.lower())


def emailed(subject: str, email: str) -> VerifiedClaims:
    return proof(subject, profile=ProfileClaims(email=email), email_key=email)


async def refused(pending: PendingIdentities, user_info_id: str, verifier: str = VERIFIER, **where: str) -> None:
    place = {"conversation": "c-1", "visitor": "v-1", **where}
    with pytest.raises(InvalidGrant) as error:
        await pending.claim(place.pop("workspace", WORKSPACE), user_info_id, verifier, **place)
    assert (error.value.code, str(error.value)) == (InvalidGrant.code, InvalidGrant.sentence)


async def claim(pending: PendingIdentities, user_info_id: str, **where: str) -> str:
    place = {"conversation": "c-1", "visitor": "v-1", **where}
    return (await pending.claim(WORKSPACE, user_info_id, VERIFIER, **place)).contact_id


# --------------------------------------------------------------------------------------------------------- userInfoIds


async def test_a_user_info_id_stands_for_its_contact(pending: PendingIdentities) -> None:
    signed_in = now_ms() - 5_000
    user_info_id = await pending.keep(proof(auth_time=signed_in), "contact", CHALLENGE)
    assert user_info_id.startswith(PREFIX)
    assert len(user_info_id) == len(PREFIX) + 22 + 43  # where to look, and 256 bits
    found = await pending.claim(WORKSPACE, user_info_id, VERIFIER, conversation="c-1", visitor="v-1")
    assert (found.contact_id, found.provider_id, found.issuer, found.subject) == ("contact", 1, ISSUER, "u-1")
    assert found.auth_time == signed_in
    assert 299_000 < found.expires_at - found.created_at <= 300_000


async def test_the_same_call_answers_the_same_and_any_other_fails(pending: PendingIdentities) -> None:
    user_info_id = await pending.keep(proof(), "contact", CHALLENGE)
    assert [await claim(pending, user_info_id) for _ in range(3)] == ["contact"] * 3
    await refused(pending, user_info_id, conversation="c-2")
    await refused(pending, user_info_id, visitor="v-2")
    await refused(pending, user_info_id, visitor="")
    assert await claim(pending, user_info_id) == "contact"


async def test_what_does_not_fit_looks_alike(pending: PendingIdentities, store: Store) -> None:
    user_info_id = await pending.keep(proof(), "contact", CHALLENGE)
    await refused(pending, user_info_id, wrong_verifier())
    await refused(pending, user_info_id, CHALLENGE)  # the challenge is no verifier
    await refused(pending, user_info_id, "short")
    await refused(pending, user_info_id, workspace=ANOTHER)
    await refused(pending, PREFIX + short_id(WORKSPACE) + "x" * 43)
    for malformed in (
        "",
        "usr_",
        user_info_id + "x",
        user_info_id + "\n",
        "usr_" + "é" * 65,
        "usr_" + "z" * 65,
        "\ud800",
    ):
        await refused(pending, malformed)
    expired = await PendingIdentities(store, lifetime_ms=-1).keep(proof(), "contact", CHALLENGE)
    await refused(pending, expired)
    assert await claim(pending, user_info_id) == "contact"


@pytest.mark.parametrize("bound_first", [False, True])
async def test_five_wrong_verifiers_kill_it(pending: PendingIdentities, bound_first: bool) -> None:  # noqa: FBT001
    user_info_id = await pending.keep(proof(), "contact", CHALLENGE)
    if bound_first:
        await claim(pending, user_info_id)
    for _ in range(MOST_WRONG_VERIFIERS - 1):
        await refused(pending, user_info_id, wrong_verifier())
    assert await claim(pending, user_info_id) == "contact"
    await refused(pending, user_info_id, wrong_verifier())
    await refused(pending, user_info_id)


async def test_a_wrong_verifier_binds_nothing(pending: PendingIdentities) -> None:
    user_info_id = await pending.keep(proof(), "contact", CHALLENGE)
    await refused(pending, user_info_id, wrong_verifier(), conversation="thief", visitor="thief")
    assert await claim(pending, user_info_id) == "contact"


async def test_of_fifty_conversations_at_once_exactly_one_wins(schema: str) -> None:
    stores = [await open_store(schema) for _ in range(4)]
    racers = [PendingIdentities(store) for store in stores]
    for _ in range(5):
        user_info_id = await racers[0].keep(proof(), "contact", CHALLENGE)
        outcomes = await asyncio.gather(
            *(claim(racers[number % 4], user_info_id, conversation=f"c-{number}") for number in range(50)),
            return_exceptions=True,
        )
        assert Counter(type(outcome) for outcome in outcomes) == {str: 1, InvalidGrant: 49}
    for store in stores:
        await store.close()


async def test_guesses_at_once_are_all_counted(schema: str) -> None:
    stores = [await open_store(schema) for _ in range(4)]
    racers = [PendingIdentities(store) for store in stores]
    user_info_id = await racers[0].keep(proof(), "contact", CHALLENGE)
    await asyncio.gather(*(refused(racers[number % 4], user_info_id, wrong_verifier()) for number in range(20)))
    await refused(racers[0], user_info_id)
    for store in stores:
        await store.close()


async def test_it_never_outlives_the_token_that_proved_it(pending: PendingIdentities) -> None:
    soon = now_ms() + 10_000
    user_info_id = await pending.keep(proof(expires_at=soon), "contact", CHALLENGE)
    found = await pending.claim(WORKSPACE, user_info_id, VERIFIER, conversation="c-1", visitor="v-1")
    assert found.expires_at == soon


async def test_only_hashes_are_kept(pending: PendingIdentities, store: Store) -> None:
    user_info_id = await pending.keep(proof(), "contact", CHALLENGE)
    await claim(pending, user_info_id)
    stored = repr([tuple(row) for row in await store.read(of_this_test("SELECT * FROM pending_identities"))])
    assert fingerprint(user_info_id) in stored
    assert user_info_id not in stored
    assert VERIFIER not in stored


async def test_what_is_over_is_purged(store: Store, pending: PendingIdentities) -> None:
    await PendingIdentities(store, lifetime_ms=-7_200_000).keep(proof(), "contact", CHALLENGE)
    kept = await pending.keep(proof(), "contact", CHALLENGE)
    assert await pending.purge() == 1
    assert await claim(pending, kept) == "contact"


def test_the_pair_of_these_tests_is_rfc_7636_appendix_b() -> None:
    assert pkce.challenge_of(VERIFIER) == CHALLENGE


# -------------------------------------------------------------------------------------------------- who a subject is


async def test_a_subject_is_one_contact_for_ever(resolver: Resolver, contacts: Contacts) -> None:
    first = await resolver.resolve(proof())
    assert first.outcome is Outcome.CREATED
    again = await resolver.resolve(proof(profile=ProfileClaims(name="Ada Lovelace")))
    assert (again.outcome, again.contact.id, again.contact.name) == (
        Outcome.UPDATED,
        first.contact.id,
        "Ada Lovelace",
    )
    same = await resolver.resolve(proof(profile=ProfileClaims(name="Ada Lovelace")))
    assert same.outcome is Outcome.UNCHANGED
    assert await contacts.count(WORKSPACE) == 1


@pytest.mark.parametrize(
    "changes", [{"workspace_id": ANOTHER}, {"issuer": "https://other.example.com"}, {"subject": "U-1"}], ids=str
)
async def test_another_workspace_issuer_or_subject_is_another_person(
    resolver: Resolver, changes: dict[str, str]
) -> None:
    first = await resolver.resolve(proof())
    subject = changes.get("subject", "u-1")
    other = await resolver.resolve(proof(subject, **{k: v for k, v in changes.items() if k != "subject"}))
    assert other.outcome is Outcome.CREATED
    assert other.contact.id != first.contact.id


async def test_an_unproven_email_finds_and_becomes_nothing(resolver: Resolver) -> None:
    known = await resolver.resolve(vouched("ada@example.com"))
    other = await resolver.resolve(proof(profile=ProfileClaims(email="ada@example.com")))
    assert other.outcome is Outcome.CREATED
    assert other.contact.id != known.contact.id
    assert other.contact.email_key is None
    assert (await resolver.resolve(vouched("ada@example.com"))).contact.id == known.contact.id


async def test_a_proven_email_links_where_the_provider_may(resolver: Resolver) -> None:
    known = await resolver.resolve(vouched("ada@example.com"))
    linked = await resolver.resolve(emailed("u-1", "ada@example.com"))
    assert (linked.outcome, linked.contact.id) == (Outcome.LINKED, known.contact.id)
    # From now on by the subject, whatever becomes of the address.
    later = await resolver.resolve(proof("u-1", profile=ProfileClaims(name="A.")))
    assert later.contact.id == known.contact.id


async def test_an_email_of_another_subject_of_the_issuer_is_a_conflict(resolver: Resolver, contacts: Contacts) -> None:
    await resolver.resolve(emailed("u-1", "ada@example.com"))
    for _ in range(3):
        with pytest.raises(IdentityConflict):
            await resolver.resolve(emailed("u-2", "ada@example.com"))
    assert await contacts.count(WORKSPACE) == 1


async def test_an_address_that_is_vouched_for_is_not_overwritten_by_one_that_is_not(resolver: Resolver) -> None:
    await resolver.resolve(vouched("ada@example.com"))
    await resolver.resolve(emailed("u-1", "ada@example.com"))
    later = await resolver.resolve(proof(profile=ProfileClaims(name="Eve", email="ceo@example.com")))
    assert (later.contact.name, later.contact.email) == ("Eve", "ada@example.com")
    assert later.fields["email"].startswith("kept")


async def test_a_provider_does_not_take_the_phone_key_that_a_backend_gave(resolver: Resolver) -> None:
    given = msgspec.structs.replace(
        vouched("ada@example.com"),
        phone_key="+4930123456",
        profile=ProfileClaims(email="ada@example.com", phone="+4930123456"),
    )
    known = await resolver.resolve(given)
    assert known.contact.phone_key == "+4930123456"
    later = await resolver.resolve(
        proof(profile=ProfileClaims(email="ada@example.com", phone="+1 555"), email_key="ada@example.com")
    )
    assert (later.contact.id, later.contact.phone_key) == (known.contact.id, "+4930123456")


async def merge(contacts: Contacts, first: str, into: str) -> None:
    assert await contacts.merge(WORKSPACE, first, into, now_ms())


async def part(contacts: Contacts, contact_id: str) -> None:
    found = await contacts.find(WORKSPACE, contact_id)
    assert found is not None
    assert await contacts.update(msgspec.structs.replace(found, merged_into=None))


async def test_a_subject_that_was_linked_while_two_were_merged_goes_with_its_own(
    resolver: Resolver, contacts: Contacts
) -> None:
    """Undoing an operator's slip undoes all of it: the next sign-in must not be the other person's."""
    ada = (await resolver.resolve(vouched("ada@example.com"))).contact.id
    bob = (await resolver.resolve(vouched("bob@example.com", "Bob"))).contact.id
    await merge(contacts, bob, ada)
    linked = await resolver.resolve(emailed("u-bob", "bob@example.com"))
    assert (linked.outcome, linked.contact.id, linked.contact.email) == (Outcome.LINKED, ada, "ada@example.com")
    again = await resolver.resolve(emailed("u-bob", "bob@example.com"))
    assert (again.outcome, again.contact.id) == (Outcome.UNCHANGED, ada)
    await part(contacts, bob)
    parted = await resolver.resolve(proof("u-bob", profile=ProfileClaims(name="Robert")))
    assert (parted.contact.id, parted.contact.email) == (bob, "bob@example.com")
    assert (await resolver.resolve(vouched("ada@example.com"))).contact.id == ada


async def test_what_is_said_of_a_merged_contact_gives_the_other_no_key(resolver: Resolver, contacts: Contacts) -> None:
    ada = (await resolver.resolve(vouched("ada@example.com"))).contact.id
    bob = (await resolver.resolve(vouched("bob@example.com", "Bob"))).contact.id
    nameless = (await resolver.resolve(proof("u-1"))).contact.id
    await merge(contacts, bob, ada)
    numbered = ProfileClaims(email="bob@example.com", phone="+4930123456")
    said = msgspec.structs.replace(vouched("bob@example.com"), phone_key="+4930123456", profile=numbered)
    assert (await resolver.resolve(said)).contact.phone_key is None
    await part(contacts, bob)
    # By subject: one whose provider proves the address after the merge, into a contact that has none.
    keyless = (await resolver.resolve(proof("u-2"))).contact.id
    await merge(contacts, nameless, keyless)
    proven = await resolver.resolve(emailed("u-1", "new@example.com"))
    assert (proven.contact.id, proven.contact.email_key, proven.contact.email) == (keyless, None, None)


async def test_an_address_of_a_merged_contact_s_subject_is_a_conflict(resolver: Resolver, contacts: Contacts) -> None:
    """A recycled address: who has it now is somebody else at the same issuer, whoever the former owner is part of."""
    former = (await resolver.resolve(emailed("u-1", "old@example.com"))).contact.id
    ada = (await resolver.resolve(vouched("ada@example.com"))).contact.id
    await merge(contacts, former, ada)
    for address in ("old@example.com", "ada@example.com"):
        with pytest.raises(IdentityConflict):
            await resolver.resolve(emailed("u-2", address))
    assert (await resolver.resolve(emailed("u-1", "old@example.com"))).contact.id == ada


async def test_an_address_that_becomes_the_key_is_the_one_that_is_shown(resolver: Resolver) -> None:
    first = await resolver.resolve(proof(profile=ProfileClaims(email="old@example.com")))
    assert (first.contact.email, first.contact.email_key) == ("old@example.com", None)
    later = await resolver.resolve(emailed("u-1", "new@example.com"))
    assert later.contact.id == first.contact.id
    assert later.contact.email == later.contact.email_key == "new@example.com"
    assert later.fields["email"] == "accepted"


async def test_a_new_subject_met_by_many_requests_at_once_is_one_contact(schema: str) -> None:
    stores = [await open_store(schema) for _ in range(4)]
    sealer = Sealer((secrets.token_bytes(KEY_BYTES),))
    pairs = [(store, Contacts(store, sealer)) for store in stores]
    resolvers = [Resolver(contacts, ProviderIdentities(store, contacts)) for store, contacts in pairs]
    decisions = await asyncio.gather(*(resolvers[number % 4].resolve(proof()) for number in range(40)))
    assert len({decision.contact.id for decision in decisions}) == 1
    assert await pairs[0][1].count(WORKSPACE) == 1
    for store in stores:
        await store.close()


async def test_who_waits_behind_a_write_that_is_not_answered_fails_with_it(store: Store) -> None:
    """And not each after a time-out of its own, one after the other."""

    class Unanswered(Contacts):
        async def update(self, _contact: Contact, _also: Query | None = None) -> bool:
            await asyncio.sleep(0.5)
            raise StorageUnavailable(detail="no answer")

    silent = Unanswered(store, Sealer((secrets.token_bytes(KEY_BYTES),)))
    resolver = Resolver(silent, ProviderIdentities(store, silent))
    await resolver.resolve(vouched("ada@example.com"))
    began = time.monotonic()
    claims = [vouched("ada@example.com", f"Ada {number}") for number in range(6)]
    outcomes = await asyncio.gather(*map(resolver.resolve, claims), return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} == {StorageUnavailable}
    assert time.monotonic() - began < 2


async def test_two_subjects_that_race_for_one_address_do_not_become_one_person(schema: str) -> None:
    stores = [await open_store(schema) for _ in range(4)]
    sealer = Sealer((secrets.token_bytes(KEY_BYTES),))
    pairs = [(store, Contacts(store, sealer)) for store in stores]
    resolvers = [Resolver(contacts, ProviderIdentities(store, contacts)) for store, contacts in pairs]
    await resolvers[0].resolve(vouched("ada@example.com"))
    outcomes = await asyncio.gather(
        *(resolvers[number % 4].resolve(emailed(f"u-{number}", "ada@example.com")) for number in range(12)),
        return_exceptions=True,
    )
    assert Counter(isinstance(outcome, IdentityConflict) for outcome in outcomes) == {False: 1, True: 11}
    for store in stores:
        await store.close()
