"""Whose a user token is: which contact the customer's answer names, and what happens where two are named."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.fixtures import staff
from tests.fixtures.admin import Admin
from tests.fixtures.fake_auth_endpoint import ADA, KNOWN, FakeAuthEndpoint, configure, refused, show, signed_in
from tests.fixtures.front_door import Installation, Workspace
from tests.fixtures.widget import claiming, claims_of, verified


@pytest.fixture
def workspace(responding: Installation) -> Workspace:
    return responding.workspace()


@pytest.fixture
def fake() -> Iterator[FakeAuthEndpoint]:
    with FakeAuthEndpoint(KNOWN) as running:
        yield running


def labels_of(workspace: Workspace, contact_id: str) -> Any:
    sql = "SELECT labels FROM contacts WHERE workspace_id = $1 AND id = $2"
    [(found,)] = workspace.installation.rows(sql, workspace.id, contact_id)
    return json.loads(found) if found is not None else None


def logged(workspace: Workspace, names: str) -> dict[str, Any]:
    """The line of the access log that names this. It is written a moment after the answer."""
    deadline = time.monotonic() + 3
    while time.monotonic() < deadline:
        for line in workspace.installation.server.log().splitlines():
            if names in line and line.startswith("{"):
                found: dict[str, Any] = json.loads(line)
                return found
        time.sleep(0.02)
    raise AssertionError(f"no line of the log names {names}")


class TestWhoItIs:
    def test_the_answer_makes_and_updates_one_contact(self, workspace: Workspace, fake: FakeAuthEndpoint) -> None:
        configure(workspace, fake)
        made = signed_in(workspace, "ada-session")
        fake.people["new-session"] = {**ADA, "name": "Ada L.", "email": "lovelace@example.com"}
        again = signed_in(workspace, "new-session")
        assert again["contact"]["id"] == made["contact"]["id"]
        assert again["token"] != made["token"]
        me = workspace.me(again["token"]).json()
        assert (me["name"], me["email"], me["phone"]) == ("Ada L.", "lovelace@example.com", "0901234567")
        assert (me["method"], me["verified"]) == ("auth_endpoint", True)
        assert me["provenance"]["name"]["source"] == "auth_endpoint"
        row = workspace.contact(made["contact"]["id"])
        shown = workspace.installation.cli("contact", "show", made["contact"]["id"], "-w", workspace.id)
        assert (shown["phone"], shown["phone_e164"]) == ("0901234567", "+84901234567")
        # Only the configured method makes a key.
        assert (row["email_key"], row["phone_key"]) == (None, None)

    def test_a_remembered_answer_takes_back_nothing_that_was_said_since(
        self, workspace: Workspace, fake: FakeAuthEndpoint
    ) -> None:
        configure(workspace, fake, identity_method="email", cache_seconds=60)
        made = signed_in(workspace, "ada-session")
        workspace.sign_in("ada@example.com", name="Ada Lovelace")
        fake.people.clear()
        again = signed_in(workspace, "ada-session")
        assert again["contact"]["id"] == made["contact"]["id"]
        me = workspace.me(again["token"]).json()
        assert (me["name"], me["provenance"]["name"]["source"]) == ("Ada Lovelace", "server_to_server")
        assert (me["phone"], me["provenance"]["phone"]["source"]) == ("0901234567", "auth_endpoint")

    def test_the_token_lives_an_hour_at_the_most(self, workspace: Workspace, fake: FakeAuthEndpoint) -> None:
        configure(workspace, fake)
        made = signed_in(workspace, "ada-session")
        claims = claims_of(made["token"])
        assert claims["method"] == "auth_endpoint"
        assert claims["exp"] - claims["iat"] == made["expires_in"]
        assert 3590 <= made["expires_in"] <= 3600

    @pytest.mark.parametrize("end", ["-1e308", "-1e300", "-1", "0", "1e308", "0.5", "1e-320"])
    def test_a_jwt_s_end_may_be_absurd(self, workspace: Workspace, fake: FakeAuthEndpoint, end: str) -> None:
        payload = base64.urlsafe_b64encode(f'{{"exp":{end}}}'.encode()).rstrip(b"=").decode()
        fake.people[f"e30.{payload}.x"] = {"id": "u-1"}
        configure(workspace, fake, cache_seconds=60)
        for _ in range(2):
            life = signed_in(workspace, f"e30.{payload}.x")["expires_in"]
            assert life in ({3599, 3600} if end == "1e308" else {60})

    def test_the_end_of_a_jwt_shortens_it(self, workspace: Workspace, fake: FakeAuthEndpoint) -> None:
        configure(workspace, fake)
        for ends_in, expected in ((600, 600), (-10, 60), (99_999, 3600)):
            payload = base64.urlsafe_b64encode(json.dumps({"exp": time.time() + ends_in}).encode()).rstrip(b"=")
            token = f"e30.{payload.decode()}.sig"
            fake.people[token] = ADA
            assert abs(signed_in(workspace, token)["expires_in"] - expected) <= 5

    @pytest.mark.parametrize(
        ("method", "first", "second"),
        [
            ("id", {"id": 42}, {"id": "42"}),
            ("id", {"id": " Ab "}, {"id": "Ab"}),
            ("email", {"email": "Ada@Example.com"}, {"email": " ada@example.com "}),
            (
                "phone_number",
                {"phone_number": "0901234567", "country_code": "+84"},
                {"phone_number": "+84 90 123 45 67"},
            ),
        ],
    )
    def test_the_same_person_by_each_method(
        self,
        workspace: Workspace,
        fake: FakeAuthEndpoint,
        method: str,
        first: dict[str, Any],
        second: dict[str, Any],
    ) -> None:
        configure(workspace, fake, identity_method=method)
        fake.people |= {"one": first, "two": second}
        assert signed_in(workspace, "one")["contact"] == signed_in(workspace, "two")["contact"]

    def test_ids_differ_by_letter_case(self, workspace: Workspace, fake: FakeAuthEndpoint) -> None:
        configure(workspace, fake)
        fake.people |= {"one": {"id": "ab"}, "two": {"id": "AB"}}
        assert signed_in(workspace, "one")["contact"] != signed_in(workspace, "two")["contact"]

    @pytest.mark.parametrize(
        ("number", "code", "key"),
        [
            ("0901234567", "+84", "+84901234567"),
            ("0901234567", "84", "+84901234567"),
            ("0901234567", "0084", "+84901234567"),
            ("0901234567", "VN", "+84901234567"),
            ("0901234567", 84, "+84901234567"),
            ("84901234567", "+84", "+84901234567"),
            ("0084901234567", "+84", "+84901234567"),
            ("+84901234567", "+47", "+84901234567"),
            ("0612345678", "+39", "+390612345678"),
            ("8 912 345-67-89", "+7", "+79123456789"),
            ("0901234567", None, "+84901234567"),  # the workspace's own
            ("113", "+84", None),
            ("090XXXXXXX", "+84", None),
            ("0901234567", "+999", None),
            (901234567, "+84", None),
        ],
    )
    def test_phone_numbers_as_identity(
        self, workspace: Workspace, fake: FakeAuthEndpoint, number: object, code: object, key: str | None
    ) -> None:
        configure(workspace, fake, identity_method="phone_number", country_code="+84")
        fake.people["p"] = {"phone_number": number, **({"country_code": code} if code is not None else {})}
        if key is None:
            refused(show(workspace, "p"), 502, "auth_identity_missing")
            return
        row = workspace.contact(signed_in(workspace, "p")["contact"]["id"])
        assert (row["phone_key"], row["phone"]) == (key, number)

    def test_absent_and_empty_keep_and_null_clears(self, workspace: Workspace, fake: FakeAuthEndpoint) -> None:
        configure(workspace, fake)
        fake.people["s"] = {"id": 1, "name": "Ada", "email": "a@example.com", "avatar": "https://a.example/x.png"}
        contact = signed_in(workspace, "s")["contact"]["id"]
        fake.people["s"] = {"id": 1, "name": "", "email": None}
        signed_in(workspace, "s")
        row = workspace.contact(contact)
        assert (row["name"], row["email"], row["avatar_url"]) == ("Ada", None, "https://a.example/x.png")

    def test_what_cannot_be_used_is_left_out_and_noted(self, workspace: Workspace, fake: FakeAuthEndpoint) -> None:
        configure(workspace, fake)
        fake.people["s"] = {"id": 1, "name": 5, "email": "no", "avatar": "http://a.example/x", "phone_number": "113"}
        contact = signed_in(workspace, "s")["contact"]["id"]
        row = workspace.contact(contact)
        assert (row["name"], row["email"], row["avatar_url"], row["phone"]) == (None, None, None, "113")
        noted = logged(workspace, contact)["fields"]
        assert all(f"{name} refused" in noted for name in ("name", "email", "avatar_url"))
        assert "phone kept for display" in noted

    def test_labels_are_authentication_s_own(self, workspace: Workspace, fake: FakeAuthEndpoint) -> None:
        configure(workspace, fake)
        fake.people["s"] = {"id": 1, "label": " Gold "}
        made = signed_in(workspace, "s")
        contact = made["contact"]["id"]
        assert labels_of(workspace, contact) == ["Gold"]
        fake.people["s"] = {"id": 1, "label": ["Silver", "VIP", "Silver"]}
        signed_in(workspace, "s")
        assert labels_of(workspace, contact) == ["Silver", "VIP"]
        fake.people["s"] = {"id": 1}
        signed_in(workspace, "s")
        assert labels_of(workspace, contact) == ["Silver", "VIP"]
        fake.people["s"] = {"id": 1, "label": None}
        signed_in(workspace, "s")
        assert labels_of(workspace, contact) is None
        assert "labels" not in json.dumps(workspace.me(made["token"]).json())


class TestConflicts:
    def test_an_address_that_is_somebody_s_key_is_a_conflict(
        self, workspace: Workspace, fake: FakeAuthEndpoint
    ) -> None:
        workspace.sign_in("ada@example.com", phone="+84901234567")
        configure(workspace, fake)
        before = workspace.contacts()
        refused(show(workspace, "ada-session"), 409, "identity_conflict")
        fake.people["ada-session"] = {"id": "u-1", "phone_number": "+84901234567"}
        refused(show(workspace, "ada-session"), 409, "identity_conflict")
        assert workspace.contacts() == before

    def test_by_e_mail_it_is_the_contact_that_the_backend_vouched_for(
        self, workspace: Workspace, fake: FakeAuthEndpoint
    ) -> None:
        _, known = workspace.sign_in("ada@example.com")
        configure(workspace, fake, identity_method="email")
        assert signed_in(workspace, "ada-session")["contact"]["id"] == known

    def test_an_address_that_another_only_shows_is_none(self, workspace: Workspace, fake: FakeAuthEndpoint) -> None:
        configure(workspace, fake)
        fake.people |= {"one": {"id": 1, "email": "x@example.com"}, "two": {"id": 2, "email": "x@example.com"}}
        assert signed_in(workspace, "one")["contact"] != signed_in(workspace, "two")["contact"]

    def test_old_keys_stay_when_the_method_changes(self, workspace: Workspace, fake: FakeAuthEndpoint) -> None:
        configure(workspace, fake, identity_method="email")
        known = signed_in(workspace, "ada-session")["contact"]["id"]
        shown = workspace.installation.cli("auth-endpoint", "show", "-w", workspace.id)
        assert shown["contacts_without_key"] == {"id": 1, "email": 0, "phone_number": 1}
        configure(workspace, fake, identity_method="id")
        assert workspace.contact(known)["email_key"] == "ada@example.com"

    def test_a_stranger_s_typed_address_is_not_joined(self, workspace: Workspace, fake: FakeAuthEndpoint) -> None:
        configure(workspace, fake, identity_method="email")
        stranger = claiming(workspace, "ada@example.com")
        session = stranger.call("POST", "/create-session", {"customData": {"external_id": stranger.scope}})
        assert session.status_code == 201
        assert signed_in(workspace, "ada-session")["contact"]["id"] != stranger.contact_id

    def test_it_is_where_the_workspace_wants_the_published_reading(
        self, workspace: Workspace, fake: FakeAuthEndpoint
    ) -> None:
        configure(workspace, fake, identity_method="email", claim_unverified_contacts=True)
        stranger = claiming(workspace, "ada@example.com", non_verified_name="Typed")
        session = stranger.call("POST", "/create-session", {"customData": {"external_id": stranger.scope}}).json()
        made = signed_in(workspace, "ada-session")
        assert made["contact"]["id"] == stranger.contact_id
        row = workspace.contact(stranger.contact_id)
        assert (row["email_key"], row["name"]) == ("ada@example.com", "Ada")
        # The record is one; what a stranger wrote is not the person's to see, nor the other way round.
        mine = verified(workspace, "ada@example.com")
        assert mine.contact_id == stranger.contact_id
        assert mine.poll(session["id"]).status_code == 404
        theirs = mine.call("POST", "/create-session", {}).json()
        assert stranger.poll(theirs["id"]).status_code == 404
        assert stranger.poll(session["id"]).status_code == 200

    def test_nobody_takes_the_strangers_for_the_person_who_claimed_the_contact(
        self, workspace: Workspace, fake: FakeAuthEndpoint
    ) -> None:
        """Nor is what they wrote, or where from, the person's to have."""
        configure(workspace, fake, identity_method="email", claim_unverified_contacts=True)
        stranger = claiming(workspace, "ada@example.com", non_verified_name="Typed")
        chat = stranger.start()
        stranger.say(chat, "secret-of-the-stranger")
        assert signed_in(workspace, "ada-session")["contact"]["id"] == stranger.contact_id
        mine = verified(workspace, "ada@example.com")
        mine.say(mine.start(), "what-ada-wrote")
        grace = staff.signed_in(workspace)
        for path in (f"/inbox/{chat}?show=unproven", "/inbox?show=unproven"):  # her own chats stand in no such list
            page = grace.get(path).text
            assert "ada@example.com" in page
            assert "mark verified" not in page
        found = grace.post("/debugger", kind="contact_token", token=stranger.token or "").text
        assert "The chats of the visitor" in found
        assert "what-ada-wrote" not in found
        exported = Admin(workspace.installation, workspace.id).get(f"contacts/{stranger.contact_id}/export")
        assert "what-ada-wrote" in json.dumps(exported)
        assert "secret-of-the-stranger" not in json.dumps(exported)
        assert "unverified" not in {sign_in["method"] for sign_in in exported["contact"]["sign_ins"]}

    def test_a_contact_into_which_strangers_were_merged_is_not_claimed(
        self, workspace: Workspace, fake: FakeAuthEndpoint
    ) -> None:
        """One of two that are one person would be proven and the other not: what everybody wrote who has ever typed the
        other address would be the person's to have, and kept as long as they are."""
        configure(workspace, fake, identity_method="email", claim_unverified_contacts=True)
        guests = [claiming(workspace, email) for email in ("x@example.com", "ada@example.com")]
        for guest in guests:
            guest.say(guest.start(), "secret-of-a-stranger")
        ids = [guest.contact_id for guest in guests]
        workspace.installation.cli("contact", "merge", *ids, "-w", workspace.id)
        made = signed_in(workspace, "ada-session")["contact"]["id"]
        assert made not in ids
        kept = workspace.people("verified, merged_into")
        assert [bool(kept[each]["verified"]) for each in (*ids, made)] == [False, False, True]
        assert [kept[each]["merged_into"] for each in (*ids, made)] == [ids[1], None, None]
        exported = Admin(workspace.installation, workspace.id).get(f"contacts/{made}/export")
        assert "secret-of-a-stranger" not in json.dumps(exported)
        assert signed_in(workspace, "ada-session")["contact"]["id"] == made

    def test_many_first_sign_ins_at_once_make_one_contact(self, workspace: Workspace, fake: FakeAuthEndpoint) -> None:
        configure(workspace, fake)
        with ThreadPoolExecutor(8) as threads:
            done = list(threads.map(lambda _: signed_in(workspace, "ada-session")["contact"]["id"], range(16)))
        assert len(set(done)) == 1
        assert len(workspace.contacts()) == 1
