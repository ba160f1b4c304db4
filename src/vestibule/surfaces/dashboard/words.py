"""Says in plain English what codes stand for, and how far a person is to be trusted; it must not decide anything."""

from __future__ import annotations

import msgspec

from vestibule.model.claims import Method
from vestibule.model.contact import Contact, Provenance
from vestibule.model.conversation import Authorship, Message, Sender, Trust

_WORDS = {
    "server_to_server": "server to server",
    "token_exchange": "identity provider",
    "auth_endpoint": "auth endpoint",
    "unverified": "the visitor's own word",
    "operator": "an operator",
    "closed_resolved": "resolved",
    "closed_unresolved": "closed",
    "handed_off": "waiting for people",
    "arrive": "asked for a token",
    "read": "read on",
    "write": "wrote",
    "fallback": "let in as guests",
    "opencx_widget": "OpenCX widget",
    "puzzel": "Puzzel",
    "cxgenie": "CX Genie",
    "native": "our widget and native API",
    "contact.merge": "merged into",
    "contact.unmerge": "parted from",
    "contact.merge.into": "took in",
    "contact.unmerge.into": "let go of",
    "keys": "key set",
    "iss": "issuer (iss)",
    "aud": "audience (aud)",
    "exp": "expiry (exp)",
    "nbf": "not before (nbf)",
    "iat": "issued at (iat)",
    "sub": "subject (sub)",
}
_PROVING = frozenset({Method.SERVER_TO_SERVER, Method.TOKEN_EXCHANGE, Method.AUTH_ENDPOINT})


class Mark(msgspec.Struct, frozen=True):
    """How far a person or a message is to be trusted. `kind` is verified, claimed, anonymous, staff or machine; `by`
    and `at` say what proved it, and when."""

    kind: str
    label: str
    by: str = ""
    at: int | None = None


def plain(code: str) -> str:
    return _WORDS.get(code, code.replace("_", " "))


def initials(name: str) -> str:
    letters = [part[0] for part in name.split() if part[0].isalnum()]
    return "".join(letters[:2]).upper() or "?"


def name_of(contact: Contact | None) -> str:
    if contact is None:
        return "Visitor"
    return contact.name or contact.email or contact.phone or "Visitor"


def as_claimed(contact: Contact) -> Contact:
    """What somebody without proof said of themselves by whose e-mail they were given a contact that is a proven
    person's by now: that e-mail, and nothing of the person."""
    return msgspec.structs.replace(contact, verified=False, name=None, phone=None, avatar_url=None, provenance={})


def mark_of(contact: Contact | None) -> Mark:
    """Of a person as they are known now."""
    if contact is None:
        return Mark("anonymous", "Anonymous")
    if contact.verified:
        proof = _proof(contact)
        if proof is None:
            return Mark("verified", "Verified")
        return Mark("verified", "Verified", plain(proof.source.value), proof.at)
    return _mark_of_claims(contact)


def mark_of_message(message: Message, contact: Contact | None) -> Mark:
    """Of what was known when it was written, which never changes."""
    if message.sender is Sender.AGENT:
        return Mark("staff", message.sender_name or "Staff")
    if message.is_greeting:
        # Whoever has the public widget token can send one: staff must not take it for what we have promised.
        return Mark("claimed", "Shown by the page, by its own word")
    if message.sender is not Sender.USER:
        return Mark("machine", "AI" if message.sender is Sender.AI else "Notice")
    if message.author is not None:
        return _mark_of_author(message.author)
    # Stored before what was known of its author was.
    return Mark("verified", "Verified") if message.trust is Trust.VERIFIED else _mark_of_claims(contact)


def _mark_of_claims(contact: Contact | None) -> Mark:
    if contact is not None and not contact.verified and (contact.name or contact.email or contact.phone):
        return Mark("claimed", "Claimed")
    return Mark("anonymous", "Anonymous")


def _mark_of_author(author: Authorship) -> Mark:
    if author.method != Method.UNVERIFIED:
        return Mark("verified", "Verified", plain(author.method), author.at)
    return Mark("claimed", "Claimed") if author.claims else Mark("anonymous", "Anonymous")


def _proof(contact: Contact) -> Provenance | None:
    proofs = [found for found in contact.provenance.values() if found.source in _PROVING]
    return max(proofs, key=lambda found: found.at, default=None)
