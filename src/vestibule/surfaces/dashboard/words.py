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
    "contact.joined": "took in",
    "contact.parted": "let go of",
    "keys": "key set",
    "iss": "issuer (iss)",
    "aud": "audience (aud)",
    "exp": "expiry (exp)",
    "nbf": "not before (nbf)",
    "iat": "issued at (iat)",
    "sub": "subject (sub)",
}
# What usually helps, by the check that failed.
_FIXES = {
    "provider": "Add the provider that issued it, or enable it: vestibule provider add, enable.",
    "form": "Paste the whole token, and choose its kind; an encrypted one cannot be read.",
    "algorithm": "Let the provider sign with one of the algorithms that are set for it: vestibule provider update.",
    "keys": "The provider's key set cannot be had: look at its address, and at private_hosts and ca_file.",
    "key": "The provider has not published the key that signed it. Is it of another environment?",
    "signature": "It was altered, or signed by somebody else. Get a fresh one.",
    "iss": "Set the issuer exactly as the token has it, to the last slash.",
    "aud": "Set the client id that the token was issued for: vestibule provider update.",
    "exp": "It is over: get a fresh one. If it is fresh, compare the clocks.",
    "nbf": "It is not good yet: compare the clocks.",
    "iat": "It is too old, or from the future: get a fresh one, and compare the clocks.",
    "introspection": "Look at the introspection endpoint, the client id and its secret.",
    "active": "The provider says that it has ended: get a fresh one.",
    "kind": "It is another kind of token than was chosen, or than the provider takes here.",
    "authentication": "The sign-in is too old or too weak for what the provider's settings ask: sign in again.",
    "scope": "It lacks a scope that the provider's settings ask for.",
    "binding": "It is bound to a key of its owner, which cannot be checked here.",
    "mapping": "A claim cannot be taken as it is mapped: vestibule provider update.",
    "contact": "Another contact has these keys already. Look at both, and merge them if they are one person.",
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


def fix_of(step: str) -> str:
    return _FIXES.get(step, "")


def initials(name: str) -> str:
    letters = [part[0] for part in name.split() if part[0].isalnum()]
    return "".join(letters[:2]).upper() or "?"


def name_of(contact: Contact | None) -> str:
    if contact is None:
        return "Visitor"
    return contact.name or contact.email or contact.phone or "Visitor"


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
