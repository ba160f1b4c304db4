"""The watch over the attacks sees what is wrong with an answer (tests/fixtures/watch.py)."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.fixtures.watch import Refusal, wrongs

GOOD = {"statusCode": 400, "message": "email: is required", "error": "invalid_field"}
KEY = f"vst_key_{'a' * 71}"


def refusal(status: int = 400, *, took: float = 0.1, body: Any = None, **headers: str) -> Refusal:
    given = {"cache-control": "no-store", **{name.replace("_", "-"): value for name, value in headers.items()}}
    answer = httpx.Response(status, json=body or GOOD, headers=given)
    return Refusal("http://127.0.0.1:1", b"POST /widget/authenticate-user HTTP/1.1\r\n\r\n", answer, took)


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        (refusal(), []),
        (refusal(500), ["500 is not by design"]),
        (refusal(503, took=8.5), []),
        (refusal(took=250), ["it came after 250.0 s"]),
        (refusal(body={**GOOD, "error": "no_such_code_of_ours"}), ["its code is not in docs/problems.md"]),
        (refusal(cache_control="public"), ["it may be kept"]),
        (refusal(content_type="text/plain"), ["it has no documented form"]),
        (refusal(body={**GOOD, "message": KEY}), ["it tells too much"]),
        (refusal(body={**GOOD, "message": 'File "/x/surface.py"'}), ["it tells too much"]),
        (refusal(www_authenticate=KEY), ["it tells too much"]),
    ],
    ids=range(10),
)
def test_tells_what_is_wrong(wrong: Refusal, expected: list[str]) -> None:
    assert list(wrongs(wrong)) == expected
