"""`POST /v1/conversations/{id}/identity`: a visitor who has signed in goes on in their conversation as that person;
it must not sign anybody in."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import msgspec

from vestibule.conversations.attach_identity import attach_bearer, prove_by_token
from vestibule.conversations.visitor import visitor_of
from vestibule.edge.contact_bearer import claims_of
from vestibule.edge.http import Reply, Request, json_reply
from vestibule.edge.operation import Answer, Operation
from vestibule.edge.strict_json import read_body
from vestibule.edge.surface import Route
from vestibule.errors import ConversationClosed, IdentityConflict, InvalidGrant, NotFound
from vestibule.model.unshown import Unshown
from vestibule.runtime import Runtime
from vestibule.surfaces.native.conversations import CONVERSATION_ID, ONE
from vestibule.surfaces.native.shapes import Conversation, conversation_of

_ENCODER = msgspec.json.Encoder()


class Person(Unshown, frozen=True):
    """A contact token of the verified contact whose the conversation shall be, of the same workspace."""

    contact_token: str


_PERSON = msgspec.json.Decoder(Person)


def routes(runtime: Runtime) -> Sequence[Route]:
    return [Route("POST", f"{ONE}/identity", partial(_attach, runtime), _ATTACH)]


async def _attach(runtime: Runtime, request: Request) -> Reply:
    # Also where login is required: this is how a visitor of before goes on there.
    visitor = visitor_of(await claims_of(runtime, request))
    payload = await read_body(runtime, request, _PERSON)
    request.proves = "contact_token"  # for the audit: from here on it is decided who this is
    proven = await prove_by_token(runtime, visitor, payload.contact_token)
    request.facts["contact"] = proven.contact_id
    attached = await attach_bearer(runtime, visitor, request.params["conversation_id"], proven)
    request.facts["conversation"] = attached.id
    return json_reply(200, _ENCODER.encode(conversation_of(attached)))


_ATTACH = Operation(
    name="identifyConversation",
    summary="Go on with a conversation as a verified contact",
    about="Called with the token that the conversation was made with. From then on it is the verified contact's, on all"
    " their devices; the calling token opens it no more, and messages of before stay marked as unverified. Asking the"
    " same again is answered alike.",
    parameters=(CONVERSATION_ID,),
    request=Person,
    answers=(Answer(about="The conversation, which is the person's now.", type=Conversation),),
    errors=(InvalidGrant, NotFound, ConversationClosed, IdentityConflict),
)
