"""How a workspace answers its visitors, and how its widget behaves; no I/O."""

from __future__ import annotations

import enum

import msgspec


class ResponderKind(enum.StrEnum):
    NONE = "none"  # people answer
    WEBHOOK = "webhook"  # the customer's bot
    OPENAI = "openai"  # any endpoint that speaks OpenAI's chat completions


class ResponderSettings(msgspec.Struct, frozen=True, omit_defaults=True):
    """`secrets` sign what is sent to the bot (Standard Webhooks), the first being the current one; `api_key` opens the
    language model. Kept sealed, never shown. `notice` and `handoff_notice` are what the visitor reads when the
    responder failed, and when it hands over without a word; empty: in English."""

    kind: ResponderKind = ResponderKind.NONE
    url: str = ""
    secrets: tuple[str, ...] = ()
    model: str = ""
    api_key: str = ""
    instructions: str = ""
    timeout_ms: int = 60_000
    notice: str = ""
    handoff_notice: str = ""

    @property
    def answers(self) -> bool:
        return self.kind is not ResponderKind.NONE

    def __repr__(self) -> str:
        return f"ResponderSettings({self.kind.value})"


class Mode(msgspec.Struct, frozen=True):
    id: str
    name: str
    slug: str | None = None


class WidgetSettings(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the widget is told: how often it asks, in seconds, and the modes it may show. `allowed_origins` are the
    pages that may call in the workspace's name; empty: any."""

    list_seconds: float = 60
    poll_seconds: float = 10
    modes: tuple[Mode, ...] = ()
    allowed_origins: tuple[str, ...] = ()
