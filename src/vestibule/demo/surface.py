"""The demo's way in: its page, and what the page asks of the customer's backend; it must not answer another page."""

from __future__ import annotations

import html
from collections.abc import Sequence
from importlib import resources
from typing import Annotated, Any

import msgspec

from vestibule.demo.customer_backend import CustomerBackend, Fault
from vestibule.demo.own_page import OwnPage
from vestibule.demo.sample_request import curl
from vestibule.edge.http import Handler, Header, Reply, Request, json_reply
from vestibule.edge.problem import problem
from vestibule.edge.strict_json import decode
from vestibule.edge.surface import Route, Surface
from vestibule.tokens.api_key import workspace_of

_KINDS = {"css": b"text/css; charset=utf-8", "js": b"text/javascript; charset=utf-8", "svg": b"image/svg+xml"}
_FILES = ("answers.css", "base.css", "demo.css", "demo.js", "dom.js", "icon.svg", "token.js", "view.js")
# Nothing from elsewhere, nothing inline, no page around it; and a script that would make markup of a text fails.
_POLICY = (
    b"default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    b"require-trusted-types-for 'script'; trusted-types 'none'"
)
_PAGE_HEADERS: tuple[Header, ...] = (
    (b"content-security-policy", _POLICY),
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
# What may stand in a header as a bearer token, and nothing that could end the header.
Token = Annotated[str, msgspec.Meta(max_length=4096, pattern=r"^[A-Za-z0-9._-]*\Z")]
_MOST_BODY = 65_536
_BODY_SECONDS = 10.0


class SignIn(msgspec.Struct, frozen=True):
    """Who the visitor says to be. A real backend knows that from its own session; here the form stands for it."""

    person: dict[str, Any]


class Try(msgspec.Struct, frozen=True):
    fault: Fault
    token: Token = ""


_SIGN_IN = msgspec.json.Decoder(SignIn)
_TRY = msgspec.json.Decoder(Try)


def surface(public_url: str, api_key: str) -> Surface:
    own_page = OwnPage(public_url)
    backend = CustomerBackend(public_url, api_key)
    page = _page(public_url, api_key)

    async def home(_request: Request) -> Reply:
        return Reply(302, b"", ((b"location", b"/demo"), (b"cache-control", b"no-store")))

    async def show(request: Request) -> Reply:
        own_page.require_host(request)  # the page shows the key
        return Reply(200, page, ((b"content-type", b"text/html; charset=utf-8"), *_PAGE_HEADERS))

    async def sign_in(request: Request) -> Reply:
        own_page.require_origin(request)
        asked = decode(await request.body(most=_MOST_BODY, within=_BODY_SECONDS), _SIGN_IN)
        return json_reply(200, msgspec.json.encode(await backend.sign_in(asked.person)))

    async def try_fault(request: Request) -> Reply:
        own_page.require_origin(request)
        asked = decode(await request.body(most=_MOST_BODY, within=_BODY_SECONDS), _TRY)
        return json_reply(200, msgspec.json.encode(await backend.try_fault(asked.fault, asked.token)))

    routes = [
        Route("GET", "/", home),
        Route("GET", "/demo", show),
        Route("POST", "/demo/sign-in", sign_in),
        Route("POST", "/demo/try", try_fault),
        *_static_files(),
    ]
    return Surface("demo", ("/demo",), problem, routes)


def _page(public_url: str, api_key: str) -> bytes:
    text = (resources.files("vestibule.demo") / "static" / "index.html").read_text(encoding="utf-8")
    values = {
        "{{curl}}": curl(public_url, api_key),
        "{{public_url}}": public_url,
        "{{workspace_id}}": workspace_of(api_key),
    }
    for name, value in values.items():
        text = text.replace(name, html.escape(value))
    return text.encode()


def _static_files() -> Sequence[Route]:
    folder = resources.files("vestibule.demo") / "static"
    kinds = {name: _KINDS[name.rpartition(".")[2]] for name in _FILES}
    return [Route("GET", f"/demo/{name}", _file((folder / name).read_bytes(), kind)) for name, kind in kinds.items()]


def _file(content: bytes, kind: bytes) -> Handler:
    reply = Reply(200, content, ((b"content-type", kind), *_PAGE_HEADERS))

    async def answer(_request: Request) -> Reply:
        return reply

    return answer
