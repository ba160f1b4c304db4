"""Lets an operator change only what they were shown: a tag of the view goes out with it, and comes back with the
change; it must not know what is shown."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection

import msgspec

from vestibule.administration.desk import Desk
from vestibule.edge.entity_tags import entity_tag
from vestibule.errors import StaleEdit
from vestibule.model.audit import INSTALLATION
from vestibule.storage.conditional import ConditionalStore, RememberingStore
from vestibule.storage.contacts import Contacts
from vestibule.storage.store import Store

View = Callable[[Desk], Awaitable[object]]
ENCODER = msgspec.json.Encoder()


def tag_of(shown: object) -> bytes:
    return entity_tag(ENCODER.encode(shown))


async def desk_for_editing(desk: Desk, workspace_id: str, view: View, wanted: Collection[bytes]) -> Desk:
    """The desk at which to change what `view` shows, if its tag is among `wanted`: compared now, and again in the
    transaction that writes. Raises StaleEdit, and what `view` raises."""
    remembering = RememberingStore(desk.store)
    if tag_of(await view(_over(desk, remembering))) not in wanted and b"*" not in wanted:
        raise StaleEdit(step="if_match")
    return _over(desk, ConditionalStore(desk.store, workspace_id or INSTALLATION, remembering.seen))


def _over(desk: Desk, store: Store) -> Desk:
    contacts = Contacts(store, desk.sealer)
    return Desk(desk.settings, desk.sealer, store, contacts, desk.live, desk.files, desk.audit, desk.actor)
