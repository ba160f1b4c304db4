"""Sets and shows how a workspace answers its visitors, and how its widget behaves; it must not show a secret, but for a
new one at the only moment at which it is known."""

from __future__ import annotations

import re

import msgspec
from msgspec import UNSET, UnsetType

from vestibule.administration import workspaces
from vestibule.administration.desk import Desk
from vestibule.clock import SECOND_MS
from vestibule.errors import InvalidDeclaration, InvalidField, UpstreamForbidden
from vestibule.identity import profile_rules
from vestibule.model.responder import Mode, ResponderKind, ResponderSettings, WidgetSettings
from vestibule.model.unshown import Unshown
from vestibule.outbound.address_guard import parse_url, server_of
from vestibule.outbound.standard_webhooks import new_secret, secret_bytes
from vestibule.storage import workspace_settings
from vestibule.tenancy import RESPONDER, WIDGET

SHORTEST_TIMEOUT_MS = SECOND_MS
# Less than what a send waits for its answer, and what most proxies let a request wait.
LONGEST_TIMEOUT_MS = 90 * SECOND_MS
LONGEST_INSTRUCTIONS = 65_536
_LONGEST_NOTICE = 1_000
_LONGEST_MODEL = 200
_LONGEST_KEY = 4_096
_SHORTEST_POLL, _LONGEST_POLL = 0.5, 3600.0
_MOST_MODES = 50
_MOST_ORIGINS = 100
# RFC 6454 section 6.2, in lower case and without a path; a star for the labels before a domain of two at least.
_ORIGIN = re.compile(
    r"https?://(?:[a-z0-9.-]{1,253}|\*\.[a-z0-9-]+(?:\.[a-z0-9-]+)+|\[[0-9a-f:.]{2,45}\])(?::[0-9]{1,5})?"
)


class Change(Unshown, frozen=True):
    """What to change; UNSET stays. `new_secret` puts a fresh secret in front of the current one; `one_secret` forgets
    all but the newest."""

    kind: ResponderKind | UnsetType = UNSET
    url: str | UnsetType = UNSET
    model: str | UnsetType = UNSET
    api_key: str | UnsetType = UNSET
    instructions: str | UnsetType = UNSET
    timeout_ms: int | UnsetType = UNSET
    notice: str | UnsetType = UNSET
    handoff_notice: str | UnsetType = UNSET
    new_secret: bool = False
    one_secret: bool = False


class Shown(msgspec.Struct, frozen=True):
    """A responder without its secrets. `address` is the URL without its query, which may hold one."""

    kind: ResponderKind
    address: str
    model: str
    has_api_key: bool
    secrets: int
    instructions: str
    timeout_ms: int
    notice: str
    handoff_notice: str


async def read(desk: Desk, workspace_id: str) -> ResponderSettings:
    """Raises NotFound, CannotUnseal."""
    await workspaces.get(desk, workspace_id)
    found = await workspace_settings.find(desk.store, desk.sealer, workspace_id, RESPONDER, ResponderSettings)
    return found or ResponderSettings()


async def change(desk: Desk, workspace_id: str, wanted: Change) -> tuple[ResponderSettings, str | None]:
    """The settings as they are now, and the secret that was made, if one was. Raises NotFound, InvalidDeclaration,
    InvalidField."""
    known = await read(desk, workspace_id)
    given = {
        name: value
        for name in ("kind", "url", "model", "api_key", "instructions", "timeout_ms", "notice", "handoff_notice")
        if (value := getattr(wanted, name)) is not UNSET
    }
    changed = msgspec.structs.replace(known, **given)
    changed = _keep_key_at_home(desk, known, changed, given_key="api_key" in given)
    made = None
    if wanted.new_secret or (changed.kind is ResponderKind.WEBHOOK and not changed.secrets):
        made = new_secret()
        # The one before goes on signing as well, until the bot has changed to the new one.
        changed = msgspec.structs.replace(changed, secrets=(made, *changed.secrets)[:2])
    if wanted.one_secret:
        changed = msgspec.structs.replace(changed, secrets=changed.secrets[:1])
    problems = problems_of(desk, changed)
    if problems:
        raise InvalidDeclaration([problem.message for problem in problems])
    await workspace_settings.put(desk.store, desk.sealer, workspace_id, RESPONDER, changed)
    await desk.record("responder.change", workspace_id, detail=workspaces.names_changed(known, changed))
    return changed, made


