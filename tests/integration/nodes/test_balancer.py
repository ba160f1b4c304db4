"""What HAProxy, as deploy/ has it, answers by itself: pages of other origins can read it, and of a node's answers what
the node lets them."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

from tests.fixtures.balancer import Balancer
from tests.fixtures.front_door import Installation, beside
from tests.fixtures.raw_http import NoResponse, exchange
from tests.fixtures.responding import eventually

pytestmark = pytest.mark.slow
ALLOWED = "access-control-allow-origin"


def asked(balancer: Balancer, path: str) -> tuple[int, str | None]:
    """Status, and whom a browser lets read it; 0 while nobody answers at all."""
    request = f"GET {path} HTTP/1.1\r\nHost: nodes\r\nConnection: close\r\n\r\n"
    with contextlib.suppress(OSError, NoResponse):
        answer = exchange(balancer.url, request.encode())
        return answer.status, answer.header(ALLOWED)
    return 0, None


def test_a_page_of_another_origin_reads_what_the_balancer_answers_itself(
    sqlite_installation: Installation, tmp_path: Path
) -> None:
    with beside(sqlite_installation, tmp_path) as node, Balancer(tmp_path, [node.port]) as balancer:
        eventually(lambda: asked(balancer, "/healthz")[0] == 200)
        assert asked(balancer, "/v1/me") == (401, "*")
        assert asked(balancer, "/dashboard/nothing")[1] is None
        assert asked(balancer, "/metrics") == (404, "*")
        node.stop()
        eventually(lambda: asked(balancer, "/v1/me") == (503, "*"))
