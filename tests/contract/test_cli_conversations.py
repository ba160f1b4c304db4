"""What an operator does on the command line is what the visitor's widget sees; and what the doctor says of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tests.fixtures.fake_bot import FakeBot
from tests.fixtures.front_door import Workspace
from tests.fixtures.responding import answered_by_bot, cli, cli_refuses, eventually
from tests.fixtures.widget import anonymous, verified
from vestibule.cli import app


class TestConversations:
    def test_are_listed_latest_first_and_by_page(self, shop_front: Workspace) -> None:
        device = verified(shop_front)
        ids = [device.start() for _ in range(3)]
        device.say(ids[0], "I was first, and am the latest now.")
        cli(shop_front, "conversation", "resolve", ids[1], "-w", shop_front.id)
        everything = cli(shop_front, "conversation", "list", "-w", shop_front.id)["items"]
        assert [item["id"] for item in everything] == [ids[1], ids[0], ids[2]]
        assert everything[1]["last_message"] == "I was first, and am the latest now."
        is_open = cli(shop_front, "conversation", "list", "-w", shop_front.id, "--status", "open")["items"]
        assert [item["id"] for item in is_open] == [ids[0], ids[2]]
        page = ("conversation", "list", "-w", shop_front.id, "--status", "open", "--limit", "1")
        first = cli(shop_front, *page)
        device.say(ids[0], "What is written in between moves nothing.")
        second = cli(shop_front, *page, "--after", first["next"])
        assert [item["id"] for item in second["items"]] == [ids[2]]
        assert second["next"] is None
        told = shop_front.installation.command(*page)
        assert first["next"] not in told.stdout + told.stderr
        assert "--after" in told.stderr
        cli_refuses(shop_front, *page, "--after", ids[0])

    def test_of_another_workspace_do_not_exist(self, shop_front: Workspace) -> None:
        session_id = anonymous(shop_front).start()
        other = shop_front.installation.workspace()
        for command in (("show",), ("take",), ("resolve",), ("reply", "hello")):
            told = cli_refuses(other, "conversation", command[0], session_id, *command[1:], "-w", other.id)
            assert told == "There is no such conversation."

    def test_are_shown_with_what_was_proven_of_each_author(self, shop_front: Workspace, bot: FakeBot) -> None:
        answered_by_bot(shop_front, bot)
        device = verified(shop_front)
        session_id = device.start()
        device.say(session_id, "hi", custom_data={"from": "the cart"})
        shown = cli(shop_front, "conversation", "show", session_id, "-w", shop_front.id)
        assert (shown["assignee"], shown["handed_off"], shown["verified"]) == ("ai", False, True)
        assert [(row["sender"], row["trust"], row["text"]) for row in shown["messages"]] == [
            ("user", "verified", "hi"),
            ("ai", "system", "You said: hi"),
        ]
        assert shown["messages"][0]["custom_data"] == {"from": "the cart"}

    def test_are_strangers_text_on_the_terminal(self, shop_front: Workspace) -> None:
        device = anonymous(shop_front)
        text = r"[red]x[/red]\[blue]y\[/]:boom:"
        device.say(device.start(), text)
        listed = shop_front.installation.command("conversation", "list", "-w", shop_front.id)
        assert text in listed.stdout

    def test_are_taken_answered_and_resolved(self, shop_front: Workspace, bot: FakeBot) -> None:
        answered_by_bot(shop_front, bot)
        device = anonymous(shop_front)
        session_id = device.start()
        in_it = (session_id, "-w", shop_front.id)
        taken = cli(shop_front, "conversation", "take", *in_it, "--name", "Grace")
        assert (taken["handed_off"], taken["assignee"]) == (True, "Grace")
        assert device.session(session_id)["assignee"] == {"kind": "human", "name": "Grace", "avatarUrl": None}
        waiting = cli(shop_front, "conversation", "list", "-w", shop_front.id, "--handed-off")["items"]
        assert [item["id"] for item in waiting] == [session_id]
        device.say(session_id, "hi")
        cli(shop_front, "conversation", "reply", session_id, "<b>Hello</b>", "-w", shop_front.id, "--name", "Grace")
        assert bot.received == []
        [row] = [row for row in device.history(session_id) if row["sender"]["kind"] == "agent"]
        assert (row["sender"]["name"], row["type"]) == ("Grace", "agent_message")
        assert "<b>" not in row["content"]["text"]
        assert cli(shop_front, "conversation", "resolve", *in_it)["status"] == "closed_resolved"
        assert device.session(session_id)["isOpened"] is False
        assert [row["type"] for row in device.history(session_id)][-2:] == [
            "closed_resolved_by_agent",
            "csat_requested",
        ]
        assert cli(shop_front, "conversation", "resolve", *in_it)["status"] == "closed_resolved"
        cli_refuses(shop_front, "conversation", "reply", session_id, "too late", "-w", shop_front.id)

    @pytest.mark.parametrize("name", ["", " ", "a\nb", "x" * 101])
    def test_are_answered_under_a_name_that_can_be_shown(self, shop_front: Workspace, name: str) -> None:
        session_id = anonymous(shop_front).start()
        told = cli_refuses(shop_front, "conversation", "reply", session_id, "hi", "-w", shop_front.id, "--name", name)
        assert told.startswith("name:")


class TestResponder:
    def test_secret_is_shown_once_and_replaced_in_two_steps(self, shop_front: Workspace) -> None:
        url = "https://bot.example.com/hook?token=sesame"
        made = cli(shop_front, "responder", "set", "-w", shop_front.id, "--kind", "webhook", "--url", url)
        assert made["secret"].startswith("whsec_")
        shown = cli(shop_front, "responder", "show", "-w", shop_front.id)
        assert (shown["kind"], shown["url"], shown["secrets"]) == ("webhook", "https://bot.example.com/hook?…", 1)
        assert all(secret not in json.dumps(shown) for secret in (made["secret"], "sesame"))
        again = cli(shop_front, "responder", "set", "-w", shop_front.id, "--timeout", "20s")
        assert ("secret" in again, again["timeout"]) == (False, "20s")

        rotated = cli(shop_front, "responder", "set", "-w", shop_front.id, "--rotate-secret")
        assert rotated["secret"] not in {made["secret"], None}
        assert rotated["secrets"] == 2
        assert [found for found in checks(shop_front, "responder") if shop_front.id in found["message"]]
        assert cli(shop_front, "responder", "set", "-w", shop_front.id, "--forget-old-secret")["secrets"] == 1
        assert cli(shop_front, "responder", "set", "-w", shop_front.id, "--kind", "none")["kind"] == "none"

    def test_key_comes_from_the_environment_or_a_file_and_stays_with_its_server(
        self, shop_front: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("MODEL_KEY", "sk-swordfish")
        (tmp_path / "instructions.md").write_text("Be kind.\n")
        given = ["--kind", "openai", "--url", "https://one.example.com/v1", "--model", "m"]
        own = ("-w", shop_front.id)
        instructions = ["--instructions-file", str(tmp_path / "instructions.md")]
        shown = cli(shop_front, "responder", "set", *own, *given, "--api-key-env", "MODEL_KEY", *instructions)
        assert (shown["api_key"], shown["instructions"]) == ("set", "Be kind.\n")
        assert "swordfish" not in json.dumps(shown)
        told = cli_refuses(shop_front, "responder", "set", *own, "--url", "https://two.example.com/v1")
        assert "api_key" in told
        assert "url: may not be called" in cli_refuses(shop_front, "responder", "set", *own, "--url", "nonsense")
        (tmp_path / "key").write_text("sk-other\n")
        moved = ["--url", "https://two.example.com/v1", "--api-key-file", str(tmp_path / "key")]
        assert cli(shop_front, "responder", "set", *own, *moved)["url"] == "https://two.example.com/v1"
        assert cli(shop_front, "responder", "set", *own, "--no-api-key")["api_key"] is None
        [(sealed,)] = shop_front.installation.rows(
            "SELECT sealed_document FROM workspace_settings WHERE workspace_id = $1", shop_front.id
        )
        assert "sk-" not in sealed

    @pytest.mark.parametrize(
        ("given", "problem"),
        [
            (["--kind", "webhook"], "url: is required"),
            (["--kind", "webhook", "--url", "http://public.example.com/"], None),
            (["--kind", "webhook", "--url", "https://user:pass@bot.example.com/"], "url: may not be called"),
            (["--kind", "webhook", "--url", "https://10.0.0.1/"], "url: may not be called"),
            (["--kind", "openai", "--url", "https://m.example.com/v1"], "model:"),
            (["--timeout", "10m"], "timeout:"),
            (["--api-key-env", "NOT_THERE_3F1B"], "NOT_THERE_3F1B"),
            (["--instructions", "x", "--instructions-file", "y"], "not both"),
        ],
    )
    def test_that_cannot_work_is_not_set(self, shop_front: Workspace, given: list[str], problem: str | None) -> None:
        if problem is None:  # only the address tells whether it may be called without TLS
            cli(shop_front, "responder", "set", "-w", shop_front.id, *given)
            return
        assert problem in cli_refuses(shop_front, "responder", "set", "-w", shop_front.id, *given)
        assert cli(shop_front, "responder", "show", "-w", shop_front.id)["kind"] == "none"

    def test_that_is_set_answers_without_a_restart(self, shop_front: Workspace, bot: FakeBot) -> None:
        device = anonymous(shop_front)
        device.say(device.start())
        made = cli(shop_front, "responder", "set", "-w", shop_front.id, "--kind", "webhook", "--url", bot.url)
        bot.secret = made["secret"]
        eventually(lambda: device.send(device.start(), "hi").json().get("autopilotResponse"), within=5)
        assert bot.refused == []


class TestWidget:
    def test_is_told_its_intervals_and_modes(self, shop_front: Workspace) -> None:
        modes = ["--mode", "m1:Checkout:checkout", "--mode", "m2:Returns"]
        own = ("-w", shop_front.id)
        set_ = cli(shop_front, "widget", "set", *own, "--list-seconds", "30", "--poll-seconds", "2.5", *modes)
        assert set_ == {
            "list_seconds": 30.0,
            "poll_seconds": 2.5,
            "modes": [
                {"id": "m1", "name": "Checkout", "slug": "checkout"},
                {"id": "m2", "name": "Returns", "slug": None},
            ],
            "allowed_origins": [],
        }
        config = anonymous(shop_front).do("config").json()
        assert (config["sessionsPollingIntervalSeconds"], config["sessionPollingIntervalSeconds"]) == (30, 2.5)
        assert config["modes"] == set_["modes"]
        assert len(cli(shop_front, "widget", "set", *own, "--poll-seconds", "5")["modes"]) == 2
        assert cli(shop_front, "widget", "set", *own, "--no-modes")["modes"] == []

    @pytest.mark.parametrize("given", [["--poll-seconds", "0"], ["--list-seconds", "1e9"], ["--mode", "just-an-id"]])
    def test_is_not_told_nonsense(self, shop_front: Workspace, given: list[str]) -> None:
        cli_refuses(shop_front, "widget", "set", "-w", shop_front.id, *given)


class TestDoctor:
    def test_recommends_locks_for_what_contacts_are_given(self, shop_front: Workspace, tmp_path: Path) -> None:
        file = tmp_path / "actions.toml"
        file.write_text('[[actions]]\nname = "look"\nmethod = "GET"\nurl_template = "https://shop.example.com/"\n')
        cli(shop_front, "action", "apply", str(file), "-w", shop_front.id)
        overrides = {"headers": {"Authorization": "Bearer swordfish"}, "query_params": {"account_id": "7"}}
        shop_front.sign_in(http_action_overrides=overrides)
        [found] = [found for found in checks(shop_front, "action_locks") if shop_front.id in found["message"]]
        assert found["grade"] == "unwise"
        assert "Authorization" in found["message"]
        assert "swordfish" not in found["message"]
        locks = '[policy]\nlocked.message = ["authorization", "account-id"]\n'
        file.write_text(file.read_text() + locks)
        cli(shop_front, "action", "apply", str(file), "-w", shop_front.id)
        assert not [found for found in checks(shop_front, "action_locks") if shop_front.id in found["message"]]

    def test_warns_of_private_networks(self, shop_front: Workspace) -> None:
        [found] = checks(shop_front, "private_hosts")
        assert (found["grade"], "127.0.0.0/8" in found["message"]) == ("unwise", True)


def checks(workspace: Workspace, name: str) -> list[dict[str, Any]]:
    """What the doctor says of one thing. It also looks at the workspaces of other tests, and may not like them."""
    env = workspace.installation.server.settings
    done = CliRunner().invoke(app, ["doctor", "--json"], env=env)
    assert done.exit_code in {0, 1}, done.output
    return [found for found in json.loads(done.stdout)["items"] if found["check"] == name]
