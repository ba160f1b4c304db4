"""What a model can call besides its workspace's actions: a person, and the modes of the widget; it carries nothing
out."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

from vestibule.model.responder import Mode

HANDOFF = "hand_off_to_a_person"
ENTER_MODE = "enter_mode"
LEAVE_MODE = "leave_mode"
MODE_TOOLS = frozenset({ENTER_MODE, LEAVE_MODE})
# No action may be called like one of them: a model could not tell which it calls.
OWN_TOOLS = frozenset({HANDOFF}) | MODE_TOOLS


def own_tools(modes: Iterable[Mode], current: str | None) -> list[dict[str, Any]]:
    """As an OpenAI `tools` list. `current`: the id of the mode that is open."""
    tools = [_tool(HANDOFF, "Let a member of the team take over this conversation.", {})]
    named = {mode.id: mode.name for mode in modes if mode.id != current}
    if named:
        told = "; ".join(f"{mode_id}: {name}" for mode_id, name in named.items())
        parameter = {"mode": {"type": "string", "enum": list(named)}}
        tools.append(_tool(ENTER_MODE, f"Open a part of the page beside the chat. {told}", parameter))
    if current is not None:
        tools.append(_tool(LEAVE_MODE, f"Close the part of the page that is open beside the chat, {current}.", {}))
    return tools


def mode_named(modes: Collection[Mode], wanted: object) -> Mode | None:
    """By id, or else by id, name or slug in any letter case, as the widget finds its component (contracts/opencx.md
    4.9): one mode's id may be another one's slug, and what we give out ourselves is an id."""
    if not isinstance(wanted, str):
        return None
    folded = wanted.casefold()
    return next((mode for mode in modes if mode.id == wanted), None) or next(
        (mode for mode in modes if folded in _names(mode)), None
    )


def _names(mode: Mode) -> set[str]:
    return {name.casefold() for name in (mode.id, mode.name, mode.slug) if name}


def _tool(name: str, description: str, parameters: dict[str, Any]) -> dict[str, Any]:
    schema = {"type": "object", "properties": parameters, "additionalProperties": False}
    if parameters:
        schema["required"] = list(parameters)
    return {"type": "function", "function": {"name": name, "description": description, "parameters": schema}}
