"""What no handler meant to happen is answered by design (ASVS 16.5.4)."""

from __future__ import annotations

import asyncio
import gc
import logging
import weakref
from collections.abc import Iterator

import msgspec
import pytest

from vestibule.edge.http import Reply, Request
from vestibule.edge.problem import problem
from vestibule.edge.surface import Route, Surface
from vestibule.errors import MalformedBody


async def nothing() -> dict[str, object]:
    raise AssertionError("no body is read here")


def test_a_fault_of_ours_is_answered_without_detail(caplog: pytest.LogCaptureFixture) -> None:
    async def broken(_request: Request) -> Reply:
        raise KeyError("canary")

    surface = Surface("faulty", ("/",), problem, [Route("GET", "/broken", broken)])
    request = Request({"type": "http", "method": "GET", "path": "/broken", "headers": []}, nothing)
    with caplog.at_level(logging.ERROR):
        reply = asyncio.run(surface.answer(request))
    assert reply.status == 500
    assert msgspec.json.decode(reply.body)["code"] == "internal_error"
    assert b"canary" not in reply.body
    assert request.facts["code"] == "internal_error"
    [record] = caplog.records
    assert record.getMessage() == "unexpected error"
    assert record.exc_info
    assert record.exc_info[0] is KeyError


class Body:
    """What a handler holds while it refuses."""


@pytest.fixture
def _uncollected() -> Iterator[None]:
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("_uncollected")
def test_what_a_refused_request_held_goes_with_its_answer() -> None:
    held: list[weakref.ref[Body]] = []

    async def refusing(_request: Request) -> Reply:
        body = Body()
        held.append(weakref.ref(body))
        try:
            return Reply(int(b"first"))
        except ValueError:
            raise MalformedBody(detail="second", step="body") from None

    surface = Surface("strict", ("/",), problem, [Route("GET", "/refusing", refusing)])
    request = Request({"type": "http", "method": "GET", "path": "/refusing", "headers": []}, nothing)
    assert asyncio.run(surface.answer(request)).status == 400
    assert request.facts["step"] == "body"
    assert request.refusal is not None
    assert held[0]() is None, "or a flood of refusals stays until the garbage collector comes"
