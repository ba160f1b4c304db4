"""`conversations.visibility.sees`, the one answer to who sees which conversation, as a full table (DESIGN rule 2.4)."""

from __future__ import annotations

import itertools

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vestibule.conversations.visibility import Viewer, sees
from vestibule.model.conversation import Assignee, Conversation, Status

MINE, THEIRS = "A", "B"

UNSCOPED = Conversation(
    workspace_id="workspace",
    id="conversation",
    contact_id="ada",
    verified=True,
    scope=None,
    channel="web",
    ticket_number=1,
    title=None,
    status=Status.OPEN,
    handed_off=False,
    assignee_kind=Assignee.NONE,
    assignee_name=None,
    assignee_avatar_url=None,
    mode_id=None,
    checkpoint=None,
    custom_data={},
    language=None,
    last_message=None,
    created_at=0,
    updated_at=0,
    version=1,
    next_seq=1,
)
CONVERSATIONS = {
    "verified": UNSCOPED,
    "verified, scoped": msgspec.structs.replace(UNSCOPED, scope=MINE),
    "unverified": msgspec.structs.replace(UNSCOPED, verified=False, scope=MINE),
    # Cannot be made over any wire; if it is there all the same, no unverified visitor has it.
    "unverified, unscoped": msgspec.structs.replace(UNSCOPED, verified=False),
}
# An unverified viewer's device has shown a scope before; a verified one's says nothing.
VERIFIED = Viewer("workspace", frozenset({"ada"}), verified=True)
UNVERIFIED = Viewer("workspace", frozenset({"ada"}), verified=False, device_scopes=frozenset({MINE}))
VIEWERS = {
    "verified": VERIFIED,
    "verified, merged": msgspec.structs.replace(VERIFIED, person_ids=frozenset({"ada", "her older self"})),
    "verified, device that was unverified": msgspec.structs.replace(VERIFIED, device_scopes=frozenset({MINE})),
    "unverified": UNVERIFIED,
    "unverified, other device": msgspec.structs.replace(UNVERIFIED, device_scopes=frozenset({THEIRS})),
    "unverified, new device": msgspec.structs.replace(UNVERIFIED, device_scopes=frozenset()),
    "other contact, verified": msgspec.structs.replace(VERIFIED, person_ids=frozenset({"bob"})),
    "other contact, unverified": msgspec.structs.replace(UNVERIFIED, person_ids=frozenset({"bob"})),
    "nobody": msgspec.structs.replace(VERIFIED, person_ids=frozenset()),
    "other workspace, verified": msgspec.structs.replace(VERIFIED, workspace_id="elsewhere"),
    "other workspace, unverified": msgspec.structs.replace(UNVERIFIED, workspace_id="elsewhere"),
}
SCOPES = {"none": None, "same": MINE, "other": THEIRS}
# Everything that is seen. What is not named here is not.
SEEN = {
    ("verified", "verified", "none"),
    ("verified", "verified, scoped", "none"),
    ("verified", "verified, scoped", "same"),
    ("verified, merged", "verified", "none"),
    ("verified, merged", "verified, scoped", "none"),
    ("verified, merged", "verified, scoped", "same"),
    ("verified, device that was unverified", "verified", "none"),
    ("verified, device that was unverified", "verified, scoped", "none"),
    ("verified, device that was unverified", "verified, scoped", "same"),
    # The surfaces refuse a list without a scope before this is asked; a conversation by its id names none.
    ("unverified", "unverified", "none"),
    ("unverified", "unverified", "same"),
}


@pytest.mark.parametrize(("viewer", "conversation", "scope"), [*itertools.product(VIEWERS, CONVERSATIONS, SCOPES)])
def test_the_table(viewer: str, conversation: str, scope: str) -> None:
    seen = sees(VIEWERS[viewer], CONVERSATIONS[conversation], SCOPES[scope])
    assert seen is ((viewer, conversation, scope) in SEEN)


scopes = st.sampled_from([None, MINE, THEIRS, ""])
names = st.sampled_from(["ada", "bob", "eve"])
viewers = st.builds(
    Viewer,
    workspace_id=st.sampled_from(["workspace", "elsewhere"]),
    person_ids=st.frozensets(names),
    verified=st.booleans(),
    device_scopes=st.frozensets(st.sampled_from([MINE, THEIRS, ""])),
)
conversations = st.builds(
    lambda contact, verified, scope, status: msgspec.structs.replace(
        UNSCOPED, contact_id=contact, verified=verified, scope=scope, status=status
    ),
    names,
    st.booleans(),
    scopes,
    st.sampled_from(Status),
)


@given(viewers, conversations, scopes)
def test_nobody_sees_across_contacts_workspaces_or_trust(
    viewer: Viewer, conversation: Conversation, scope: str | None
) -> None:
    if sees(viewer, conversation, scope):
        assert conversation.contact_id in viewer.person_ids
        assert conversation.workspace_id == viewer.workspace_id
        assert conversation.verified is viewer.verified
        assert viewer.verified or conversation.scope in viewer.device_scopes


@given(viewers, conversations, scopes)
def test_a_scope_only_narrows(viewer: Viewer, conversation: Conversation, scope: str | None) -> None:
    assert not sees(viewer, conversation, scope) or sees(viewer, conversation)


@given(viewers, conversations)
def test_closing_changes_nothing(viewer: Viewer, conversation: Conversation) -> None:
    closed = msgspec.structs.replace(conversation, status=Status.RESOLVED)
    assert sees(viewer, conversation) is sees(viewer, closed)


@given(viewers, conversations)
def test_what_the_device_showed_means_nothing_for_a_verified_viewer(viewer: Viewer, conversation: Conversation) -> None:
    if viewer.verified:
        assert sees(viewer, conversation) is sees(
            msgspec.structs.replace(viewer, device_scopes=frozenset()), conversation
        )
