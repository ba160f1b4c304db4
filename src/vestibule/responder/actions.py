"""Offers a workspace's actions to the model and calls them for a contact; it must not let a failure out.

`prepare` decides and builds (also for people who want to see the effective request), `execute` sends. Whatever goes
wrong becomes a Refusal or an ActionResult with a stable code, which the model is told and the conversation survives:

    not called  action_disabled trust_required reauthentication_required invalid_arguments invalid_action
    not built   missing_parameter unusable_value forbidden_header request_too_large no_signing_key
    no answer   upstream_timeout (status 408) upstream_failed upstream_too_large upstream_redirect upstream_forbidden
"""

from __future__ import annotations

import logging
import re
import unicodedata
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from vestibule.clock import MINUTE_MS, SECOND_MS
from vestibule.errors import (
    InvalidField,
    NoSigningKey,
    Upstream,
    UpstreamFailed,
    UpstreamForbidden,
    UpstreamRedirect,
    UpstreamTimeout,
    UpstreamTooLarge,
)
from vestibule.model.action import (
    Action,
    ActionDeclaration,
    ActionPolicy,
    Location,
    MessageOverrides,
    OnBehalfOf,
    Parameter,
    Source,
    Trust,
    Variables,
)
from vestibule.model.claims import HttpOverrides
from vestibule.outbound.client import Outbound
from vestibule.responder import assertion
from vestibule.responder.action_rules import validator
from vestibule.responder.assertion import Assertions
from vestibule.responder.effective_request import EffectiveRequest, Refusal, build, context_headers
from vestibule.responder.openapi_schema import Unusable, without_references
from vestibule.responder.overrides import Layers, Value, is_locked, merge, place

LARGEST_ARGUMENTS = 65_536
DEEPEST_ARGUMENTS = 32
# What is read of an answer, and what the model is shown of it.
LARGEST_ANSWER = 1_048_576
LARGEST_RESULT = 65_536
CONNECT_TIMEOUT_MS = 5 * SECOND_MS
# Two machines' clocks may disagree by this much about when somebody signed in.
_CLOCK_SKEW_MS = MINUTE_MS

_ARGUMENT_NAME = re.compile(r"[^A-Za-z0-9_-]")
_SENTENCES: dict[type[Upstream], str] = {
    UpstreamFailed: "Network error: the server could not be reached or did not answer usably.",
    UpstreamTooLarge: "The answer is too large to be read.",
    UpstreamRedirect: "The server answered with a redirect, which is not followed.",
    UpstreamForbidden: "The address of the server may not be called.",
}
_log = logging.getLogger(__name__)


class Circumstances(msgspec.Struct, frozen=True):
    """Everything about a call but the action and what the model says."""

    conversation_id: str
    on_behalf_of: OnBehalfOf
    policy: ActionPolicy = ActionPolicy()
    variables: Variables | None = None
    contact_overrides: HttpOverrides | None = None
    message_overrides: MessageOverrides | None = None
    ticket_number: int | None = None

    def layers(self, extracted: tuple[Value, ...] = ()) -> Layers:
        return Layers(extracted, self.variables, self.contact_overrides, self.message_overrides)


class ActionResult(msgspec.Struct, frozen=True):
    """What came of a call. `status` is None where no server answered; `text` is data, whoever wrote it."""

    status: int | None
    text: str
    truncated: bool = False
    milliseconds: int = 0
    error: str | None = None

    def for_model(self) -> str:
        """The result as one JSON document, so that nothing in it can pass for the end of it."""
        return msgspec.json.encode(self).decode()


def as_tools(actions: Iterable[Action], circumstances: Circumstances) -> list[dict[str, Any]]:
    """The enabled actions as an OpenAI `tools` list, with the parameters that are the model's to set: not those locked
    for it, nor those for which somebody stronger has given a value."""
    tools = []
    for action in actions:
        if not action.enabled:
            continue
        try:
            tools.append({"type": "function", "function": _function(action, _offered(action, circumstances))})
        except (InvalidField, Unusable):
            # Declared when the rules were others, or with references that cannot be filled in. The workspace's other
            # actions, and its chats, go on.
            _log.exception("an action's declaration cannot be used", extra={"action": action.name})
    return tools


