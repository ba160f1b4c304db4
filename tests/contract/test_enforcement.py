"""Visitors without proof are let in, warned or refused, as the workspace says: on every surface and every path, those
of earlier as well, and counted whichever it is."""

from __future__ import annotations

import json
import time
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest

from tests.fixtures.admin import Admin
from tests.fixtures.admin import refused as problem
from tests.fixtures.fake_auth_endpoint import FakeAuthEndpoint, configure, show
from tests.fixtures.fake_provider import FakeProvider
from tests.fixtures.front_door import Installation, Workspace
from tests.fixtures.native import Client
from tests.fixtures.puzzel import Front
from tests.fixtures.sample_files import GIF
from tests.fixtures.staff import refused, signed_in
from tests.fixtures.widget import OPERATIONS, anonymous, bot_token, new_uuid, unverified_token, verified
from vestibule.model.staff import Role

PAGE = "https://shop.example.com"
WIDGET, NATIVE, PUZZEL, CXGENIE = "opencx_widget", "native", "puzzel", "cxgenie"


class Attempt(NamedTuple):
    """One request of a visitor without proof, and what it is counted as."""

    surface: str
    reason: str
    method: str
    path: str
    body: Any = None
    files: Any = None


class Visitors:
    """One without proof on each surface, who came before the workspace changed its mind."""

    def __init__(self, front: Front) -> None:
        self.front, self.workspace = front, front.workspace
        self.device = anonymous(self.workspace)
        self.session = self.device.start()
        self.bearer, self.chat = front.visitor(), new_uuid()
        front.queue("support")
        assert front.route(self.chat, bearer=self.bearer).status_code == 200
        body = {"bot_id": self.workspace.id, "name": "Ada", "email": "ada@example.com"}
        self.begin = Attempt(CXGENIE, "arrive", "POST", "/api/v1/bot-sessions/guest-auth/start-bot-session", body)
        started = self.send(self.begin).json()["data"]
        self.app_token, self.customer = started["guest_token"], started["customer"]["id"]
        self.app_says = {"content": "hi", "customer_id": self.customer}
        self.app_rates = {"rating": "5", "customer_id": self.customer}

    def attempts(self) -> list[Attempt]:
        """Every call that somebody without proof can make, but for those that tell nobody's (config, hours) and those
        that prove."""
        return [*self._widget(), *self._native(), *self._puzzel(), *self._cxgenie(), *self._with_bad_forms()]

    def _widget(self) -> list[Attempt]:
        found = []
        for name, (method, path, body) in OPERATIONS.items():
            reason = "arrive" if name == "create-unverified" else "read" if method == "GET" else "write"
            text = json.dumps(body).replace("{id}", self.session)
            whole = "/backend/widget/v2" + path.replace("{id}", self.session)
            if name not in {"config", "resolve"}:
                found.append(Attempt(WIDGET, reason, method, whole, json.loads(text)))
        form = {"session_id": self.session, "id": new_uuid(), "arguments": {}}
        return [
            *found,
            Attempt(WIDGET, "write", "POST", "/backend/widget/v2/action/execute", form),
            Attempt(WIDGET, "write", "POST", "/backend/widget/v2/upload", None, {"file": ("a.gif", GIF)}),
            Attempt(WIDGET, "write", "POST", "/backend/widget/v2/session/resolve", {"session_id": new_uuid()}),
        ]

    def _native(self) -> list[Attempt]:
        one = f"/v1/conversations/{self.session}"
        return [
            Attempt(NATIVE, "arrive", "POST", "/v1/visitors", {"widget_token": bot_token(self.workspace)}),
            Attempt(NATIVE, "read", "GET", "/v1/me"),
            Attempt(NATIVE, "read", "GET", f"/v1/conversations?scope={self.device.scope}"),
            Attempt(NATIVE, "read", "GET", one),
            Attempt(NATIVE, "read", "GET", f"{one}/messages"),
            Attempt(NATIVE, "write", "POST", "/v1/conversations", {"scope": "x"}),
            Attempt(NATIVE, "write", "POST", f"{one}/messages", {"id": new_uuid(), "text": "hi"}),
            Attempt(NATIVE, "write", "POST", "/v1/files", None, {"file": ("a.gif", GIF)}),
            Attempt(NATIVE, "write", "POST", f"/v1/conversations/{new_uuid()}/resolve"),
        ]

    def _puzzel(self) -> list[Attempt]:
        one = f"/api/conversation/{self.chat}"
        return [
            Attempt(PUZZEL, "write", "POST", f"/api/conversation/{new_uuid()}/route/support"),
            Attempt(PUZZEL, "write", "PUT", f"{one}/route/support"),
            Attempt(PUZZEL, "write", "POST", f"{one}/message", {"text": "hi"}),
            Attempt(PUZZEL, "read", "GET", f"{one}/messages"),
        ]

    def _cxgenie(self) -> list[Attempt]:
        below = "/api/v1/messages/guest-auth"
        return [
            self.begin,
            Attempt(CXGENIE, "write", "POST", f"{below}/bot", self.app_says),
            Attempt(CXGENIE, "read", "GET", f"{below}/customer?customer_id={self.customer}"),
            Attempt(CXGENIE, "write", "POST", f"{below}/flows/feedbacks", self.app_rates),
            Attempt(
                CXGENIE, "write", "POST", "/api/v1/files/guest-auth/multiple-upload", None, {"files": ("a.gif", GIF)}
            ),
        ]

    def _with_bad_forms(self) -> list[Attempt]:
        """A client whose token was lost on the way shows nothing else, either: who may not come in is told that."""
        no_address, begin = {"email": "x" * 400}, "/api/v1/bot-sessions/guest-auth/start-bot-session"
        return [
            Attempt(WIDGET, "arrive", "POST", "/backend/widget/v2/contact/create-unverified", no_address),
            Attempt(
                NATIVE, "arrive", "POST", "/v1/visitors", {"widget_token": bot_token(self.workspace), **no_address}
            ),
            Attempt(CXGENIE, "arrive", "POST", begin, {"bot_id": self.workspace.id}),
        ]

    def send(self, attempt: Attempt) -> httpx.Response:
        tokens = {PUZZEL: self.bearer, CXGENIE: getattr(self, "app_token", "")}
        token = tokens.get(attempt.surface, self.device.token) if attempt.reason != "arrive" else ""
        headers = {"origin": PAGE, "x-bot-token": bot_token(self.workspace)}
        headers |= {"authorization": f"Bearer {token}"} if token else {}
        return self.workspace.installation.http.request(
            attempt.method, attempt.path, json=attempt.body, files=attempt.files, headers=headers
        )

    def counted(self) -> Counter[tuple[str, str, str, str]]:
        """By surface, reason, step and origin, as the admin API tells."""
        shown = Admin(self.workspace.installation, self.workspace.id).get("enforcement/preview")
        assert shown["total"] == sum(shown["by_surface"].values()) == sum(shown["by_reason"].values())
        return Counter(
            {
                (each["surface"], each["reason"], each["step"], each["origin"]): each["count"]
                for each in shown["items"]
                if each["origin"] == PAGE
            }
        )


