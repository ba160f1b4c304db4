"""Lets any endpoint that speaks OpenAI's chat completions answer, with the workspace's actions as tools; it must not
let what anybody says pass for what is proven.

What the model is told stands in places that it can tell apart (`prompt.py`). The proof itself is not in the prompt:
trust is checked for each call from the token (`actions.may_run`), so no words can raise it.
"""

from __future__ import annotations

import asyncio
import uuid
from collections import Counter
from typing import Any

from msgspec import UNSET, UnsetType

from vestibule.clock import now_ms
from vestibule.conversations.neutralise import without_pictures
from vestibule.errors import StorageUnavailable, UpstreamFailed, UpstreamTimeout
from vestibule.model.action import Action, Source
from vestibule.model.responder import Mode, ResponderSettings
from vestibule.responder import action_desk
from vestibule.responder.action_desk import Policy
from vestibule.responder.actions import (
    ActionResult,
    Circumstances,
    argument_names,
    as_tools,
    check_arguments,
    decode_arguments,
    execute,
    may_run,
    prepare,
    refused,
)
from vestibule.responder.assertion import Assertions
from vestibule.responder.chat_completions import Completions, Wanted
from vestibule.responder.effective_request import EffectiveRequest, Refusal
from vestibule.responder.overrides import is_locked
from vestibule.responder.prompt import messages_of
from vestibule.responder.question import Answer, Made, Question
from vestibule.responder.standing import is_left_to_it, require_proof
from vestibule.responder.tools import ENTER_MODE, HANDOFF, MODE_TOOLS, mode_named, own_tools
from vestibule.responder.webhook import storable
from vestibule.runtime import Runtime

_MOST_CALLS = 5
_CALLS = uuid.UUID("5f1f3c0e-9a3c-4c52-8a63-0d6f4f7ad1b6")
_FORM_SHOWN = Refusal("form_requested", "The visitor was shown a form for this. It is done when they send it.")


async def ask(runtime: Runtime, settings: ResponderSettings, question: Question, made: Made) -> Answer:
    """Raises Upstream errors, InvalidContactToken, WorkspaceDisabled, StorageUnavailable."""
    conversation = question.conversation
    actions = await action_desk.actions_of(runtime.store, conversation.workspace_id)
    circumstances = await action_desk.circumstances_of(
        runtime, conversation, question.contact, *action_desk.of_question(question)
    )
    modes = (await runtime.tenancy.widget(conversation.workspace_id)).modes
    desk = _Desk(runtime, actions, circumstances, question, modes, made=made)
    tools = [*as_tools(actions, circumstances), *own_tools(modes, conversation.mode_id)]
    messages = messages_of(settings, question)
    ended, beside_mode = False, None
    async with Completions(runtime.outbound, settings, conversation.workspace_id) as completions:
        for _ in range(_MOST_CALLS + 1):
            said, wanted = await completions.next(messages, tools)
            text = without_pictures(said) if (said := storable(said)) is not None else None
            if any(call.name == HANDOFF for call in wanted):
                return desk.answer(text, handoff=True)
            if not wanted:
                ended = True
                break
            if any(call.name in MODE_TOOLS for call in wanted):
                beside_mode = text or beside_mode
            messages.append(_as_asked(text, wanted))
            for call in wanted:
                result = await desk.call(call)
                if result is None:
                    return desk.answer(None, handoff=False)
                messages.append({"role": "tool", "tool_call_id": call.id, "content": result.for_model()})
    if not ended and not desk.form_shown:
        text = beside_mode = None  # said beside calls, of which there are no more: no answer
    # Whoever opens what was asked for may leave it at that. Behind an action its outcome is still to be told.
    turned = desk.mode_id is not UNSET and not desk.calls
    if text is None and (turned or desk.form_shown):
        text = beside_mode
    if text is None and not desk.calls and not turned:
        # Unlike a bot of the customer's, a model has no reason to be silent.
        raise UpstreamFailed(detail="the model gave no answer", step="responder")
    return desk.answer(text, handoff=text is None and not desk.form_shown and not (turned and ended))


