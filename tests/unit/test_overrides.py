"""Who may set which value of an action's call, and who wins."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given as these
from hypothesis import strategies as st

from vestibule.errors import InvalidField
from vestibule.model.action import (
    ActionDeclaration,
    ActionPolicy,
    Location,
    Locks,
    MessageOverrides,
    Parameter,
    Source,
    Variables,
)
from vestibule.model.claims import HttpOverrides
from vestibule.responder.overrides import (
    Effective,
    Ignored,
    Layers,
    Value,
    check_message_overrides,
    fold,
    merge,
    recommended_locks,
)

ACTION = ActionDeclaration(
    name="order",
    method="POST",
    url_template="https://api.example.com/orders/{order_id}",
    parameters=(Parameter(Location.PATH, "order_id", {"type": "string"}, required=True),),
)
GET = ActionDeclaration(name="list", method="GET", url_template="https://api.example.com/orders")
OPEN = ActionPolicy()


def said(location: Location, name: str, value: Any) -> Value:
    return Value(location, name, value, Source.MODEL)


def layers(level: Source, location: Location, name: str, value: str) -> Layers:
    """One value, given by one level."""
    member = {name: value}
    maps: dict[Location, dict[str, Any]] = {
        Location.PATH: {"path_params": member},
        Location.QUERY: {"query_params": member},
        Location.HEADER: {"headers": member},
        Location.BODY: {"body_params": member},
    }
    if level is Source.MODEL:
        return Layers((said(location, name, value),))
    if level is Source.WORKSPACE:
        return Layers(variables=Variables(**maps[location]))
    if level is Source.CONTACT:
        return Layers(contact=HttpOverrides(**maps[location]))
    if location is Location.PATH:  # a message has no way to say one
        return Layers()
    if location is Location.BODY:
        return Layers(message=MessageOverrides(body_properties=member))
    return Layers(message=MessageOverrides(**maps[location]))


def together(*each: Layers) -> Layers:
    return Layers(
        tuple(value for one in each for value in one.extracted),
        next((one.variables for one in each if one.variables), None),
        next((one.contact for one in each if one.contact), None),
        next((one.message for one in each if one.message), None),
    )


def found(effective: Effective, location: Location, name: str) -> tuple[Any, Source] | None:
    values = [value for value in effective.values if value.location is location and fold(value.name) == fold(name)]
    assert len(values) <= 1
    return (values[0].value, values[0].source) if values else None


LEVELS = [Source.MODEL, Source.WORKSPACE, Source.CONTACT, Source.MESSAGE]


@pytest.mark.parametrize("location", list(Location))
@pytest.mark.parametrize("weaker", LEVELS)
@pytest.mark.parametrize("stronger", LEVELS)
def test_the_stronger_level_wins(location: Location, weaker: Source, stronger: Source) -> None:
    if LEVELS.index(weaker) >= LEVELS.index(stronger):
        return
    both = together(
        layers(weaker, location, "order_id", "weak"),
        layers(stronger, location, "order_id", "strong"),
    )
    expected = ("strong", stronger)
    if stronger is Source.MESSAGE and location is Location.PATH:
        expected = ("weak", weaker)
    assert found(merge(ACTION, both, OPEN), location, "order_id") == expected


@pytest.mark.parametrize("level", [Source.MESSAGE, Source.MODEL])
@pytest.mark.parametrize("where", ["workspace", "action"])
@pytest.mark.parametrize("location", [Location.QUERY, Location.HEADER, Location.BODY])
def test_a_lock_lets_the_weaker_value_stand(level: Source, where: str, location: Location) -> None:
    locks = Locks(message=("tenant",)) if level is Source.MESSAGE else Locks(model=("tenant",))
    policy = ActionPolicy(locked=locks if where == "workspace" else Locks())
    action = ActionDeclaration(
        name="a",
        method="POST",
        url_template="https://api.example.com/",
        locked=locks if where == "action" else Locks(),
    )
    both = together(
        layers(Source.CONTACT, location, "tenant", "7"),
        layers(level, location, "tenant", "8"),
    )
    effective = merge(action, both, policy)
    assert found(effective, location, "tenant") == ("7", Source.CONTACT)
    assert effective.ignored == (Ignored(location, "tenant", level, "locked"),)
    alone = merge(action, layers(level, location, "tenant", "8"), policy)
    assert alone.values == ()


def test_a_lock_of_one_level_is_not_one_of_the_other() -> None:
    policy = ActionPolicy(locked=Locks(message=("a",), model=("b",)))
    given = Layers(
        (said(Location.QUERY, "a", "model"), said(Location.QUERY, "b", "model")),
        message=MessageOverrides(query_params={"a": "page", "b": "page"}),
    )
    effective = merge(GET, given, policy)
    assert found(effective, Location.QUERY, "a") == ("model", Source.MODEL)
    assert found(effective, Location.QUERY, "b") == ("page", Source.MESSAGE)


def test_workspace_and_contact_are_not_bound_by_locks() -> None:
    policy = ActionPolicy(locked=Locks(message=("authorization",), model=("authorization",)))
    for level in (Source.WORKSPACE, Source.CONTACT):
        effective = merge(GET, layers(level, Location.HEADER, "Authorization", "k"), policy)
        assert found(effective, Location.HEADER, "authorization") == ("k", level)


# Each is another spelling that some server takes for `account_id`.
SPELLINGS = [
    "account_id",
    "Account_ID",
    "ACCOUNT-ID",
    "account.id",
    "account id",
    " account_id",
    "account_id ",
    "account_id[]",
    "account_id[0]",
    "account_id[x][y]",
    "account_id\0",
    "account_id\0x",
    "acc\u200bount_id",
    "\uff41ccount_id",
    "account\uff3fid",
]


@pytest.mark.parametrize("name", SPELLINGS)
@pytest.mark.parametrize("location", [Location.QUERY, Location.BODY, Location.HEADER])
def test_a_lock_holds_for_every_spelling(name: str, location: Location) -> None:
    policy = ActionPolicy(locked=Locks(message=("account_id",)))
    effective = merge(ACTION, layers(Source.MESSAGE, location, name, "evil"), policy)
    assert effective.values == ()
    assert [ignored.reason for ignored in effective.ignored] == ["locked"]


NAMES = st.text(st.sampled_from("aAbB_-. []\0é"), min_size=1, max_size=8)


@these(
    locked=st.lists(NAMES.filter(fold), max_size=4),
    headers=st.dictionaries(NAMES, st.text(max_size=3), max_size=4),
    query=st.dictionaries(NAMES, st.text(max_size=3), max_size=4),
    body=st.dictionaries(NAMES, st.integers() | st.none() | st.text(max_size=3), max_size=4),
    contact=st.dictionaries(NAMES, st.text(max_size=3), max_size=4),
)
def test_the_message_level_never_beats_a_lock(
    locked: list[str],
    headers: dict[str, str],
    query: dict[str, str],
    body: dict[str, Any],
    contact: dict[str, str],
) -> None:
    message = MessageOverrides(headers=headers, query_params=query, body_properties=body)
    given = Layers(contact=HttpOverrides(headers=contact, query_params=contact, body_params=contact), message=message)
    effective = merge(ACTION, given, ActionPolicy(locked=Locks(message=tuple(locked))))
    shut = {fold(name) for name in locked}
    assert not [value for value in effective.values if value.source is Source.MESSAGE and fold(value.name) in shut]
    # Nothing vanishes: each value of the page is in force, or listed with the reason, or replaced by its own twin.
    for name in query:
        in_force = found_exactly(effective, Location.QUERY, name)
        ignored = [one for one in effective.ignored if one.name == name and one.location is Location.QUERY]
        assert in_force is Source.MESSAGE or ignored


def found_exactly(effective: Effective, location: Location, name: str) -> Source | None:
    return next((one.source for one in effective.values if one.location is location and one.name == name), None)


@these(
    model=st.lists(st.sampled_from(["X-A", "x-a", "X_A", "X-B"]), max_size=4),
    contact=st.dictionaries(st.sampled_from(["x-a", "X-A", "x-b", "X-b"]), st.just("c"), max_size=4),
    message=st.dictionaries(st.sampled_from(["X-a", "x_a", "X-B"]), st.just("m"), max_size=3),
)
def test_header_names_are_unique_whatever_their_case(
    model: list[str], contact: dict[str, str], message: dict[str, str]
) -> None:
    given = Layers(
        tuple(said(Location.HEADER, name, "v") for name in model),
        contact=HttpOverrides(headers=contact),
        message=MessageOverrides(headers=message),
    )
    values = merge(ACTION, given, OPEN).values
    names = [value.name.lower().replace("_", "-") for value in values]
    assert len(names) == len(set(names))


def test_other_names_keep_their_case() -> None:
    message = MessageOverrides(query_params={"id": "1", "ID": "2"}, body_properties={"id": 1, "ID": 2})
    values = merge(ACTION, Layers(message=message), OPEN).values
    assert {(value.location, value.name) for value in values} == {
        (Location.QUERY, "id"),
        (Location.QUERY, "ID"),
        (Location.BODY, "id"),
        (Location.BODY, "ID"),
    }


def test_absent_and_null_say_nothing() -> None:
    null: Any = None  # as a wire might say it where the type says text
    nothing = HttpOverrides(query_params=null, headers={"X-A": null})
    given = Layers(variables=Variables(headers={"x-a": "1"}), contact=nothing, message=MessageOverrides())
    effective = merge(GET, given, OPEN)
    assert found(effective, Location.HEADER, "x-a") == ("1", Source.WORKSPACE)
    assert merge(GET, Layers(), OPEN) == Effective(())


def test_null_in_a_body_is_a_value() -> None:
    message = MessageOverrides(body_properties={"note": None, "deep": {"a": [1]}})
    contact = HttpOverrides(body_params={"note": "x"})
    effective = merge(ACTION, Layers(contact=contact, message=message), OPEN)
    assert found(effective, Location.BODY, "note") == (None, Source.MESSAGE)
    assert found(effective, Location.BODY, "deep") == ({"a": [1]}, Source.MESSAGE)


@pytest.mark.parametrize(
    ("action", "location", "name", "reason"),
    [
        (ACTION, Location.PATH, "other", "not_in_url"),
        (GET, Location.BODY, "a", "no_body"),
        (GET, Location.HEADER, "user_agent", "reserved"),
        (ACTION, Location.HEADER, "Content-Type", "reserved"),
        (ACTION, Location.HEADER, "X-HTTP-Method-Override", "reserved"),
        (ACTION, Location.HEADER, "x_original_url", "reserved"),
        (ACTION, Location.HEADER, "Forwarded", "reserved"),
        (ACTION, Location.QUERY, "_method", "reserved"),
        (ACTION, Location.BODY, "_METHOD", "reserved"),
    ],
)
@pytest.mark.parametrize("level", [Source.WORKSPACE, Source.CONTACT])
def test_what_has_no_place_is_told(
    action: ActionDeclaration, location: Location, name: str, reason: str, level: Source
) -> None:
    effective = merge(action, layers(level, location, name, "v"), OPEN)
    assert effective == Effective((), (Ignored(location, name, level, reason),))


def test_what_a_contact_sets_is_recommended_for_a_lock() -> None:
    contact = HttpOverrides({"tenant": "7"}, {"account": "1"}, {"token": "s"}, {"Authorization": "s", "X-Tenant": "7"})
    assert recommended_locks(contact, OPEN) == ["Authorization", "X-Tenant", "tenant", "token"]
    locked = ActionPolicy(locked=Locks(message=("authorization", "x-tenant", "TENANT", "token")))
    assert recommended_locks(contact, locked) == []


def test_no_value_is_in_a_repr() -> None:
    given = Layers(
        variables=Variables(headers={"x": "SECRET"}), message=MessageOverrides(body_properties={"y": "SECRET"})
    )
    assert "SECRET" not in repr(given) + repr(merge(ACTION, given, OPEN))


@pytest.mark.parametrize(
    ("overrides", "field"),
    [
        (MessageOverrides(headers={"Host": "evil"}), "headers.Host"),
        (MessageOverrides(headers={"x-opencx-org-id": "1"}), "headers.x-opencx-org-id"),
        (MessageOverrides(headers={"X": "a\r\nb"}), "headers.X"),
        (MessageOverrides(headers={"X": "1", "x": "2"}), "headers"),
        (MessageOverrides(query_params={"a": "x" * 8193}), "query_params.a"),
        (MessageOverrides(query_params={str(n): "" for n in range(101)}), "query_params"),
        (MessageOverrides(body_properties={str(n): 0 for n in range(101)}), "body_properties"),
        (MessageOverrides(body_properties={"a" * 129: 0}), "body_properties"),
        (MessageOverrides(body_properties={"a\0": 0}), "body_properties"),
        (MessageOverrides(body_properties={"a": "x" * 65_536}), "body_properties"),
        (MessageOverrides(body_properties={"a": "\ud800"}), "body_properties"),
    ],
)
def test_a_message_with_unusable_overrides_is_refused(overrides: MessageOverrides, field: str) -> None:
    with pytest.raises(InvalidField) as refused:
        check_message_overrides(overrides)
    assert refused.value.field == field
    assert str(refused.value).startswith(f"{field}: ")


def test_a_message_with_usable_overrides_passes() -> None:
    overrides = MessageOverrides({"Authorization": "Bearer x"}, {"a[b]": "c"}, {"d": [None, {"e": 1}]})
    assert check_message_overrides(overrides) is overrides
