"""The quick way out of the search for ambiguous JSON comes to what a reader that sees every member would say."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vestibule.strict_json import NotStrict, read_value, refuse_ambiguity

NAMES = st.sampled_from(["a", "b", "a:", ":", "__proto__", "a\u003a", "ü", '"', "\\"])


class Members(list[tuple[str, Any]]):
    """An object whose members are written as they stand, twins and all."""


VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | NAMES,
    lambda inner: st.lists(inner, max_size=3) | st.lists(st.tuples(NAMES, inner), max_size=4).map(Members),
    max_leaves=8,
)


def written(value: Any, escape: str) -> str:
    if isinstance(value, Members):
        return "{" + ", ".join(f"{text(name, escape)} : {written(each, escape)}" for name, each in value) + "}"
    if isinstance(value, list):
        return "[" + ",".join(written(each, escape) for each in value) + "]"
    return text(value, escape) if isinstance(value, str) else json.dumps(value)


def text(value: str, escape: str) -> str:
    plain = json.dumps(value, ensure_ascii=False)
    return plain.replace(escape, f"\\u{ord(escape):04x}") if escape else plain


def is_ambiguous(value: Any) -> bool:
    if isinstance(value, Members):
        names = [name for name, _ in value]
        return len(names) != len(set(names)) or "__proto__" in names or any(is_ambiguous(each) for _, each in value)
    return isinstance(value, list) and any(is_ambiguous(each) for each in value)


@given(value=VALUES, escape=st.sampled_from(["", ":", "_", "a"]))
def test_only_what_readers_agree_on_passes(value: Any, escape: str) -> None:
    body = written(value, escape).encode()
    if is_ambiguous(value):
        with pytest.raises(NotStrict):
            refuse_ambiguity(body)
    else:
        refuse_ambiguity(body)


@pytest.mark.parametrize(
    "body",
    [
        b'{"a":1,"a":2}',
        b'{"a":1,"\\u0061":2}',
        b'{"a":":","b":{"c":1,"c":"\\u003a"}}',
        b'{"a":"\\u003a\\u003a","a":1}',
        b'[{"__proto__":1}]',
        b'{"\\u005f_proto__":1}',
    ],
)
def test_twins_and_prototypes_are_refused_however_they_are_spelled(body: bytes) -> None:
    with pytest.raises(NotStrict):
        read_value(body)