@pytest.fixture
def visitors(front: Front) -> Visitors:
    return Visitors(front)


def seen() -> None:
    """Waits until every worker has looked at the settings anew."""
    time.sleep(2.1)


def set_to(workspace: Workspace, step: str) -> None:
    assert workspace.installation.cli("enforcement", "set", step, "-w", workspace.id) == {"step": step}


def code_of(answer: httpx.Response) -> str:
    body = answer.json()
    error = body.get("error")
    return str(body["code"] if "code" in body else error["code"] if isinstance(error, dict) else error)


def expected(attempts: list[Attempt], step: str) -> Counter[tuple[str, str, str, str]]:
    return Counter((each.surface, each.reason, step, PAGE) for each in attempts)


class TestEachStep:
    def test_observes_unless_told_otherwise(self, visitors: Visitors) -> None:
        before = visitors.counted()
        attempts = visitors.attempts()
        for attempt in attempts:
            answer = visitors.send(attempt)
            assert answer.status_code != 401, (attempt, answer.text)
            assert "vestibule-warning" not in answer.headers, attempt
        assert visitors.counted() - before == expected(attempts, "observe")

    def test_warns_on_every_path_and_refuses_nobody(self, visitors: Visitors) -> None:
        set_to(visitors.workspace, "warn")
        seen()
        before, attempts = visitors.counted(), visitors.attempts()
        for attempt in attempts:
            answer = visitors.send(attempt)
            assert answer.status_code != 401, (attempt, answer.text)
            assert answer.headers["vestibule-warning"] == "login_required", attempt
            assert "vestibule-warning" in answer.headers["access-control-expose-headers"].lower(), attempt
        assert visitors.counted() - before == expected(attempts, "warn")
        ada = verified(visitors.workspace)
        assert "vestibule-warning" not in ada.call("POST", "/create-session", {}).headers
        native = Client(visitors.workspace, visitors.device.token)
        with native.stream(visitors.session) as stream:
            assert stream.response.headers["vestibule-warning"] == "login_required"

    def test_enforces_on_every_path(self, visitors: Visitors, fake: FakeProvider) -> None:
        native = Client(visitors.workspace, visitors.device.token)
        with native.stream(visitors.session) as stream:
            stream.next("conversation")
            set_to(visitors.workspace, "enforce")
            stream.rest()  # it ends by itself
        seen()
        before, attempts = visitors.counted(), visitors.attempts()
        for attempt in attempts:
            answer = visitors.send(attempt)
            assert (answer.status_code, code_of(answer)) == (401, "login_required"), (attempt, answer.text)
        assert visitors.counted() - before == expected(attempts, "enforce")
        assert native.call("GET", f"/v1/conversations/{visitors.session}/events").status_code == 401
        # Whoever proves themselves gets in, also in the chat that they began without.
        ada = verified(visitors.workspace)
        assert ada.call("POST", "/create-session", {}).status_code == 201
        front = visitors.front
        proof = front.proof(fake.id_token())
        assert front.set_identity(visitors.chat, proof, bearer=visitors.bearer).status_code == 200
        assert front.say(visitors.chat, "as myself", bearer=visitors.bearer).status_code == 201
        assert front.messages(visitors.chat, bearer=visitors.bearer)
        body = {"contact_token": ada.token}
        assert native.call("POST", f"/v1/conversations/{visitors.session}/identity", body).status_code == 200
        assert native.call("POST", "/v1/me/sign-out").status_code == 204

    def test_a_guest_by_fallback_is_one_without_proof(self, front: Front) -> None:
        workspace = front.workspace
        with FakeAuthEndpoint({}) as endpoint:
            configure(workspace, endpoint, fallback="guest")
        set_to(workspace, "warn")
        answer = show(workspace, "somebody")
        assert (answer.status_code, answer.headers["vestibule-warning"]) == (200, "login_required")
        set_to(workspace, "enforce")
        seen()
        assert show(workspace, "somebody").status_code >= 500
        reasons = Admin(workspace.installation, workspace.id).get("enforcement/preview")["by_reason"]
        assert reasons == {"fallback": 2}


