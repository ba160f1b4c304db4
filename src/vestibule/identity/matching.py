"""Decides which contact verified claims belong to and what changes, as a pure function of what is known; it reads and
writes nothing (DESIGN rule 2.3)."""

from __future__ import annotations

import enum

import msgspec
from msgspec import UNSET

from vestibule.errors import IdentityConflict
from vestibule.identity.profile_rules import MOST_CUSTOM_MEMBERS
from vestibule.ids import new_id
from vestibule.model.claims import CustomData, KeyKind, Method, VerifiedClaims
from vestibule.model.contact import PROFILE_FIELDS, Contact, Provenance

_DOCUMENT = msgspec.json.Encoder(order="sorted")
_WITH_MERGED = "kept with the merged contact"


class Outcome(enum.StrEnum):
    """What resolving the claims comes to."""

    UNCHANGED = "unchanged"
    UPDATED = "updated"
    CREATED = "created"
    LINKED = "linked"  # a provider's subject, to a contact that was known by its e-mail
    CLAIMED = "claimed"  # a contact that was never proven, where the workspace wants that


# By name: an access through the class is dearer until Python 3.12, and there are a dozen in a request.
_UNCHANGED, _UPDATED, _CREATED, _LINKED, _CLAIMED = Outcome
_EMAIL, _PHONE, _EXTERNAL_ID = KeyKind.EMAIL, KeyKind.PHONE, KeyKind.EXTERNAL_ID
_BY_EMAIL = (None, _EMAIL)
_ASKED, _EXCHANGED, _UNVERIFIED = Method.AUTH_ENDPOINT, Method.TOKEN_EXCHANGE, Method.UNVERIFIED


class Known(msgspec.Struct, frozen=True):
    """What the store knows about the keys of the claims."""

    by_email: Contact | None = None
    by_phone: Contact | None = None


class KnownSubject(msgspec.Struct, frozen=True):
    """What the store knows about a provider's proof: who it leads to, who has its proven e-mail as a key, and whether
    that one is known to be somebody else at the same issuer. `is_merged`: the key that finds the contact is not its
    own, but of one that was merged into it; `holder_id`: whose address it is."""

    by_subject: Contact | None = None
    by_email: Contact | None = None
    email_is_anothers: bool = False
    holder_id: str | None = None
    is_merged: bool = False


class KnownKeys(msgspec.Struct, frozen=True):
    """What the store knows about claims of which one key chooses the contact: whom it leads to, who has the other
    values as keys, and the unverified contact that may be claimed."""

    found: Contact | None = None
    holders: tuple[Contact, ...] = ()
    claimable: Contact | None = None


class Decision(msgspec.Struct, frozen=True):
    """The contact as it shall be. `fields` tells per profile value what became of it, for the audit; `holder_id` whom a
    provider's subject is linked to, where that one was merged into the contact: undoing the merge takes it along."""

    outcome: Outcome
    contact: Contact
    fields: dict[str, str] = {}
    holder_id: str | None = None


def decide(claims: VerifiedClaims, known: Known) -> Decision:
    """Exists or create, for claims that are keyed by e-mail. The phone never chooses the contact here: it is a further
    key only while it is free, and shown otherwise."""
    found = known.by_email
    contact = found if found is not None else _new(claims, {"email_key": claims.email_key})
    values, fields = _changes(claims, contact)
    values |= _phone_key(claims, contact, known, fields)
    return _decision(claims, contact, values, fields, _UPDATED if found is not None else _CREATED)


