"""`/dashboard/set-up/auth-endpoint`: the customer's own server that is asked; its secrets are shown once, when made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from vestibule.administration import auth_endpoint_rules, auth_endpoints, method_state, workspaces
from vestibule.administration.desk import Desk
from vestibule.edge.http import Reply
from vestibule.edge.surface import Route
from vestibule.model.auth_endpoint import AuthEndpointSettings, ExtraField, Fallback, HeaderForm, IdentityMethod
from vestibule.model.claims import Method
from vestibule.model.staff import Role
from vestibule.runtime import Runtime
from vestibule.surfaces.dashboard.rendering import go_to
from vestibule.surfaces.dashboard.seat import PREFIX, Seat, action, view
from vestibule.surfaces.dashboard.set_up.fields import Field, kept, typed, untyped
from vestibule.surfaces.dashboard.set_up.saving import Problems, refuse, saving

HERE = "/set-up/auth-endpoint"
_TLS = "TLS of its own"
_MORE = "More"
FIELDS = (
    Field("url", "URL", "url", help="Asked with POST whose a user token is."),
    Field("header_token", "Header token", "secret", help="What your server knows us by."),
    Field("header_name", "Header"),
    Field("header_form", "Sent as", "choice", choices=tuple(HeaderForm)),
    Field("identity_method", "Contacts are found by", "choice", choices=tuple(IdentityMethod)),
    Field("fields", "Passed on from the page", "checks", choices=tuple(ExtraField), help="They prove nothing."),
    Field("fallback", "Where it cannot tell", "choice", choices=tuple(Fallback), group=_MORE),
    Field("country_code", "Country of phone numbers without one", help="+84, or VN.", group=_MORE),
    Field("cache_seconds", "Answers are remembered for, in seconds", "number", group=_MORE),
    Field(
        "claim_unverified_contacts",
        "Unverified contacts with the same e-mail become the person's",
        "check",
        help="Whoever typed the address first has written into what becomes the owner's contact.",
        group=_MORE,
    ),
    Field("client_certificate", "Client certificate (PEM)", "pem", group=_TLS),
    Field("client_key", "Its key (PEM)", "pem", group=_TLS),
    Field("ca", "Authorities to trust there (PEM)", "pem", group=_TLS),
)


def routes(runtime: Runtime) -> Sequence[Route]:
    saved = saving(FIELDS, _again, back=HERE)
    return [
        view(runtime, HERE, _show, Role.ADMIN),
        action(runtime, HERE, saving(FIELDS, _again_as_typed, back=HERE)(_change), Role.ADMIN),
        action(runtime, f"{HERE}/rotate", saved(_rotate), Role.ADMIN),
        action(runtime, f"{HERE}/forget", saved(_forget), Role.ADMIN),
        action(runtime, f"{HERE}/remove", saved(_remove), Role.ADMIN),
    ]


async def _show(seat: Seat) -> Reply:
    return await _page(seat, await _known(seat))


async def _page(
    seat: Seat, values: Mapping[str, str], problems: Problems | None = None, status: int = 200, *, secret: str = ""
) -> Reply:
    desk, workspace_id = seat.desk, seat.workspace_id
    settings = await auth_endpoints.read(desk, workspace_id)
    typed_on = seat.form.get("version") if problems else None
    return seat.show(
        "set_up/auth_endpoint.html",
        status,
        settings=settings,
        fields=FIELDS,
        form={"values": values, "problems": problems or {}},
        version=typed_on or await seat.version(view_of),
        warnings=auth_endpoint_rules.warnings(settings) if settings.url else [],
        state=(await method_state.read(desk, workspace_id))[Method.AUTH_ENDPOINT],
        workspace=await workspaces.get(desk, workspace_id),
        public_url=desk.settings.public_url,
        secret=secret,
    )


async def _change(seat: Seat) -> Reply:
    desk = await seat.editing(view_of)
    given = await _given(seat, desk)
    changed = await auth_endpoints.change(desk, seat.workspace_id, given)
    if changed.secret is None:
        return go_to(f"{PREFIX}{HERE}?done=saved")
    return await _page(seat, shown_as(changed.settings, FIELDS), secret=changed.secret)


async def _given(seat: Seat, desk: Desk) -> dict[str, Any]:
    given, problems = untyped(seat.form, FIELDS)
    if given.get("cache_seconds", 0) is None:
        problems["cache_seconds"] = "is required"
    refuse(problems)
    known = shown_as(await auth_endpoints.read(desk, seat.workspace_id), FIELDS)
    # What stands behind the question mark is not shown, so an address that was left alone stays whole.
    return {name: value for name, value in given.items() if name != "url" or value != known["url"]}


async def _rotate(seat: Seat) -> Reply:
    desk = await seat.editing(view_of)
    changed = await auth_endpoints.change(desk, seat.workspace_id, {}, new_signing_secret=True)
    return await _page(seat, shown_as(changed.settings, FIELDS), secret=changed.secret or "")


async def _forget(seat: Seat) -> Reply:
    desk = await seat.editing(view_of)
    await auth_endpoints.change(desk, seat.workspace_id, {}, one_secret=True)
    return go_to(f"{PREFIX}{HERE}?done=saved")


async def _remove(seat: Seat) -> Reply:
    await auth_endpoints.remove(await seat.editing(view_of), seat.workspace_id)
    return go_to(f"{PREFIX}{HERE}?done=removed")


async def _again(seat: Seat, problems: Problems, status: int) -> Reply:
    return await _page(seat, await _known(seat), problems, status)


async def _again_as_typed(seat: Seat, problems: Problems, status: int) -> Reply:
    return await _page(seat, kept(await _known(seat)) | seat.form, problems, status)


async def _known(seat: Seat) -> dict[str, str]:
    return shown_as(await auth_endpoints.read(seat.desk, seat.workspace_id), FIELDS)


def shown_as(settings: AuthEndpointSettings, fields: Sequence[Field]) -> dict[str, str]:
    """As a form shows them: addresses without their query, which may hold a secret."""
    values = typed(settings, fields)
    return values | {
        name: text for name, text in auth_endpoints.shown(settings).items() if name in {"url", "domains_url"}
    }


async def view_of(seat: Seat, desk: Desk) -> object:
    """All of it: the page of the widget has forms over the same settings."""
    return auth_endpoints.shown(await auth_endpoints.read(desk, seat.workspace_id))
