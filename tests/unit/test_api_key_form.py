"""The form of an API key: readable, checked, and nothing to guess."""

from __future__ import annotations

import pytest

from vestibule.errors import InvalidApiKey
from vestibule.ids import new_id
from vestibule.tokens.api_key import PREFIX, fingerprint, generate, workspace_of


def test_a_key_names_its_workspace_and_shows_a_hint_of_itself_only() -> None:
    workspace_id = new_id()
    made = generate(workspace_id)
    assert made.text.startswith(PREFIX)
    assert workspace_of(made.text) == workspace_id
    assert made.secret_hash == fingerprint(made.text)
    assert made.text not in repr(made)
    assert made.text not in made.hint
    assert generate(workspace_id).text != made.text


def test_every_mistyped_character_is_noticed_before_any_look_up() -> None:
    text = generate(new_id()).text
    for index in range(len(PREFIX), len(text)):
        wrong = text[:index] + ("0" if text[index] != "0" else "1") + text[index + 1 :]
        with pytest.raises(InvalidApiKey):
            workspace_of(wrong)


@pytest.mark.parametrize("text", ["", PREFIX, "vst_key_" + "z" * 71, "Bearer x", "vst_key_" + "é" * 71, "a" * 5000])
def test_what_is_no_key_is_refused(text: str) -> None:
    with pytest.raises(InvalidApiKey):
        workspace_of(text)
