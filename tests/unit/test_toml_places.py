"""TOML: what is written reads back the same, and each mistake's line is the one it stands on."""

from __future__ import annotations

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vestibule.administration.toml_places import Places, toml

FILE = (
    """\
# a comment with [brackets] and = signs
top = 1

[workspace]
name = "a # b ] \\" c"        # line 5
list = [
  "x", # ] not the end
  'y]',
]
after = 2

[widget]
[[widget.modes]]
id = "a"
[[widget.modes]]               # line 15
id = "b"

[[actions]]
name = "first"
description = '''
[not.a.table]
name = "nor a key"
'''
url.inner."quoted key" = 3     # line 24
[[actions.parameters]]
name = "p"
[[actions]]
name = "second"
[actions.locked]
model = [["x"], {a = 1}]       # line 30
[[actions.parameters]]
[[actions.parameters]]
name = "q"
text = """
    '"""'
    """ten \\""\" quotes""\"\"\"
last = 5
"""
)


@pytest.mark.parametrize(
    ("place", "line"),
    [
        ("top", 2),
        ("workspace", 4),
        ("workspace.name", 5),
        ("workspace.list", 6),
        ("workspace.after", 10),
        ("workspace.nowhere", 4),
        ("widget.modes[0].id", 14),
        ("widget.modes[1].id", 16),
        ("widget.modes[1]", 15),
        ("actions[0].name", 19),
        ("actions[0].url", 24),
        ("actions[0].parameters[0].name", 26),
        ("actions[1].name", 28),
        ("actions[1].locked.model[0]", 30),
        ("actions[1].parameters[1].name", 33),
        ("nothing", None),
    ],
)
def test_lines(place: str, line: int | None) -> None:
    tomllib.loads(FILE)
    assert Places(FILE).line_of(place) == line


VALUES = st.recursive(
    st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False)
    | st.text(st.characters(codec="utf-8")),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner, max_size=3)
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.text(st.characters(codec="utf-8")), VALUES, max_size=4))
def test_what_is_written_reads_back_the_same(document: dict[str, object]) -> None:
    assert tomllib.loads(toml(document)) == document


def test_null_is_refused() -> None:
    with pytest.raises(ValueError, match="null"):
        toml({"a": {"b": None}})
