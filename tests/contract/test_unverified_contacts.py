"""Unverified visitors: no row until they write, one contact behind a claimed e-mail, nothing shared with the verified
contact of the same name, and tokens without an end that can be ended (docs/methods/unverified.md)."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import TEST_SETTINGS
from tests.fixtures.admin import Admin
from tests.fixtures.front_door import Installation, Workspace, beside, refused
from tests.fixtures.server import RunningServer
from tests.fixtures.uploads import link_of
from tests.fixtures.widget import Device, anonymous, claiming, claims_of, new_uuid, unverified_token, verified
from vestibule.administration import contacts as administration

EMAIL = "ada@example.com"
DAY_MS = 86_400_000
LARGE = {f"member_{number}": "x" * 500 for number in range(20)}


def contact(workspace: Workspace, contact_id: str) -> dict[str, Any]:
    """The row, with custom data unsealed."""
    names = (
        "verified, email_key, phone_key, external_id, name, email, custom_data, non_verified_custom_data, provenance"
    )
    return workspace.people(f"{names}, created_at, updated_at, expires_at")[contact_id]


def contacts(workspace: Workspace) -> list[str]:
    return [row[0] for row in workspace.contacts()]


class TestTheRow:
    def test_of_an_anonymous_visitor_is_there_from_the_first_message_on(self, workspace: Workspace) -> None:
        """A page view costs config, create-unverified and sessions; most visitors never write."""
        visitor = anonymous(workspace)
        for _ in range(3):
            visitor.call("GET", "/config")
            assert visitor.listed() == []
            refused(visitor.poll(new_uuid()), 404)
        assert contacts(workspace) == []

        session = visitor.start()
        visitor.say(session)
        assert contacts(workspace) == [visitor.contact_id]
        visitor.say(visitor.start())
        assert contacts(workspace) == [visitor.contact_id]

    def test_of_a_visitor_whom_the_page_names_is_as_lazy(self, workspace: Workspace) -> None:
        for _ in range(3):
            visitor = claiming(workspace, EMAIL, non_verified_name="Ada", non_verified_custom_data={"plan": "gold"})
            assert visitor.listed() == []
        assert contacts(workspace) == []

        visitor.say(visitor.start())
        row = contact(workspace, visitor.contact_id)
        assert (row["name"], row["email"]) == ("Ada", EMAIL)
        assert json.loads(row["non_verified_custom_data"]) == {"plan": "gold"}

    def test_is_made_once_by_many_at_once(self, workspace: Workspace) -> None:
        visitor = claiming(workspace, EMAIL)
        with ThreadPoolExecutor(20) as threads:
            sessions = list(threads.map(lambda _: visitor.start(), range(20)))
        assert contacts(workspace) == [visitor.contact_id]
        assert set(visitor.listed()) == set(sessions)

    def test_of_a_refused_request_is_not_made(self, workspace: Workspace) -> None:
        visitor = anonymous(workspace)
        refused(visitor.call("POST", "/create-session", {}), 400, "scope_required")
        refused(visitor.send(new_uuid()), 404)
        assert contacts(workspace) == []

    def test_has_no_key_that_could_find_it(self, workspace: Workspace) -> None:
        """DESIGN rule 2.2: only verified keys find a contact."""
        visitor = claiming(
            workspace, EMAIL, non_verified_custom_data={"email": EMAIL, "external_id": "1", "phone": "+1"}
        )
        visitor.start()
        row = contact(workspace, visitor.contact_id)
        assert (row["email_key"], row["phone_key"], row["external_id"]) == (None, None, None)
        assert bool(row["verified"]) is False
        assert {origin["source"] for origin in json.loads(row["provenance"]).values()} == {"unverified"}

    def test_is_shown_to_operators_as_what_it_is(self, workspace: Workspace) -> None:
        visitor = claiming(workspace, EMAIL, non_verified_name="Ada", non_verified_custom_data={"plan": "gold"})
        visitor.start()
        shown = workspace.installation.server.cli("contact", "show", visitor.contact_id, "-w", workspace.id)
        assert shown["verified"] is False
        assert shown["non_verified_custom_data"] == {"plan": "gold"}
        assert not shown["custom_data"]


class TestPageData:
    def test_that_is_loaded_again_and_again_leaves_a_bounded_trace(self, workspace: Workspace) -> None:
        """Each load has a token of its own, without an end, which shows the scope."""
        first = claiming(workspace, EMAIL, scope="A")
        session = first.start()
        elsewhere = claiming(workspace, EMAIL, scope="B")
        other = elsewhere.start()
        loads = [claiming(workspace, EMAIL, scope="A") for _ in range(60)]
        assert all(load.listed() == [session] for load in loads)
        sql = "SELECT COUNT(*) FROM device_scopes WHERE workspace_id = $1 AND scope = $2"
        assert workspace.installation.rows(sql, workspace.id, "A") == [(50,)]
        assert loads[-1].poll(session).status_code == 200
        # Who comes back with a token that was left out shows the scope again, and sees what it did before.
        refused(first.poll(session), 404)
        assert elsewhere.poll(other).status_code == 200
        assert first.listed() == [session]
        assert first.poll(session).status_code == 200
        refused(elsewhere.poll(session), 404)
        assert workspace.installation.rows(sql, workspace.id, "A") == [(50,)]

    def test_is_one_contact_on_every_load(self, workspace: Workspace) -> None:
        """Contract section 3, step 4: an upsert by e-mail that returns a token each time."""
        loads = [claiming(workspace, EMAIL, scope="A") for _ in range(3)]
        assert len({load.token for load in loads}) == 3
        assert len({load.contact_id for load in loads}) == 1
        session = loads[0].start()
        loads[0].say(session, "hello")
        for load in loads:
            assert load.listed() == [session]
            assert load.texts(session) == [("user", "hello")]
        later = claiming(workspace, EMAIL.upper(), scope="A")
        assert later.listed() == [session]

    def test_is_another_contact_in_another_workspace_or_under_another_address(self, workspace: Workspace) -> None:
        ids = {
            claiming(workspace, EMAIL).contact_id,
            claiming(workspace, "ada+1@example.com").contact_id,
            claiming(workspace, "a.da@example.com").contact_id,
            claiming(workspace.installation.workspace(), EMAIL).contact_id,
            anonymous(workspace).contact_id,
            anonymous(workspace).contact_id,
        }
        assert len(ids) == 6

    def test_cannot_hit_upon_the_id_of_a_verified_contact(self, workspace: Workspace) -> None:
        """RFC 9562: version 7 for those, version 8 for these."""
        assert uuid.UUID(verified(workspace).contact_id).version == 7
        assert uuid.UUID(claiming(workspace, EMAIL).contact_id).version == 8

    def test_is_renewed_by_what_a_later_load_says(self, workspace: Workspace) -> None:
        first = claiming(workspace, EMAIL, non_verified_name="Ada", non_verified_custom_data={"plan": "gold"})
        first.say(first.start())
        second = claiming(workspace, EMAIL, non_verified_name="Ada L.", non_verified_custom_data={"plan": "silver"})
        second.say(second.start())
        row = contact(workspace, first.contact_id)
        assert row["name"] == "Ada L."
        assert json.loads(row["non_verified_custom_data"]) == {"plan": "silver"}

    def test_keeps_what_a_later_load_does_not_say(self, workspace: Workspace) -> None:
        """DESIGN rule 2.7: absent keeps."""
        first = claiming(workspace, EMAIL, non_verified_name="Ada", non_verified_custom_data={"plan": "gold"})
        first.say(first.start())
        second = claiming(workspace, EMAIL)
        second.say(second.start())
        row = contact(workspace, first.contact_id)
        assert row["name"] == "Ada"
        assert json.loads(row["non_verified_custom_data"]) == {"plan": "gold"}

    @pytest.mark.parametrize("said", [{"non_verified_custom_data": LARGE}, {"non_verified_name": "\U0001f389" * 256}])
    def test_that_is_large_arrives_all_the_same(self, workspace: Workspace, said: dict[str, Any]) -> None:
        """It does not fit into a token that every request carries."""
        visitor = claiming(workspace, EMAIL, **said)
        assert len(str(visitor.token)) < 4096
        assert visitor.listed() == []
        visitor.say(visitor.start())
        row = contact(workspace, visitor.contact_id)
        assert row["email"] == EMAIL
        if "non_verified_name" in said:
            assert row["name"] == said["non_verified_name"]
        else:
            assert json.loads(row["non_verified_custom_data"]) == LARGE
        assert contacts(workspace) == [visitor.contact_id]

    def test_that_is_large_is_renewed_too(self, workspace: Workspace) -> None:
        claiming(workspace, EMAIL, non_verified_custom_data=LARGE)
        changed = {**LARGE, "plan": "gold"}
        visitor = claiming(workspace, EMAIL, non_verified_custom_data=changed)
        visitor.say(visitor.start())
        assert json.loads(contact(workspace, visitor.contact_id)["non_verified_custom_data"]) == changed

    def test_that_is_large_leaves_what_an_operator_says(self, workspace: Workspace) -> None:
        visitor = claiming(workspace, EMAIL, non_verified_name="Ada", non_verified_custom_data=LARGE)
        path, admin = f"contacts/{visitor.contact_id}", Admin(workspace.installation, workspace.id)
        admin.do("PATCH", path, {"language": "en"})
        claiming(workspace, EMAIL, non_verified_custom_data={**LARGE, "plan": "gold"})
        shown = admin.get(path)
        assert (shown["language"], shown["name"]) == ("en", "Ada")
        assert shown["provenance"]["language"]["source"] == "operator"
        assert shown["non_verified_custom_data"]["plan"] == "gold"

    @pytest.mark.parametrize("address", ["ada@localhost", "ada@b\u00fccher.example", "not an address", "a" * 300])
    def test_with_an_address_of_any_kind_never_costs_the_visitor_the_widget(
        self, workspace: Workspace, address: str
    ) -> None:
        """Contract section 3: a refused create-unverified is shown to nobody and not tried again. The address proves
        nothing and finds nothing, so it need not be a good one; what cannot be kept is refused with a code."""
        answer = Device(workspace, None).call("POST", "/contact/create-unverified", {"email": address})
        if answer.status_code == 400:
            refused(answer, 400, "invalid_field", names="email")
        else:
            assert answer.status_code == 200


class TestBesideTheVerifiedContact:
    def test_of_the_same_address_they_are_two_that_share_nothing(self, workspace: Workspace) -> None:
        claimant = claiming(
            workspace, EMAIL, non_verified_name="Mallory", non_verified_custom_data={"plan": "claimed"}, scope="A"
        )
        owner = verified(workspace, EMAIL, scope="A", name="Ada", customData={"plan": "proven"})
        theirs, own = claimant.start(), owner.start()
        claimant.say(theirs, "I am Ada")
        owner.say(own, "I am Ada indeed")

        assert claimant.contact_id != owner.contact_id
        assert set(contacts(workspace)) == {claimant.contact_id, owner.contact_id}
        assert claimant.listed() == [theirs]
        assert owner.listed() == owner.listed("") == [own]
        refused(claimant.poll(own), 404)
        refused(owner.poll(theirs), 404)
        assert claimant.session(theirs)["isVerified"] is False
        assert owner.session(own)["isVerified"] is True

    def test_custom_data_lies_in_two_columns(self, workspace: Workspace) -> None:
        claimant = claiming(workspace, EMAIL, non_verified_custom_data={"plan": "claimed"})
        claimant.start()
        owner = verified(workspace, EMAIL, customData={"plan": "proven"})
        claimed, proven = contact(workspace, claimant.contact_id), contact(workspace, owner.contact_id)
        assert (claimed["custom_data"], json.loads(claimed["non_verified_custom_data"])) == (None, {"plan": "claimed"})
        assert (json.loads(proven["custom_data"]), proven["non_verified_custom_data"]) == ({"plan": "proven"}, None)

    @pytest.mark.parametrize("first", ["verified", "unverified"])
    def test_neither_changes_the_other_whichever_came_first(self, workspace: Workspace, first: str) -> None:
        said: dict[str, Any] = {"non_verified_name": "Mallory", "non_verified_custom_data": LARGE}
        if first == "verified":
            owner = verified(workspace, EMAIL, name="Ada", customData={"plan": "proven"})
            before = contact(workspace, owner.contact_id)
            claimant = claiming(workspace, EMAIL, **said)
            claimant.say(claimant.start())
            assert contact(workspace, owner.contact_id) == before
        else:
            claimant = claiming(workspace, EMAIL, **said)
            claimant.say(claimant.start())
            before = contact(workspace, claimant.contact_id)
            owner = verified(workspace, EMAIL, name="Ada", customData={"plan": "proven"})
            owner.say(owner.start())
            assert contact(workspace, claimant.contact_id) == before
        assert workspace.me(str(owner.token)).json()["name"] == "Ada"
        assert "Mallory" not in workspace.me(str(owner.token)).text

    def test_are_never_merged_not_even_by_an_operator(self, workspace: Workspace) -> None:
        claimant, owner = claiming(workspace, EMAIL), verified(workspace, EMAIL)
        claimant.start()
        installation = workspace.installation
        for pair in ((claimant, owner), (owner, claimant)):
            merging = administration.merge(installation.desk, workspace.id, *(one.contact_id for one in pair))
            with pytest.raises(Exception, match="cannot be merged"):
                installation.run(merging)

    def test_one_that_was_merged_into_another_finds_the_chats_it_starts(self, workspace: Workspace) -> None:
        one, other = anonymous(workspace), anonymous(workspace)
        before, others = one.start(), other.start()
        installation = workspace.installation
        merging = administration.merge(installation.desk, workspace.id, one.contact_id, other.contact_id)
        installation.run(merging)
        after = one.start()
        link = link_of(one)
        one.say(after)
        assert one.listed() == [after, before]
        assert other.listed() == [others]
        installation.run(administration.unmerge(installation.desk, workspace.id, one.contact_id))
        assert one.listed() == [after, before]
        one.say(after, attachments=[{"id": "1", "name": "a", "size": 1, "type": "a", "url": link}])

    def test_messages_keep_the_trust_they_were_written_with(self, workspace: Workspace) -> None:
        claimant, owner = claiming(workspace, EMAIL), verified(workspace, EMAIL)
        claimant.say(claimant.start(), "claimed")
        owner.say(owner.start(), "proven")
        sql = "SELECT text, trust FROM messages WHERE workspace_id = $1 ORDER BY text"
        assert workspace.installation.rows(sql, workspace.id) == [("claimed", "unverified"), ("proven", "verified")]


class TestTheRetentionClock:
    def test_is_set_for_unverified_contacts_only(self, workspace: Workspace) -> None:
        visitor, owner = anonymous(workspace), verified(workspace)
        visitor.start()
        owner.start()
        row = contact(workspace, visitor.contact_id)
        assert row["expires_at"] - row["created_at"] == 90 * DAY_MS
        assert contact(workspace, owner.contact_id)["expires_at"] is None

    def test_is_set_for_large_claims_at_once(self, workspace: Workspace) -> None:
        visitor = claiming(workspace, EMAIL, non_verified_custom_data=LARGE)
        assert contact(workspace, visitor.contact_id)["expires_at"] is not None

    def test_is_wound_by_writing_and_not_by_reading(self, workspace: Workspace) -> None:
        visitor = anonymous(workspace)
        session = visitor.start()
        soon = int(time.time() * 1000) + DAY_MS
        workspace.installation.rows("UPDATE contacts SET expires_at = $1 WHERE id = $2", soon, visitor.contact_id)
        visitor.history(session)
        visitor.listed()
        assert contact(workspace, visitor.contact_id)["expires_at"] == soon
        visitor.say(session)
        wound = contact(workspace, visitor.contact_id)["expires_at"]
        assert wound > soon + 80 * DAY_MS
        # Not at every message: a little time has run down only.
        visitor.say(session)
        assert contact(workspace, visitor.contact_id)["expires_at"] == wound

    def test_may_be_set_and_new_visitors_are_limited_by_address(
        self, workspace: Workspace, installation: Installation, tmp_path: Path
    ) -> None:
        with beside(installation, tmp_path, unverified_retention="2d", rate_limit_new_visitors="3") as server:
            visitor = Device(
                workspace, unverified_token(workspace, base_url=server.base_url), "A", base_url=server.base_url
            )
            visitor.start()
            row = contact(workspace, visitor.contact_id)
            assert row["expires_at"] - row["created_at"] == 2 * DAY_MS
            for _ in range(2):
                unverified_token(workspace, base_url=server.base_url)
            fourth = Device(workspace, None, base_url=server.base_url).call("POST", "/contact/create-unverified", {})
            refused(fourth, 429, "rate_limited")
            assert int(fourth.headers["retry-after"]) > 0
            elsewhere = installation.workspace()
            unverified_token(elsewhere, base_url=server.base_url)


@pytest.fixture
def own(database_url: str, secret_key: str, tmp_path: Path) -> Iterator[Installation]:
    """A server whose keys this test may turn."""
    settings = {**TEST_SETTINGS, "VESTIBULE_DATABASE_URL": database_url, "VESTIBULE_SECRET_KEYS": secret_key}
    with RunningServer(settings, tmp_path) as server, Installation(server) as made:
        yield made


@pytest.mark.slow
class TestTheToken:
    """Contract 0.6: nothing in the widget gets a new one, so it must not end by itself; and it can be ended."""

    def test_has_no_end_and_survives_rotation_and_restart(self, own: Installation) -> None:
        workspace = own.workspace()
        visitor = anonymous(workspace)
        assert "exp" not in claims_of(str(visitor.token))
        session = visitor.start()
        visitor.say(session, "hello")

        old = next(key["kid"] for key in keys(own) if key["status"] == "signing")
        for _ in range(2):
            own.server.cli("signing-keys", "rotate")
            time.sleep(0.01)
        # The last token with an end that it signed is gone: other keys would be forgotten now.
        own.rows("UPDATE signing_keys SET last_expiry = 1 WHERE id = $1", old)
        own.server.restart()

        assert next(key["status"] for key in keys(own) if key["kid"] == old) == "ended"
        assert visitor.texts(session) == [("user", "hello")]
        assert visitor.listed() == [session]
        visitor.say(session, "again")
        newer = anonymous(workspace)
        assert str(newer.token).split(".")[0] != str(visitor.token).split(".")[0]

    def test_ends_with_its_key_where_that_is_withdrawn(self, own: Installation) -> None:
        workspace = own.workspace()
        visitor = anonymous(workspace)
        session = visitor.start()
        [key] = keys(own)
        own.server.cli("signing-keys", "retire", key["kid"])
        own.server.restart()
        refused(visitor.poll(session), 401, "invalid_token")

    def test_ends_where_an_operator_signs_the_contact_out(self, own: Installation) -> None:
        workspace = own.workspace()
        visitor = claiming(workspace, EMAIL, scope="A")
        session = visitor.start()
        own.server.cli("contact", "sign-out", visitor.contact_id, "-w", workspace.id)
        deadline = time.monotonic() + 5
        while visitor.poll(session).status_code != 401 and time.monotonic() < deadline:
            time.sleep(0.1)
        refused(visitor.poll(session), 401, "invalid_token")
        # The page gets a new one on the next load, and with it the device's chats.
        time.sleep(1)
        assert claiming(workspace, EMAIL, scope="A").listed() == [session]


def keys(own: Installation) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = own.server.cli("signing-keys", "list")["items"]
    return found
