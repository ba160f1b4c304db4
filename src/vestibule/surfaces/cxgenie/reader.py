"""Who reads and writes on this wire: the bearer of a guest token, under the customer id that their app knows; it opens
nothing."""

from __future__ import annotations

import msgspec

from vestibule.conversations.visitor import Visitor
from vestibule.edge.bearer import bearer
from vestibule.edge.contact_bearer import visitor
from vestibule.edge.http import Request
from vestibule.errors import NotFound
from vestibule.runtime import Runtime
from vestibule.surfaces.cxgenie.customer_ids import customer_id_of

CHANNEL = "cxgenie"


class Reader(msgspec.Struct, frozen=True):
    """`customer_id` is the token's: the app compares it with a message's sender and receiver."""

    visitor: Visitor
    customer_id: str

    def __repr__(self) -> str:
        return f"Reader({self.visitor.contact_id})"

    @property
    def scope(self) -> str:
        """Where this wire's chats of a visitor are. A guest's is of this very token: whoever types the same e-mail has
        the same contact, and must not find what another device wrote (DESIGN rule 2.4)."""
        return CHANNEL if self.visitor.verified else f"{CHANNEL}:{self.visitor.token_id}"

    def require_own(self, customer_id: str | None) -> None:
        """The client names its customer everywhere. Beside a token it is no key: the token says who reads. Raises
        NotFound."""
        if customer_id is None or customer_id == self.customer_id:
            return
        if customer_id.lower() != self.visitor.contact_id:
            raise NotFound("There is no such customer.", step="customer_id")


async def reader_of(runtime: Runtime, request: Request) -> Reader:
    """Raises what `visitor` does."""
    found = await visitor(runtime, request)
    return Reader(found, customer_id_of(found.workspace_id, bearer(request)))
