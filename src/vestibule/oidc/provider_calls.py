"""Asks an identity provider's endpoints and reads their answers as JSON; it must not know what they mean."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from vestibule.errors import UpstreamFailed
from vestibule.outbound.client import Answer, Outbound
from vestibule.strict_json import NotStrict, read_object

_MAX_AGE = re.compile(r"(?:^|[\s,])max-age\s*=\s*\"?([0-9]{1,10})", re.IGNORECASE)
_UNCACHED = re.compile(r"(?:^|[\s,])no-(?:store|cache)(?:$|[\s,=])", re.IGNORECASE)


def tenant_of(workspace_id: str) -> str:
    """Providers have turns of their own: a slow bot shall not keep its visitors from signing in."""
    return f"oidc:{workspace_id}"


async def get_document(outbound: Outbound, workspace_id: str, url: str, purpose: str) -> tuple[dict[str, Any], Answer]:
    """A public document of the provider. Raises the Upstream errors."""
    answer = await outbound.request(
        "GET", url, tenant=tenant_of(workspace_id), purpose=purpose, headers={"Accept": "application/json"}
    )
    if answer.status != 200:
        raise UpstreamFailed(detail=f"{purpose}: status {answer.status}", step="status")
    return read_answer(answer, purpose), answer


async def post_form(
    outbound: Outbound, workspace_id: str, url: str, purpose: str, *, body: bytes, headers: Mapping[str, str]
) -> Answer:
    """Raises the Upstream errors, for server errors as well."""
    answer = await outbound.request(
        "POST",
        url,
        tenant=tenant_of(workspace_id),
        purpose=purpose,
        body=body,
        headers={
            "Accept": "application/json",
            "Content-Type": "application/x-www-form-urlencoded",
            **headers,
        },
    )
    if answer.status >= 500:
        raise UpstreamFailed(detail=f"{purpose}: status {answer.status}", step="status")
    return answer


def read_answer(answer: Answer, purpose: str) -> dict[str, Any]:
    """The JSON object of an answer, whatever its type says: products differ (`application/jwk-set+json`)."""
    try:
        return read_object(answer.body)
    except NotStrict as reason:
        raise UpstreamFailed(detail=f"{purpose}: the answer {reason}", step="answer") from None


def life_of(answer: Answer, default: float) -> float:
    """For how many seconds an answer may be kept, by its Cache-Control (RFC 9111 section 5.2.2)."""
    directives = answer.header("cache-control") or ""
    if _UNCACHED.search(directives):
        return 0
    match = _MAX_AGE.search(directives)
    return float(match[1]) if match else default