def decide_by_subject(claims: VerifiedClaims, known: KnownSubject) -> Decision:
    """Exists, link or create, for claims that an identity provider proved. An e-mail chooses a contact only where the
    claims have it as a key, which takes the workspace's word and the provider's (DESIGN rule 2.2). Raises
    IdentityConflict where it would make one person of two: never guessed, never merged (rule 2.3)."""
    if known.by_subject is not None:
        contact, outcome = known.by_subject, _UPDATED
    elif known.by_email is None:
        contact, outcome = _new(claims, {"email_key": claims.email_key}), _CREATED
    elif known.email_is_anothers:
        raise IdentityConflict(detail="the e-mail's contact is another subject of this issuer", step="matching")
    else:
        contact, outcome = known.by_email, _LINKED
    values, fields = _changes(claims, contact)
    if "email" in values and known.is_merged:
        del values["email"]
        fields["email"] = _WITH_MERGED
    elif "email" in values and contact.email_key not in {None, claims.email_key}:
        # Somebody vouched for the address that finds this contact; what is not proven must not be shown in its place.
        del values["email"]
        fields["email"] = "kept: the contact's own address is vouched for"
    if contact.email_key is None and claims.email_key is not None and known.by_email is None and not known.is_merged:
        values["email_key"] = claims.email_key
    decision = _decision(claims, contact, values, fields, outcome)
    return msgspec.structs.replace(decision, holder_id=known.holder_id) if outcome is _LINKED else decision


def decide_by_key(claims: VerifiedClaims, known: KnownKeys) -> Decision:
    """Exists, claim or create, for claims of a customer's server that is asked by one kind of key. Other values are
    shown and find nobody. Raises IdentityConflict where one of them is a key of somebody else: whether that is the same
    person, nobody has said (DESIGN rule 2.3)."""
    if any(known.found is None or holder.id != known.found.id for holder in known.holders):
        raise IdentityConflict(detail="an address or number of the answer is another contact's key", step="matching")
    own_key = _own_key(claims)
    if known.found is not None:
        contact, outcome, keys = known.found, _UPDATED, {}
    elif known.claimable is not None:
        contact, outcome = known.claimable, _CLAIMED
        keys = {"verified": True, "expires_at": None, **own_key}
    else:
        contact, outcome, keys = _new(claims, own_key), _CREATED, {}
    values, fields = _changes(claims, contact if not keys else msgspec.structs.replace(contact, **keys))
    # What the method found out about a value says more than that it was taken.
    return _decision(claims, contact, {**keys, **values}, {**fields, **claims.notes}, outcome)


def _own_key(claims: VerifiedClaims) -> dict[str, str | None]:
    if claims.match_by is _EXTERNAL_ID:
        return {"external_id": claims.external_id}
    return {"phone_key": claims.phone_key} if claims.match_by is _PHONE else {"email_key": claims.email_key}


def _decision(
    claims: VerifiedClaims, contact: Contact, values: dict[str, object], fields: dict[str, str], outcome: Outcome
) -> Decision:
    if outcome is _UPDATED and not values:
        return Decision(_UNCHANGED, contact, fields)
    provenance = dict(contact.provenance)
    for name in PROFILE_FIELDS:
        if name in values:
            # A cleared value keeps its provenance: "removed by the backend on that day" is worth knowing.
            provenance[name] = Provenance(_source(name, claims), claims.proven_at)
    changed = msgspec.structs.replace(contact, **values, provenance=provenance, updated_at=claims.proven_at)
    return Decision(outcome, changed, fields)


def _new(claims: VerifiedClaims, keys: dict[str, str | None]) -> Contact:
    fresh = Contact(
        workspace_id=claims.workspace_id,
        id=new_id(),
        version=1,
        verified=True,
        created_at=claims.proven_at,
        updated_at=claims.proven_at,
    )
    return msgspec.structs.replace(fresh, **keys)