class TestSettingIt:
    @pytest.fixture
    def workspace(self, responding: Installation) -> Workspace:
        return responding.workspace()

    def test_is_the_auth_endpoint_s_required_login(self, workspace: Workspace) -> None:
        admin = Admin(workspace.installation, workspace.id)
        assert admin.get("enforcement") == {"step": "observe"}
        set_to(workspace, "enforce")
        assert admin.get("auth-endpoint")["required_login"] is True
        configure(workspace, required_login=False)
        assert admin.get("enforcement") == {"step": "observe"}
        set_to(workspace, "warn")
        assert admin.get("auth-endpoint")["required_login"] is False
        configure(workspace, required_login=True)
        assert admin.get("enforcement") == {"step": "enforce"}
        configure(workspace, required_login=False)
        assert admin.get("enforcement") == {"step": "observe"}, "and not warn again"

    def test_by_the_admin_api(self, workspace: Workspace) -> None:
        admin = Admin(workspace.installation, workspace.id)
        tag = admin.call("GET", "enforcement").headers["etag"]
        assert admin.do("PATCH", "enforcement", {"step": "warn"}, **{"if-match": tag}) == {"step": "warn"}
        problem(admin.call("PATCH", "enforcement", {"step": "enforce"}, {"if-match": tag}), 412, "stale_edit")
        problem(admin.call("PATCH", "enforcement", {"step": "maybe"}), 400, "invalid_field")
        problem(admin.call("PATCH", "enforcement", {}), 400, "invalid_field")
        reader = Admin(workspace.installation, workspace.id, ("admin:read",))
        problem(reader.call("PATCH", "enforcement", {"step": "enforce"}), 403, "insufficient_scope")
        stranger = Admin(workspace.installation, workspace.installation.workspace().id)
        problem(stranger.call("GET", f"/workspaces/{workspace.id}/enforcement"), 404, "not_found")
        [changed] = admin.get("audit", action="enforcement.set")["items"]
        assert changed["detail"] == "observe to warn"

    def test_by_a_file(self, workspace: Workspace, tmp_path: Path) -> None:
        file = tmp_path / "workspace.toml"
        run = workspace.installation.command
        file.write_text('[workspace]\nenforcement = "warn"\n', encoding="utf-8")
        [difference] = run("workspace", "diff", str(file), "-w", workspace.id, "--json").json["differences"]
        assert difference == {"place": "workspace.enforcement", "before": "observe", "after": "warn"}
        assert run("workspace", "apply", str(file), "-w", workspace.id, "--json").json["differences"]
        assert not run("workspace", "apply", str(file), "-w", workspace.id, "--json").json["differences"]
        assert 'enforcement = "warn"' in run("workspace", "export", workspace.id).stdout
        file.write_text('[workspace]\nname = "x"\nenforcement = "maybe"\n', encoding="utf-8")
        run("workspace", "apply", str(file), "-w", workspace.id, "--json").refused(
            "invalid_declaration", names="line 3: workspace.enforcement"
        )

    def test_by_the_dashboard(self, workspace: Workspace) -> None:
        member = signed_in(workspace, Role.ADMIN)
        unverified_token(workspace)
        assert "Enforcing would have refused 1 request" in member.shown("/coverage")
        answer = member.post("/coverage/enforcement", step="warn")
        assert answer.headers["location"] == "/dashboard/coverage?done=enforcement"
        assert Admin(workspace.installation, workspace.id).get("enforcement") == {"step": "warn"}
        refused(member.post("/coverage/enforcement", step="maybe"), 400, "invalid_field")
        viewer = signed_in(workspace, Role.RESPONDER)
        refused(viewer.post("/coverage/enforcement", step="observe"), 403, "role_required")


def test_the_audit_and_the_metrics_tell_of_a_warning(front: Front) -> None:
    workspace = front.workspace
    set_to(workspace, "warn")
    unverified_token(workspace)
    admin = Admin(workspace.installation, workspace.id)
    [entry] = admin.get("audit", outcome="warned")["items"]
    assert (entry["method"], entry["code"]) == ("unverified", "login_required")
    assert admin.get("coverage")["by_outcome"] == {"warned": 1}
    shown = workspace.installation.http.get("/metrics").text
    sample = 'vestibule_unverified_requests_total{reason="arrive",step="warn",surface="opencx_widget"}'
    assert any(line.startswith(sample) for line in shown.splitlines())
    told = workspace.installation.cli("enforcement", "show", "-w", workspace.id, "--since", "2h")
    assert (told["step"], told["total"], told["by_reason"]) == ("warn", 1, {"arrive": 1})