def argument_names(action: ActionDeclaration) -> dict[str, Parameter]:
    """The name by which the model knows each parameter: unique, in the characters that tool interfaces accept."""
    names: dict[str, Parameter] = {}
    for parameter in action.parameters:
        plain = _ARGUMENT_NAME.sub("_", parameter.name)[:48]
        name, count = plain, 1
        while name in names:
            name = f"{parameter.location}_{plain}" if count == 1 else f"{parameter.location}_{plain}_{count}"
            count += 1
        names[name] = parameter
    return names


def check_arguments(action: ActionDeclaration, arguments: str) -> tuple[Value, ...] | Refusal:
    """What the model extracted, checked against the schemas. Whether something is missing is seen after the merge."""
    try:
        members = decode_arguments(arguments)
    except ValueError as error:
        return Refusal("invalid_arguments", f"The arguments {error}.")
    parameters = argument_names(action)
    values = []
    for name, member in members.items():
        parameter = parameters.get(name)
        if parameter is None:
            return Refusal("invalid_arguments", f"There is no parameter {name[:64]!a}.")
        problem = _problem(parameter, member)
        if problem is None:
            values.append(Value(parameter.location, parameter.name, member, Source.MODEL))
        elif member is not None:  # null for a parameter that cannot be null: models say "nothing" like this
            return Refusal("invalid_arguments", f"{name}: {problem}")
    return tuple(values)


def may_run(action: ActionDeclaration, contact: OnBehalfOf, now: int) -> Refusal | None:
    """None if the contact is proven well enough, and recently enough, at `now` (epoch milliseconds)."""
    if action.required_trust is Trust.UNVERIFIED:
        return None
    if not contact.verified:
        return Refusal("trust_required", "This needs a verified contact: the visitor has to sign in first.")
    minutes = action.verified_within_minutes
    if minutes is None or -_CLOCK_SKEW_MS <= now - contact.auth_time <= minutes * MINUTE_MS:
        return None
    sentence = f"This needs a contact who signed in within the last {minutes} minutes: the visitor has to do so again."
    return Refusal("reauthentication_required", sentence)


def prepare(
    action: Action,
    arguments: str,
    circumstances: Circumstances,
    *,
    now: int,
    assertions: Assertions,
    call_id: str = "",
    from_form: tuple[Value, ...] = (),
) -> EffectiveRequest | Refusal:
    """The request of a call, or why it may not be made. `call_id` is the same when a call that may have been made
    already is made again: after a crash nobody knows. `from_form`: values that stand where the model's do, and were
    checked like them, but are somebody else's."""
    if not action.enabled:
        return Refusal("action_disabled", "This action is disabled.")
    contact = circumstances.on_behalf_of
    refusal = may_run(action, contact, now)
    if refusal is not None:
        return refusal
    try:
        extracted = check_arguments(action, arguments)
        if isinstance(extracted, Refusal):
            return extracted
        effective = merge(action, circumstances.layers(extracted + from_form), circumstances.policy)
        return build(action, effective, ours=_own_headers(action, circumstances, assertions, call_id))
    except NoSigningKey as error:
        # Not without the assertion: an API that relies on it would answer for nobody, or for everybody.
        return Refusal(error.code, error.message)
    except InvalidField:
        _log.exception("an action's declaration cannot be used", extra={"action": action.name})
        return Refusal("invalid_action", "This action's declaration cannot be used.")


async def execute(action: Action, request: EffectiveRequest, outbound: Outbound) -> ActionResult:
    """Sends the request. Never again after a failure, for nobody knows whether it had its effect; but for a GET, which
    has none."""
    timeout = request.timeout_ms / SECOND_MS
    try:
        answer = await outbound.request(
            request.method,
            request.url,
            headers=dict(request.headers),
            body=request.body,
            connect_timeout=min(CONNECT_TIMEOUT_MS / SECOND_MS, timeout),
            timeout=timeout,
            most_bytes=LARGEST_ANSWER,
            purpose=f"action:{action.name}",
            tenant=action.workspace_id,
            # Nor PUT and DELETE, which HTTP would let be: with one assertion for both, and 404 as a DELETE's outcome.
            repeatable=request.method == "GET",
        )
    except UpstreamTimeout as error:
        text = f"The server did not answer within {request.timeout_ms} ms."
        return ActionResult(408, text, milliseconds=request.timeout_ms, error=error.code)
    except Upstream as error:
        return ActionResult(None, _SENTENCES.get(type(error), _SENTENCES[UpstreamFailed]), error=error.code)
    except Exception:
        _log.exception("an action's call failed unexpectedly", extra={"action": action.name})
        return ActionResult(None, _SENTENCES[UpstreamFailed], error=UpstreamFailed.code)
    text, truncated = _readable(answer.body)
    return ActionResult(answer.status, text, truncated, round(answer.milliseconds))


