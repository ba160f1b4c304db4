"""`POST /action/execute`: the visitor sends the form of an action that the responder has asked for; it must not call
anything by itself."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import msgspec

from vestibule.conversations.opening import open_conversation
from vestibule.edge.http import Reply, Request, json_reply
from vestibule.edge.message_limits import count_message
from vestibule.edge.strict_json import read_body, refuse_nul
from vestibule.edge.surface import Route
from vestibule.errors import Upstream, UpstreamFailed, UpstreamTimeout
from vestibule.responder.actions import ActionResult
from vestibule.responder.forms import Submitted, submit
from vestibule.runtime import Runtime
from vestibule.surfaces.opencx.widget.caller import visitor
from vestibule.surfaces.opencx.widget.reading import PREFIX
from vestibule.surfaces.opencx.widget.writing import require_uuid

_ENCODER = msgspec.json.Encoder()
Scalar = str | int | float | bool


class ActionRequest(msgspec.Struct, frozen=True):
    queryParams: dict[str, Scalar] | None = None  # noqa: N815 - the wire's names
    pathParams: dict[str, Scalar] | None = None  # noqa: N815
    bodyParams: dict[str, Any] | None = None  # noqa: N815
    headers: dict[str, str] | None = None


class ExecuteAction(msgspec.Struct, frozen=True):
    sessionId: str  # noqa: N815 - the wire's names
    formMessageId: str  # noqa: N815
    actionId: str  # noqa: N815
    request: ActionRequest = ActionRequest()


_EXECUTE = msgspec.json.Decoder(ExecuteAction)


def routes(runtime: Runtime) -> Sequence[Route]:
    return [Route("POST", f"{PREFIX}/action/execute", partial(_execute, runtime))]


async def _execute(runtime: Runtime, request: Request) -> Reply:
    author = await visitor(runtime, request)
    await count_message(runtime, author, request)
    payload = await read_body(runtime, request, _EXECUTE)
    require_uuid("formMessageId", payload.formMessageId)
    given = payload.request
    for field, part in (("pathParams", given.pathParams), ("bodyParams", given.bodyParams)):
        refuse_nul(f"request.{field}", part)
    conversation = await open_conversation(runtime, author, payload.sessionId)
    request.facts["action"] = payload.actionId[:64]
    form = Submitted(
        form_message_id=payload.formMessageId,
        action_id=payload.actionId,
        path=dict(given.pathParams or {}),
        query=dict(given.queryParams or {}),
        body=given.bodyParams or {},
        headers=given.headers or {},
    )
    result = await submit(runtime, author, conversation, form)
    request.facts["action_outcome"] = result.error or str(result.status)
    return json_reply(200, _ENCODER.encode({"action": {"response": _response(result)}}))


def _response(result: ActionResult) -> Any:
    """What the called API answered, whatever its status: JSON where it is JSON. Raises the Upstream errors where it
    did not answer."""
    if result.error is not None:
        kinds: tuple[type[Upstream], ...] = (UpstreamTimeout, *Upstream.__subclasses__())
        raise next((kind for kind in kinds if kind.code == result.error), UpstreamFailed)(step="action")
    try:
        return msgspec.json.decode(result.text)
    except (msgspec.DecodeError, RecursionError):
        return result.text