async def replace(desk: Desk, workspace_id: str, wanted: ResponderSettings) -> tuple[ResponderSettings, str | None]:
    """Likewise, with all settings given at once; without secrets the known ones stay. Raises NotFound,
    InvalidDeclaration."""
    known = await read(desk, workspace_id)
    wanted = msgspec.structs.replace(wanted, secrets=wanted.secrets or known.secrets)
    made = None
    if wanted.kind is ResponderKind.WEBHOOK and not wanted.secrets:
        made = new_secret()
        wanted = msgspec.structs.replace(wanted, secrets=(made,))
    problems = problems_of(desk, wanted)
    if problems:
        raise InvalidDeclaration([problem.message for problem in problems])
    if wanted != known:
        await workspace_settings.put(desk.store, desk.sealer, workspace_id, RESPONDER, wanted)
        await desk.record("responder.change", workspace_id, detail=workspaces.names_changed(known, wanted))
    return wanted, made


def problems_of(desk: Desk, settings: ResponderSettings) -> list[InvalidField]:
    """Everything that keeps a responder from working, or from being kept."""
    problems = []
    if settings.kind is not ResponderKind.NONE:
        problems += _url_problems(desk, settings.url)
    if settings.kind is ResponderKind.OPENAI and not (0 < len(settings.model) <= _LONGEST_MODEL):
        problems.append(InvalidField("model", f"must be the name of a model, of at most {_LONGEST_MODEL} characters"))
    if not SHORTEST_TIMEOUT_MS <= settings.timeout_ms <= LONGEST_TIMEOUT_MS:
        seconds = f"{SHORTEST_TIMEOUT_MS // SECOND_MS} to {LONGEST_TIMEOUT_MS // SECOND_MS}"
        problems.append(InvalidField("timeout", f"must be from {seconds} seconds"))
    if not settings.api_key.isascii() or not settings.api_key.isprintable() or len(settings.api_key) > _LONGEST_KEY:
        problems.append(InvalidField("api_key", "must be of visible ASCII characters, as a header can carry them"))
    for name, longest in (
        ("instructions", LONGEST_INSTRUCTIONS),
        ("notice", _LONGEST_NOTICE),
        ("handoff_notice", _LONGEST_NOTICE),
    ):
        try:
            profile_rules.text(name, getattr(settings, name), longest)
        except InvalidField as error:
            problems.append(error)
    for secret in settings.secrets:
        try:
            secret_bytes(secret)
        except ValueError as error:
            problems.append(InvalidField("secrets", str(error)))
    return problems


def shown(settings: ResponderSettings) -> Shown:
    return Shown(
        kind=settings.kind,
        address=workspaces.shown_url(settings.url),
        model=settings.model,
        has_api_key=bool(settings.api_key),
        secrets=len(settings.secrets),
        instructions=settings.instructions,
        timeout_ms=settings.timeout_ms,
        notice=settings.notice,
        handoff_notice=settings.handoff_notice,
    )


async def read_widget(desk: Desk, workspace_id: str) -> WidgetSettings:
    """Raises NotFound, CannotUnseal."""
    await workspaces.get(desk, workspace_id)
    found = await workspace_settings.find(desk.store, desk.sealer, workspace_id, WIDGET, WidgetSettings)
    return found or WidgetSettings()