def _changes(claims: VerifiedClaims, contact: Contact) -> tuple[dict[str, object], dict[str, str]]:
    """Absent keeps, null clears, equal changes nothing (DESIGN rule 2.7)."""
    values: dict[str, object] = {}
    fields: dict[str, str] = dict(claims.notes)
    # A customer's server was perhaps asked minutes ago; what somebody has said since then is not taken back.
    is_remembered = claims.method is _ASKED
    for name in PROFILE_FIELDS:
        claimed = getattr(claims.profile, name)
        if claimed is UNSET:
            continue
        if name == "custom_data" and claimed is not None and claims.no_custom is not None:
            claimed = _with_known(claimed, contact.custom_data, claims.no_custom)
        if _is_of_merged(name, claims, contact):
            # Found by the address of a contact that was merged into this one: it is theirs, and stays with it, or the
            # two addresses would overwrite each other at every sign-in, and undoing the merge would not undo that.
            fields[name] = _WITH_MERGED
            continue
        known, origin = getattr(contact, name), contact.provenance.get(name)
        if is_remembered and origin is not None and origin.at > claims.proven_at:
            fields[name] = "kept: newer"
            continue
        if name in claims.unproven and claimed != known and _is_vouched(known, origin):
            fields[name] = "kept: the contact's own is vouched for"
            continue
        fields[name] = "cleared" if claimed is None else "accepted"
        if (
            claimed != known
            # As documents: to Python `True` equals `1` and `1` equals `1.0`, to the customer they do not.
            or (name == "custom_data" and _DOCUMENT.encode(claimed) != _DOCUMENT.encode(known))
            or (claimed is not None and origin is not None and _weighs_otherwise(name, claims, origin.source))
        ):
            values[name] = claimed
    # A method that does not work out numbers says nothing against what is known of one that did not change.
    said = fields.get("phone") in {"accepted", "cleared"} and (
        claims.phone_key is not None or claims.profile.phone != contact.phone
    )
    if said and claims.phone_key != contact.phone_e164:
        values["phone_e164"] = claims.phone_key
    return values, fields


def _with_known(claimed: CustomData, known: CustomData | None, gone: frozenset[str]) -> CustomData | None:
    """The custom data of somebody of whom only some members are told: the others stay, and what is new has a place as
    long as there is room."""
    members = {name: value for name, value in {**(known or {}), **claimed}.items() if name not in gone}
    while len(members) > MOST_CUSTOM_MEMBERS:
        members.popitem()
    return members if members or known is not None else None


def _source(name: str, claims: VerifiedClaims) -> Method:
    return _UNVERIFIED if name in claims.unproven else claims.method


def _is_vouched(known: object, origin: Provenance | None) -> bool:
    """Whether a value is there by the word of the customer, which what somebody typed in elsewhere does not replace."""
    return known is not None and origin is not None and origin.source not in {_EXCHANGED, _UNVERIFIED}


def _weighs_otherwise(name: str, claims: VerifiedClaims, known: Method) -> bool:
    """Whether an equal value stands on another word now: it was the person's own and is proven, or the provider whose
    word it was does not say that it is."""
    if name in claims.unproven:
        return known is _EXCHANGED
    return known is _UNVERIFIED


def _is_of_merged(name: str, claims: VerifiedClaims, contact: Contact) -> bool:
    """Whether the claimed value is a key that found the contact, and not the contact's own."""
    if name == "email" and claims.subject is None and claims.match_by in _BY_EMAIL:
        return contact.email_key != claims.email_key
    return name == "phone" and claims.match_by is _PHONE and contact.phone_key != claims.phone_key


def _phone_key(claims: VerifiedClaims, contact: Contact, known: Known, fields: dict[str, str]) -> dict[str, object]:
    if claims.profile.phone is UNSET:
        return {}
    key = claims.phone_key
    if claims.profile.phone is not None and key is None:
        fields["phone"] = "kept for display: not a phone number"
    elif known.by_phone is not None and known.by_phone.id != contact.id:
        # Two people may share a number. It goes on finding the first; the second shows it.
        fields["phone"] = "kept for display: the key of another contact"
        key = None
    elif known.by_phone is not None:
        # The key of one who was merged into this contact, which leads here as it is and stays theirs.
        key = None
    if contact.email_key != claims.email_key:
        # Said under the address of one who was merged into this contact: its own key is neither theirs to take nor to
        # give, or a number would go on finding the wrong person when the merge is undone.
        return {}
    return {"phone_key": key} if key != contact.phone_key else {}
