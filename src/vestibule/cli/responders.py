"""`vestibule responder …` and `vestibule widget …`; prints, and leaves the rest to `administration.responders`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, TypeVar

import msgspec
import typer
from msgspec import UNSET, UnsetType

from vestibule.administration import responders
from vestibule.administration.desk import Desk
from vestibule.administration.responders import Change
from vestibule.cli.opening import ForgetOldSecret, InWorkspace, Json, at_the_desk, duration, fail, read_file
from vestibule.cli.output import Value, members, print_result
from vestibule.clock import SECOND_MS
from vestibule.model.responder import ResponderKind, ResponderSettings, WidgetSettings

T = TypeVar("T")
app = typer.Typer(help="What answers a workspace's visitors.", no_args_is_help=True)
widget_app = typer.Typer(help="How a workspace's widget behaves.", no_args_is_help=True)


@app.command("set")
def set_(
    workspace: InWorkspace,
    kind: Annotated[ResponderKind | None, typer.Option(help="none (people answer), webhook or openai.")] = None,
    url: Annotated[str | None, typer.Option(help="The bot's URL, or the model endpoint's base URL.")] = None,
    model: Annotated[str | None, typer.Option(help="The model's name at its endpoint.")] = None,
    api_key_env: Annotated[str | None, typer.Option(help="The environment variable with the model's key.")] = None,
    api_key_file: Annotated[Path | None, typer.Option(help="The file with the model's key.")] = None,
    no_api_key: Annotated[bool, typer.Option("--no-api-key", help="Forget the key; the endpoint needs none.")] = False,
    instructions: Annotated[str | None, typer.Option(help="What the model shall know and do.")] = None,
    instructions_file: Annotated[Path | None, typer.Option(help="The file with the instructions.")] = None,
    timeout: Annotated[str | None, typer.Option(help="How long an answer may take, such as 30s.")] = None,
    notice: Annotated[str | None, typer.Option(help="What the visitor reads when the responder failed.")] = None,
    handoff_notice: Annotated[str | None, typer.Option(help="Likewise when it hands over without a word.")] = None,
    rotate_secret: Annotated[
        bool, typer.Option("--rotate-secret", help="Sign with a new secret as well as with the current one.")
    ] = False,
    forget_old_secret: ForgetOldSecret = False,
    as_json: Json = False,
) -> None:
    """Set what is given; the rest stays. A webhook's secret is shown when it is made and never again."""
    wanted = Change(
        kind=_given(kind),
        url=_given(url),
        model=_given(model),
        api_key="" if no_api_key else _given(_secret(api_key_env, api_key_file, as_json=as_json)),
        instructions=_given(_text(instructions, instructions_file, as_json=as_json)),
        timeout_ms=duration(timeout, as_json=as_json) if timeout is not None else UNSET,
        notice=_given(notice),
        handoff_notice=_given(handoff_notice),
        new_secret=rotate_secret,
        one_secret=forget_old_secret,
    )
    settings, made = at_the_desk(lambda desk: responders.change(desk, workspace, wanted), as_json=as_json)
    secret: dict[str, Value] = {"secret": made} if made is not None else {}
    print_result({**_shown(settings), **secret}, as_json=as_json)


@app.command("show")
def show(workspace: InWorkspace, as_json: Json = False) -> None:
    """Show the responder, without its secrets."""
    print_result(_shown(at_the_desk(lambda desk: responders.read(desk, workspace), as_json=as_json)), as_json=as_json)


@widget_app.command("set")
def set_widget(
    workspace: InWorkspace,
    list_seconds: Annotated[float | None, typer.Option(help="How often the list of chats is asked for.")] = None,
    poll_seconds: Annotated[float | None, typer.Option(help="How often an open chat is.")] = None,
    mode: Annotated[
        list[str] | None, typer.Option(help="A mode, as ID:NAME or ID:NAME:SLUG. Repeatable; replaces all modes.")
    ] = None,
    no_modes: Annotated[bool, typer.Option("--no-modes", help="Have no modes.")] = False,
    allowed_origin: Annotated[
        list[str] | None,
        typer.Option(help="A page's origin that may call, such as https://shop.example.com. Repeatable; replaces all."),
    ] = None,
    any_origin: Annotated[bool, typer.Option("--any-origin", help="Let any page call.")] = False,
    as_json: Json = False,
) -> None:
    """Set what is given; the rest stays."""

    async def act(desk: Desk) -> WidgetSettings:
        modes = tuple(responders.parse_mode(text) for text in mode or ())
        return await responders.change_widget(
            desk,
            workspace,
            list_seconds=list_seconds,
            poll_seconds=poll_seconds,
            modes=modes if modes or no_modes else None,
            allowed_origins=tuple(allowed_origin or ()) if allowed_origin or any_origin else None,
        )

    print_result(_widget(at_the_desk(act, as_json=as_json)), as_json=as_json)


@widget_app.command("show")
def show_widget(workspace: InWorkspace, as_json: Json = False) -> None:
    """Show how the widget behaves."""
    widget = at_the_desk(lambda desk: responders.read_widget(desk, workspace), as_json=as_json)
    print_result(_widget(widget), as_json=as_json)


def _given(value: T | None) -> T | UnsetType:
    return UNSET if value is None else value


def _secret(variable: str | None, path: Path | None, *, as_json: bool) -> str | None:
    """Never from the command line itself: what stands there, every process of the machine may read."""
    if variable is not None and path is not None:
        fail("invalid_option", "give one of --api-key-env and --api-key-file", as_json=as_json, exit_code=2)
    if variable is not None:
        if not os.environ.get(variable):
            fail("invalid_option", f"the environment has no {variable}", as_json=as_json, exit_code=2)
        return os.environ[variable].strip()
    return read_file(path, as_json=as_json).strip() if path is not None else None


def _text(text: str | None, path: Path | None, *, as_json: bool) -> str | None:
    if text is not None and path is not None:
        fail("invalid_option", "give the text or the file, not both", as_json=as_json, exit_code=2)
    return read_file(path, as_json=as_json) if path is not None else text


def _shown(settings: ResponderSettings) -> dict[str, Value]:
    shown = responders.shown(settings)
    return members(
        shown,
        "kind url model api_key secrets timeout instructions notice handoff_notice",
        url=shown.address,
        api_key="set" if shown.has_api_key else None,
        timeout=f"{shown.timeout_ms / SECOND_MS:g}s",
    )


def _widget(widget: WidgetSettings) -> dict[str, Value]:
    modes = [msgspec.structs.asdict(mode) for mode in widget.modes]
    return members(widget, "list_seconds poll_seconds modes allowed_origins", modes=modes)