async def change_widget(
    desk: Desk,
    workspace_id: str,
    *,
    list_seconds: float | None = None,
    poll_seconds: float | None = None,
    modes: tuple[Mode, ...] | None = None,
    allowed_origins: tuple[str, ...] | None = None,
) -> WidgetSettings:
    """Changes what is given. Raises NotFound, InvalidField."""
    known = await read_widget(desk, workspace_id)
    given = {
        "list_seconds": list_seconds,
        "poll_seconds": poll_seconds,
        "modes": modes,
        "allowed_origins": allowed_origins,
    }
    widget = msgspec.structs.replace(known, **{name: value for name, value in given.items() if value is not None})
    for problem in widget_problems(widget):
        raise problem
    if widget == known:
        return widget
    await workspace_settings.put(desk.store, desk.sealer, workspace_id, WIDGET, widget)
    await desk.record("widget.change", workspace_id, detail=workspaces.names_changed(known, widget))
    return widget


def widget_problems(widget: WidgetSettings) -> list[InvalidField]:
    """Everything that keeps the settings from being kept."""
    # To the widget 0 means its own default, and less than a moment would be a flood.
    problems = [
        InvalidField(name, f"must be from {_SHORTEST_POLL} to {_LONGEST_POLL:g}")
        for name in ("list_seconds", "poll_seconds")
        if not _SHORTEST_POLL <= getattr(widget, name) <= _LONGEST_POLL
    ]
    try:
        _check_modes(widget.modes)
    except InvalidField as error:
        problems.append(error)
    problems += [
        InvalidField(
            f"allowed_origins[{index}]",
            "must be as a browser writes it: https://shop.example.com or https://*.example.com",
        )
        for index, origin in enumerate(widget.allowed_origins)
        if _ORIGIN.fullmatch(origin) is None
    ]
    if len(widget.allowed_origins) > _MOST_ORIGINS:
        problems.append(InvalidField("allowed_origins", f"must be at most {_MOST_ORIGINS}"))
    return problems


def parse_mode(text: str) -> Mode:
    """A mode of `ID:NAME` or `ID:NAME:SLUG`. Raises InvalidField."""
    parts = text.split(":")
    if len(parts) not in {2, 3}:
        raise InvalidField("mode", "must be ID:NAME or ID:NAME:SLUG")
    return Mode(parts[0].strip(), parts[1].strip(), (parts[2].strip() or None) if len(parts) == 3 else None)


def _check_modes(modes: tuple[Mode, ...]) -> None:
    if len(modes) > _MOST_MODES or len({mode.id for mode in modes}) != len(modes):
        raise InvalidField("modes", f"must be at most {_MOST_MODES}, each with an id of its own")
    for mode in modes:
        for name in ("id", "name", "slug"):
            value = getattr(mode, name)
            if value is None:
                continue
            if not 0 < len(value) <= profile_rules.LONGEST_NAME or not value.isprintable():
                raise InvalidField(f"modes.{name}", f"must be 1 to {profile_rules.LONGEST_NAME} printable characters")


def _url_problems(desk: Desk, url: str) -> list[InvalidField]:
    if not url:
        return [InvalidField("url", "is required")]
    try:
        parse_url(url, desk.settings.private_hosts)
    except UpstreamForbidden as error:
        return [InvalidField("url", f"may not be called: {error.detail}")]
    return []


def _keep_key_at_home(
    desk: Desk, known: ResponderSettings, changed: ResponderSettings, *, given_key: bool
) -> ResponderSettings:
    """A key that was meant for one server is not shown to another because its address was mistyped, or changed."""
    if changed.kind is not ResponderKind.OPENAI:
        return msgspec.structs.replace(changed, api_key="")
    private = desk.settings.private_hosts
    moved = server_of(known.url, private) != server_of(changed.url, private) and not _url_problems(desk, changed.url)
    if moved and known.api_key and changed.api_key and not given_key:
        raise InvalidField("api_key", "must be given again, as the new URL leads to another server")
    return changed
