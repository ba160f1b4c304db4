"""The application of `vestibule demo`: the ordinary one, with the demo's page in front; it must not change how the
ordinary one answers."""

from __future__ import annotations

from vestibule.app import Application
from vestibule.demo.preparation import read_key
from vestibule.demo.surface import surface
from vestibule.edge.http import ClientGone, Receive, Request, Scope, Send
from vestibule.edge.surface import Surface
from vestibule.ids import random_base62
from vestibule.server import serve
from vestibule.settings import read_settings


def create_app() -> DemoApplication:
    """From the environment that `preparation` left; uvicorn calls it."""
    settings = read_settings()
    return DemoApplication(serve.create_app(), surface(settings.public_url, read_key(settings)))


class DemoApplication:
    """The ASGI application: `/` and `/demo` are the demo's, everything else is the product's."""

    def __init__(self, application: Application, demo: Surface) -> None:
        self._application = application
        self._demo = demo

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not _is_demo(scope["path"]):
            await self._application(scope, receive, send)
            return
        try:
            reply = await self._demo.answer(Request(scope, receive))
            await reply.send(send, random_base62(12).encode())
        except ClientGone:
            pass


def _is_demo(path: str) -> bool:
    return path in {"/", "/demo"} or path.startswith("/demo/")