class _Desk:
    """The calls of one answer: at most so many, each noted for the log and for the conversation's history."""

    def __init__(
        self,
        runtime: Runtime,
        actions: list[Action],
        circumstances: Circumstances,
        question: Question,
        modes: tuple[Mode, ...],
        *,
        made: Made,
    ) -> None:
        self._runtime = runtime
        self._question = question
        self._answered: Counter[tuple[str, str]] = Counter()
        self._actions = {action.name: action for action in actions}
        self._circumstances = circumstances
        self.calls = made.calls
        self._requests = made.requests
        self._modes = modes
        self.mode_id: str | None | UnsetType = UNSET
        self.form_shown = False

    def answer(self, text: str | None, *, handoff: bool) -> Answer:
        return Answer(text, handoff, self.mode_id, tuple(self.calls), tuple(self._requests))

    async def call(self, wanted: Wanted) -> ActionResult | None:
        """What came of it; None where the answer is not wanted any more, and so nothing that is done for it."""
        if wanted.name in MODE_TOOLS:
            return self._turn_to(wanted)
        action = self._actions.get(wanted.name)
        if action is None or len(self.calls) >= _MOST_CALLS:
            return refused(Refusal("unknown_action", "There is no such tool, or too many were called."))
        policy = self._circumstances.policy
        if isinstance(policy, Policy) and action.name in policy.forms and action.enabled:
            return self._show_form(action, wanted, policy)
        assertions = Assertions(self._runtime.signing_keys, issuer=self._runtime.settings.public_url)
        prepared = prepare(
            action,
            wanted.arguments,
            self._circumstances,
            now=now_ms(),
            assertions=assertions,
            call_id=self._call_id(wanted),
        )
        if isinstance(prepared, Refusal):
            return self._noted(action, wanted, prepared, refused(prepared))
        if not await self._is_wanted():
            return None
        try:
            result = await execute(action, prepared, self._runtime.outbound)
        except asyncio.CancelledError:
            # The answer's time is over, or its job is lost: whether the call had its effect, nobody knows.
            unknown = ActionResult(None, "Its outcome was not waited for.", error=UpstreamTimeout.code)
            self._noted(action, wanted, prepared, unknown)
            raise
        if result.error is None:
            self._answered[(wanted.name, wanted.arguments)] += 1
        return self._noted(action, wanted, prepared, result)

    def _noted(
        self, action: Action, wanted: Wanted, prepared: EffectiveRequest | Refusal, result: ActionResult
    ) -> ActionResult:
        action_desk.note(action, self._circumstances, result, by="the model")
        self.calls.append(action_desk.as_call(action, _arguments(wanted.arguments), result))
        self._requests.append(action_desk.as_request(action, prepared, result))
        return result

    async def _is_wanted(self) -> bool:
        try:
            await require_proof(self._runtime, self._question)
            return await is_left_to_it(self._runtime, self._question)
        except StorageUnavailable:
            if all("refused" in each for each in self._requests):
                raise  # nothing has had its effect: all of it is begun anew
            return True  # begun anew, it would call once more what it has called

    def _turn_to(self, wanted: Wanted) -> ActionResult:
        mode = mode_named(self._modes, _arguments(wanted.arguments).get("mode"))
        if wanted.name == ENTER_MODE and mode is None:
            return refused(Refusal("unknown_mode", "There is no such mode."))
        self.mode_id = mode.id if wanted.name == ENTER_MODE and mode is not None else None
        return ActionResult(200, "Done when you answer.")

    def _call_id(self, wanted: Wanted) -> str:
        """The same for the same call of the same answer, whichever process makes it: a crash between a call's effect
        and the stored answer has the message answered again, and the model then mostly asks for the same. A call that
        got no usable answer may have had its effect, and is the same when it is asked for again; one that was answered
        is meant once more."""
        asked = (wanted.name, wanted.arguments)
        cause = self._question.message.public_id
        parts = (self._circumstances.conversation_id, cause, *asked, str(self._answered[asked] + 1))
        return str(uuid.uuid5(_CALLS, "\0".join(parts)))

    def _show_form(self, action: Action, wanted: Wanted, policy: Policy) -> ActionResult:
        refusal = may_run(action, self._circumstances.on_behalf_of, now_ms())
        checked = check_arguments(action, wanted.arguments) if refusal is None else refusal
        if isinstance(checked, Refusal):
            return refused(checked)
        names = argument_names(action)
        known = {
            name: value
            for name, value in _arguments(wanted.arguments).items()
            if not is_locked(action, policy, Source.MODEL, names[name].name)
        }
        self.calls.append(action_desk.as_form(action, policy, known))
        self.form_shown = True
        return refused(_FORM_SHOWN)


def _as_asked(text: str | None, wanted: list[Wanted]) -> dict[str, Any]:
    calls = []
    for call in wanted:
        # Several servers (vLLM, llama-server, Ollama) decode what they are sent, and answer 400 to what is no object.
        arguments = call.arguments if _arguments(call.arguments) else "{}"
        calls.append({"id": call.id, "type": "function", "function": {"name": call.name, "arguments": arguments}})
    return {"role": "assistant", "content": text, "tool_calls": calls}


def _arguments(text: str) -> dict[str, Any]:
    """As they are kept: nothing of what is refused unread, or every poll would carry it, and each further request."""
    try:
        return decode_arguments(text)
    except ValueError:
        return {}
