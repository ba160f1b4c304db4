"""RFC 7636 with S256 only, by the shared vectors and the RFC's own example."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from vestibule.tokens.pkce import challenge_of, is_challenge, is_verifier

_VECTORS = Path(__file__).parents[1] / "vectors"
ITEMS: list[dict[str, Any]] = json.loads((_VECTORS / "pkce/pkce.json").read_text(encoding="utf-8"))["items"]


def matches(verifier: str, challenge: str) -> bool:
    """What redeeming comes to (tokens/pending_identity.py)."""
    return is_verifier(verifier) and is_challenge(challenge) and challenge_of(verifier) == challenge


@pytest.mark.parametrize("item", ITEMS, ids=lambda item: f"{item['id']} {item.get('why', '')}")
def test_follows_the_vectors(item: dict[str, Any]) -> None:
    verifier, challenge = item["verifier"], item["challenge"]
    if item["expect"] == "refuse verifier":
        assert not is_verifier(verifier)
        assert challenge is None or not matches(verifier, challenge)
    elif item["expect"] == "refuse challenge":
        assert not is_challenge(challenge)
        assert not matches(verifier, challenge)
    else:
        assert is_challenge(challenge)
        assert matches(verifier, challenge) is (item["expect"] == "match")


def test_the_challenge_of_the_seed_belongs_to_the_verifier_of_rfc_7636_appendix_b() -> None:
    verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
    assert challenge_of(verifier) == "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
    assert matches(verifier, "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM")


def test_a_challenge_offered_as_its_own_verifier_is_no_match() -> None:
    challenge = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
    assert is_verifier(challenge)  # its form alone does not tell it from one
    assert not matches(challenge, challenge)
