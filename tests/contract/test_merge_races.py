"""Somebody signs in while two people are parted again: they are found as who they are by then."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from tests.fixtures.front_door import Workspace
from vestibule.administration import contacts
from vestibule.clock import now_ms
from vestibule.identity.resolution import Resolver
from vestibule.model.claims import Method, ProfileClaims, VerifiedClaims
from vestibule.storage.contacts import Contacts
from vestibule.storage.provider_identities import ProviderIdentities
from vestibule.storage.store import Store

BOB = "bob@example.com"


class Meanwhile:
    """A store at which something happens just before the first write."""

    def __init__(self, store: Store, happens: Callable[[], Awaitable[Any]]) -> None:
        self._store = store
        self._happens: Callable[[], Awaitable[Any]] | None = happens

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def write(self, *given: Any) -> Any:
        happens, self._happens = self._happens, None
        if happens is not None:
            await happens()
        return await self._store.write(*given)


def test_a_sign_in_under_way_writes_nothing_on_the_other(workspace: Workspace) -> None:
    installation = workspace.installation
    desk = installation.desk
    (adas, ada), (_, bob) = workspace.sign_in(name="Ada"), workspace.sign_in(BOB, name="Bob")
    installation.run(contacts.merge(desk, workspace.id, bob, ada))
    store: Any = Meanwhile(desk.store, lambda: contacts.unmerge(desk, workspace.id, bob))
    people = Contacts(store, desk.sealer)
    proof = VerifiedClaims(  # house-rule: a test makes its own
        workspace_id=workspace.id,
        method=Method.SERVER_TO_SERVER,
        proven_at=now_ms(),
        profile=ProfileClaims(name="Robert", email=BOB),
        email_key=BOB,
    )
    decision = installation.run(Resolver(people, ProviderIdentities(store, people)).resolve(proof))
    assert decision.contact.id == bob
    assert (workspace.contact(ada)["name"], workspace.contact(bob)["name"]) == ("Ada", "Robert")
    again, who = workspace.sign_in(name="Ada")
    assert who == ada
    assert workspace.me(again).status_code == 200, "who signs in after the answer has a good token"
    assert adas != again
