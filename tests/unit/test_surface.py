"""What no handler meant to happen is answered by design (ASVS 16.5.4)."""

from __future__ import annotations

import asyncio
import logging

import msgspec
import pytest

from vestibule.edge.http import Reply, Request
from vestibule.edge.problem import problem
from vestibule.edge.surface import Route, Surface


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