def refused(refusal: Refusal) -> ActionResult:
    """A call that was not made, as its result."""
    return ActionResult(None, refusal.sentence, error=refusal.code)


def _own_headers(action: Action, circumstances: Circumstances, assertions: Assertions, call_id: str) -> dict[str, str]:
    headers: dict[str, str] = {}
    if call_id and action.method not in {"GET", "HEAD"}:
        headers["idempotency-key"] = call_id
    contact, conversation_id = circumstances.on_behalf_of, circumstances.conversation_id
    if circumstances.policy.context_headers:
        headers |= context_headers(action.workspace_id, conversation_id, circumstances.ticket_number, contact)
    if circumstances.policy.send_assertion:
        headers[assertion.HEADER] = assertions.issue(action, contact, conversation_id)
    return headers


def _offered(action: Action, circumstances: Circumstances) -> dict[str, Parameter]:
    merged = merge(action, circumstances.layers(), circumstances.policy)
    settled = {(value.location, place(value.location, value.name)) for value in merged.values}
    return {
        name: parameter
        for name, parameter in argument_names(action).items()
        if (parameter.location, place(parameter.location, parameter.name)) not in settled
        and not is_locked(action, circumstances.policy, Source.MODEL, parameter.name)
    }


def _function(action: Action, offered: Mapping[str, Parameter]) -> dict[str, Any]:
    needs = "" if action.required_trust is Trust.UNVERIFIED else "Only for a verified contact."
    properties = {
        name: without_references(parameter.schema)
        | ({"description": parameter.description} if parameter.description else {})
        for name, parameter in offered.items()
    }
    required = [
        name for name, parameter in offered.items() if parameter.required or parameter.location is Location.PATH
    ]
    return {
        "name": action.name,
        "description": " ".join(filter(None, (action.description, needs))),
        "parameters": {
            "type": "object",
            "properties": properties,
            "required": required,
            "additionalProperties": False,
        },
    }


def decode_arguments(arguments: str) -> dict[str, Any]:
    """Raises ValueError where they are too large, too deep, or no JSON object."""
    try:
        raw = arguments.encode()
        if len(raw) > LARGEST_ARGUMENTS:
            raise ValueError(f"must be at most {LARGEST_ARGUMENTS} bytes")
        # Models say "no arguments" as an empty text, too.
        members = msgspec.json.decode(raw or b"{}", type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        raise ValueError("must be a JSON object") from None
    if _depth_exceeds(members, DEEPEST_ARGUMENTS):
        raise ValueError(f"must not be nested deeper than {DEEPEST_ARGUMENTS} levels")
    return members


def _depth_exceeds(value: Any, most: int) -> bool:
    level = [value]
    for _ in range(most):
        level = [
            member
            for container in level
            if isinstance(container, dict | list)
            for member in (container.values() if isinstance(container, dict) else container)
        ]
        if not level:
            return False
    return True


def _problem(parameter: Parameter, member: Any) -> str | None:
    try:
        error = next(iter(validator(parameter.schema).iter_errors(member)), None)
    except (ValueError, OverflowError) as failure:
        return str(failure)[:200]
    return None if error is None else error.message[:200]


def _readable(body: bytes) -> tuple[str, bool]:
    """At most LARGEST_RESULT bytes as text, without what a model or a log reads and people do not see: control
    characters, and the direction and tag characters in which instructions are hidden."""
    cut = body[:LARGEST_RESULT]
    text = cut.decode("utf-8", "replace" if len(cut) == len(body) else "ignore")
    clean = "".join(character for character in text if character in "\n\t" or not _invisible(character))
    return clean, len(cut) < len(body)


def _invisible(character: str) -> bool:
    if "\U000e0000" <= character <= "\U000e007f":
        return True
    category = unicodedata.category(character)
    return category == "Cc" or (category == "Cf" and unicodedata.bidirectional(character) in _DIRECTIONS)


_DIRECTIONS = frozenset({"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"})
