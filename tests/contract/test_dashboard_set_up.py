from __future__ import annotations

import html
import re
import secrets

import httpx
import pytest

from tests.fixtures.fake_provider import FakeProvider
from tests.fixtures.front_door import Installation, Workspace
from tests.fixtures.puzzel import Front
from tests.fixtures.staff import Member, refused, signed_in
from vestibule.administration import actions, auth_endpoints, identity_providers, responders, workspaces
from vestibule.clock import HOUR_MS, now_ms
from vestibule.model.action import ActionDeclaration
from vestibule.model.identity_provider import IdentityProvider
from vestibule.model.responder import ResponderKind
from vestibule.model.staff import Role

SHARED = secrets.token_urlsafe(48)
ANY = "00000000-0000-7000-8000-000000000000"
PAGES = (
    "/set-up",
    "/set-up/server",
    "/set-up/providers",
    "/set-up/providers/new",
    "/set-up/auth-endpoint",
    "/set-up/widget",
    "/set-up/responder",
)
FORMS = (
    "/set-up/server",
    f"/set-up/server/{ANY}/rotate",
    f"/set-up/server/{ANY}/revoke",
    "/set-up/providers/new",
    "/set-up/providers/1",
    "/set-up/providers/1/switch",
    "/set-up/providers/1/move",
    "/set-up/providers/1/remove",
    "/set-up/auth-endpoint",
    "/set-up/auth-endpoint/rotate",
    "/set-up/auth-endpoint/forget",
    "/set-up/auth-endpoint/remove",
    "/set-up/widget",
    "/set-up/widget/access",
    "/set-up/widget/rotate",
    "/set-up/responder",
    "/set-up/responder/rotate",
    "/set-up/responder/forget",
    "/set-up/responder/action",
)


@pytest.fixture(scope="module", params=["sqlite"])
def engine(request: pytest.FixtureRequest) -> str:
    """What these pages call is tried on both engines where it belongs."""
    name: str = request.param
    return name


@pytest.fixture
def workspace(installation: Installation) -> Workspace:
    return installation.workspace()


@pytest.fixture
def admin(workspace: Workspace) -> Member:
    return signed_in(workspace, Role.ADMIN)


def filled(member: Member, page: str, action: str) -> dict[str, str]:
    """What a browser would send from the form of that action, if nothing were changed in it."""
    text = member.get(page).text
    form = text.partition(f'action="/dashboard{action}"')[2].partition("</form>")[0]
    assert form, f"no form for {action}"
    found = dict(re.findall(r'<input [^>]*?name="([^"]+)" value="([^"]*)"', form))
    found |= dict(re.findall(r'<textarea [^>]*?name="([^"]+)"[^>]*>\n([^<]*)</textarea>', form))
    found |= dict.fromkeys(re.findall(r'<input type="checkbox"[^>]*? name="([^"]+)" checked', form), "on")
    for name, options in re.findall(r'<select [^>]*?name="([^"]+)"[^>]*>(.*?)</select>', form):
        chosen = re.search(r"<option selected>([^<]*)", options)
        found[name] = chosen[1] if chosen else ""
    return {name: html.unescape(value) for name, value in found.items()}


def beside(answer: httpx.Response, name: str) -> str:
    """What is said to be wrong beside a field."""
    found = re.search(rf'id="[a-z]+-{re.escape(name)}-problem">([^<]*)', answer.text)
    return found[1] if found else ""


def problems_in(answer: httpx.Response) -> list[str]:
    return re.findall(r'(?:role="alert"|-problem")>([^<]*)', answer.text)


def provider_of(workspace: Workspace) -> list[IdentityProvider]:
    installation = workspace.installation
    return list(installation.run(identity_providers.list_all(installation.desk, workspace.id)))


def test_only_who_may_change_gets_there(workspace: Workspace) -> None:
    for role in (Role.VIEWER, Role.RESPONDER):
        member = signed_in(workspace, role)
        assert "/dashboard/set-up" not in member.get().text
        for path in PAGES:
            refused(member.get(path), 403, "role_required")
        for path in FORMS:
            refused(member.post(path), 403, "role_required")
    nobody = Member(workspace, Role.ADMIN)
    for path in (*PAGES, *FORMS):
        assert nobody.post(path).status_code == 303 if path in FORMS else nobody.get(path).status_code == 303


def test_every_page_is_there_and_names_this_workspace(workspace: Workspace, admin: Member) -> None:
    for path in PAGES:
        answer = admin.get(path)
        assert answer.status_code == 200, (path, answer.text)
        assert 'aria-current="page"' in answer.text
        assert "style=" not in answer.text
    made = workspace.installation.run(workspaces.get(workspace.installation.desk, workspace.id))
    assert made.widget_token in admin.get("/set-up/widget").text
    assert made.customer_id in admin.get("/set-up/providers").text
    assert f"{workspace.installation.base_url}/widget/authenticate-user" in admin.get("/set-up/server").text


def test_no_form_of_another_site_or_workspace_changes_anything(workspace: Workspace, admin: Member) -> None:
    for path in FORMS:
        refused(admin.post(path, {"origin": "https://evil.example"}), 403, "foreign_page")
    stranger = signed_in(workspace.installation.workspace())
    version = filled(admin, "/set-up/server", f"/set-up/server/{workspace.key_id}/revoke")["version"]
    for do in ("rotate", "revoke"):
        refused(stranger.post(f"/set-up/server/{workspace.key_id}/{do}", version=version), 404, "not_found")
    assert workspace.authenticate(email="a@example.com").status_code == 200


MARKUP = "<script>alert(1)</script>\"'&{{7*7}}"
HOSTILE = (MARKUP, "\0", "\ud7ff\ufffe\u202e", "-1", "9" * 9, "x" * 5_000, "\r\nset-cookie: a=b")


@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
def test_whatever_stands_in_a_field_is_refused_by_design(workspace: Workspace, admin: Member, text: str) -> None:
    fields: dict[str, tuple[str, ...]] = {"/set-up/server": ("name", "lifetime_days")}
    fields["/set-up/widget"] = ("allowed_origins", "poll_seconds", "list_seconds")
    for path in ("/set-up/providers/new", "/set-up/auth-endpoint", "/set-up/responder"):
        fields[path] = tuple(name for name in filled(admin, path, path) if name != "version")
    for path, names in fields.items():
        for some in (names, names[::2], names[1::2], names[::5]):
            answer = admin.post(path, **{**filled(admin, path, path), **dict.fromkeys(some, text)})
            assert answer.status_code in {200, 303, 400, 409}, (path, some, answer.text)
            assert "<script>alert" not in answer.text
            assert "set-cookie" not in answer.headers
    assert admin.get("/set-up").status_code == 200
    assert len(workspace.contacts()) == 0


class TestServerToServer:
    def test_a_key_is_shown_once_and_works(self, workspace: Workspace, admin: Member) -> None:
        answer = admin.post("/set-up/server", name="shop", lifetime_days="30", **{"scope:widget:authenticate": "on"})
        assert answer.status_code == 200
        [key] = set(re.findall(r"vst_key_[0-9A-Za-z]{71}", answer.text))
        workspace.api_key = key
        workspace.sign_in("grace@example.com")
        page = admin.get("/set-up/server")
        assert key not in page.text
        assert "shop" in page.text
        assert "1</b> let in" in page.text
        assert "ends <time" in page.text

    def test_what_is_wrong_stands_beside_its_field(self, admin: Member) -> None:
        answer = admin.post("/set-up/server", name="my <name>", lifetime_days="0")
        assert answer.status_code == 400
        assert "1 to 3650" in beside(answer, "lifetime_days")
        assert 'value="my &lt;name&gt;"' in answer.text
        assert "must be one or more of" in beside(admin.post("/set-up/server", name="x"), "scope")
        assert "whole number" in beside(admin.post("/set-up/server", lifetime_days="soon"), "lifetime_days")
        assert "NUL" in beside(admin.post("/set-up/server", name="a\0b"), "name")

    def test_a_key_is_rotated_and_revoked(self, workspace: Workspace, admin: Member) -> None:
        path = f"/set-up/server/{workspace.key_id}"
        form = filled(admin, "/set-up/server", f"{path}/rotate")
        assert admin.post(f"{path}/rotate", **{**form, "overlap_hours": "many"}).status_code == 400
        answer = admin.post(f"{path}/rotate", **{**form, "overlap_hours": "2"})
        assert "vst_key_" in answer.text
        assert "ending" in admin.shown("/set-up/server")
        [(ends,)] = workspace.installation.rows("SELECT revoked_at FROM api_keys WHERE id = $1", workspace.key_id)
        assert abs(ends - now_ms() - 2 * HOUR_MS) < 60_000
        # The form that was open before has not seen that.
        refused(admin.post(f"{path}/revoke", **form), 412, "stale_edit")
        assert workspace.authenticate(email="a@example.com").status_code == 200
        assert admin.post(f"{path}/revoke", **filled(admin, "/set-up/server", f"{path}/revoke")).status_code == 303
        assert "revoked" in admin.shown("/set-up/server")


class TestProviders:
    def test_added_and_reached_by_issuer_and_client_alone(self, front: Front, fake: FakeProvider) -> None:
        workspace = front.workspace
        for provider in provider_of(workspace):
            workspace.installation.cli("provider", "remove", str(provider.id), "-w", workspace.id)
        admin = signed_in(workspace, Role.ADMIN)
        form = filled(admin, "/set-up/providers/new", "/set-up/providers/new")
        given = {**form, "name": "Sign-in", "issuer": fake.issuer, "client_ids": "shop\r\nshop-2"}
        answer = admin.post("/set-up/providers/new", **given)
        assert answer.status_code == 303, problems_in(answer)
        [made] = provider_of(workspace)
        assert (made.name, made.client_ids, made.discovery) == ("Sign-in", ("shop", "shop-2"), True)
        # Everything that was not touched has its default, as if the command line had added it.
        assert made.claims == type(made.claims)()
        assert (made.longest_life, made.access_token_marks) == (86_400, ("scope", "scp", "client_id", "cid"))
        page = admin.shown("/set-up/providers")
        assert "reachable 1 usable key" in page

    def test_every_problem_beside_its_field_and_what_was_typed_kept(self, workspace: Workspace, admin: Member) -> None:
        form = filled(admin, "/set-up/providers/new", "/set-up/providers/new")
        given = {**form, "issuer": "http://x.example", "leeway": "9999", "claims.custom": "no pair"}
        answer = admin.post("/set-up/providers/new", **given)
        assert answer.status_code == 400
        assert "name = claim" in beside(answer, "claims-custom")
        answer = admin.post("/set-up/providers/new", **{**given, "claims.custom": "plan = tier", "mask": ""})
        assert beside(answer, "name")
        assert "https" in beside(answer, "issuer")
        assert "0 to 300" in beside(answer, "leeway")
        assert "client ids" in beside(answer, "client_ids")
        assert "plan = tier" in answer.text
        assert "<details open><summary>What tokens must be" in answer.text
        assert beside(admin.post("/set-up/providers/new", **{**given, "leeway": ""}), "leeway") == "is required"
        assert provider_of(workspace) == []

    def test_changed_switched_moved_and_removed(self, workspace: Workspace, admin: Member) -> None:
        for name in ("one", "two"):
            form = filled(admin, "/set-up/providers/new", "/set-up/providers/new")
            given = {"name": name, "issuer": f"https://{name}.example", "client_ids": "c", "algorithms": "HS256"}
            secret = {"shared_secret": SHARED}
            answer = admin.post("/set-up/providers/new", **{**form, **given, **secret})
            assert answer.status_code == 303, problems_in(answer)
        one, two = (provider.id for provider in provider_of(workspace))
        path = f"/set-up/providers/{one}"
        assert SHARED not in admin.get(path).text
        form = filled(admin, path, path)
        assert admin.post(path, **{**form, "name": "first", "longest_life": "600"}).status_code == 303
        [first, _] = provider_of(workspace)
        assert (first.name, first.longest_life, first.shared_secret) == ("first", 600, SHARED)
        stale = admin.post(path, **{**form, "name": "late"})
        refused(stale, 412, "stale_edit")
        assert f'href="/dashboard{path}"' in stale.text
        order = filled(admin, "/set-up/providers", f"{path}/move")
        assert admin.post(f"{path}/move", **{**order, "place": "2"}).status_code == 303
        assert [provider.id for provider in provider_of(workspace)] == [two, one]
        refused(admin.post(f"{path}/move", **{**order, "place": "2"}), 412, "stale_edit")
        off = filled(admin, "/set-up/providers", f"{path}/switch")
        assert admin.post(f"{path}/switch", **off).status_code == 303
        assert not provider_of(workspace)[1].enabled
        assert admin.post(f"{path}/remove", **filled(admin, path, f"{path}/remove")).status_code == 303
        assert [provider.id for provider in provider_of(workspace)] == [two]
        for number in ("0", "99", "x", "1" * 20):
            refused(admin.get(f"/set-up/providers/{number}"), 404, "not_found")

    def test_one_that_cannot_be_reached_says_so(self, front: Front) -> None:
        admin = signed_in(front.workspace, Role.ADMIN)
        form = filled(admin, "/set-up/providers/new", "/set-up/providers/new")
        given = {"name": "away", "issuer": "http://127.0.0.1:9", "client_ids": "c"}
        assert admin.post("/set-up/providers/new", **{**form, **given}).status_code == 303
        assert "not reachable" in admin.shown("/set-up/providers")


class TestAuthEndpoint:
    def test_set_rotated_and_removed(self, workspace: Workspace, admin: Member) -> None:
        path = "/set-up/auth-endpoint"
        form = filled(admin, path, path)
        given = {**form, "url": "https://shop.example/who?key=s3cret", "header_token": "t0ken", "fields:email": "on"}
        answer = admin.post(path, **given)
        assert answer.status_code == 200, answer.text
        [secret] = re.findall(r"whsec_[0-9A-Za-z+/=]+", answer.text)
        page = admin.get(path).text
        assert not {"s3cret", "t0ken", secret} & {part for part in ("s3cret", "t0ken", secret) if part in page}
        desk = workspace.installation.desk
        # Saved as it is shown: what is not shown stays.
        assert admin.post(path, **{**filled(admin, path, path), "cache_seconds": "5"}).status_code == 303
        kept = workspace.installation.run(auth_endpoints.read(desk, workspace.id))
        assert (kept.url, kept.header_token) == ("https://shop.example/who?key=s3cret", "t0ken")
        assert (kept.cache_seconds, kept.fields) == (5, ("email",))
        moved = admin.post(path, **{**filled(admin, path, path), "url": "https://evil.example/"})
        assert "must be given again" in beside(moved, "header_token")
        rotated = admin.post(f"{path}/rotate", **filled(admin, path, f"{path}/rotate"))
        assert secret not in rotated.text
        assert "whsec_" in rotated.text
        assert "Two sign" in admin.shown(path)
        assert admin.post(f"{path}/forget", **filled(admin, path, f"{path}/forget")).status_code == 303
        cleared = {**filled(admin, path, path), "clear:header_token": "on"}
        assert admin.post(path, **cleared).status_code == 303
        refused(admin.post(path, **cleared), 412, "stale_edit")
        kept = workspace.installation.run(auth_endpoints.read(desk, workspace.id))
        assert (kept.header_token, len(kept.secrets)) == ("", 1)
        assert admin.post(f"{path}/remove", **filled(admin, path, f"{path}/remove")).status_code == 303
        assert workspace.installation.run(auth_endpoints.read(desk, workspace.id)).url == ""

    def test_every_problem_beside_its_field(self, admin: Member) -> None:
        path = "/set-up/auth-endpoint"
        given = {"url": "ftp://x", "header_name": "Host", "country_code": "Atlantis", "header_token": "secret one"}
        answer = admin.post(path, **{**filled(admin, path, path), **given})
        assert answer.status_code == 400
        assert all(beside(answer, name) for name in ("url", "header_name", "country_code"))
        assert 'value="Atlantis"' in answer.text
        assert "secret one" not in answer.text, "a secret is typed again"


class TestWidget:
    def test_pages_pace_and_who_comes_in(self, workspace: Workspace, admin: Member) -> None:
        path = "/set-up/widget"
        given = {"allowed_origins": "https://shop.example\r\nhttps://*.shop.example", "poll_seconds": "2.5"}
        form = filled(admin, path, path)
        assert admin.post(path, **{**form, **given}).status_code == 303
        desk = workspace.installation.desk
        kept = workspace.installation.run(responders.read_widget(desk, workspace.id))
        assert kept.allowed_origins == ("https://shop.example", "https://*.shop.example")
        assert (kept.poll_seconds, kept.list_seconds) == (2.5, 60)
        refused(admin.post(path, **{**form, **given}), 412, "stale_edit")
        wrong = {**filled(admin, path, path), "allowed_origins": "shop.example", "poll_seconds": "0"}
        assert "as a browser writes it" in beside(admin.post(path, **wrong), "allowed_origins")
        assert beside(admin.post(path, **{**wrong, "poll_seconds": "often"}), "poll_seconds") == "must be a number"
        access = {**filled(admin, path, f"{path}/access"), "required_login": "on", "domains": "Shop.Example"}
        answer = admin.post(f"{path}/access", **access)
        assert answer.status_code == 200, "the first save makes a signing secret"
        assert "whsec_" in answer.text
        entry = workspace.installation.run(auth_endpoints.read(desk, workspace.id))
        assert (entry.required_login, entry.domains) == (True, ("shop.example",))
        bad = {**filled(admin, path, f"{path}/access"), "domains": "https://x"}
        assert "host names" in beside(admin.post(f"{path}/access", **bad), "domains")

    def test_another_token(self, admin: Member) -> None:
        path = "/set-up/widget"
        before = filled(admin, path, f"{path}/rotate")
        assert admin.post(f"{path}/rotate", **before).status_code == 303
        refused(admin.post(f"{path}/rotate", **before), 412, "stale_edit")


class TestResponder:
    def test_actions_are_switched_and_removed(self, workspace: Workspace, admin: Member) -> None:
        path, desk = "/set-up/responder", workspace.installation.desk
        made = ActionDeclaration(name="orders", method="GET", url_template="https://api.example/orders")
        workspace.installation.run(actions.put(desk, workspace.id, made, form=False))
        page = admin.get(path).text
        assert "GET https://api.example/orders" in page
        form = {**filled(admin, path, f"{path}/action"), "name": "orders"}
        assert admin.post(f"{path}/action", **form, do="disable").status_code == 303
        assert not workspace.installation.run(actions.get(desk, workspace.id, "orders")).enabled
        refused(admin.post(f"{path}/action", **form, do="remove"), 412, "stale_edit")
        form = {**filled(admin, path, f"{path}/action"), "name": "orders"}
        assert admin.post(f"{path}/action", **form).status_code == 400
        assert admin.post(f"{path}/action", **form, do="remove").status_code == 303
        refused(admin.post(f"{path}/action", **form, do="remove"), 404, "not_found")

    def test_set_and_secrets_kept(self, workspace: Workspace, admin: Member) -> None:
        path = "/set-up/responder"
        form = filled(admin, path, path)
        assert admin.post(path, **form).status_code == 303
        wrong = admin.post(path, **{**form, "kind": "openai", "url": "https://x.example/v1", "timeout_ms": "1"})
        assert beside(wrong, "model")
        assert "1 to 90 seconds" in beside(wrong, "timeout_ms")
        given = {"kind": "openai", "url": "https://x.example/v1?k=unseen", "model": "m", "api_key": "k3y"}
        assert admin.post(path, **{**form, **given, "instructions": "Be brief.\r\nBe kind."}).status_code == 303
        page = admin.get(path).text
        assert "k3y" not in page
        assert "unseen" not in page
        assert admin.post(path, **{**filled(admin, path, path), "model": "m2"}).status_code == 303
        kept = workspace.installation.run(responders.read(workspace.installation.desk, workspace.id))
        assert (kept.kind, kept.model, kept.api_key) == (ResponderKind.OPENAI, "m2", "k3y")
        assert (kept.url, kept.instructions) == ("https://x.example/v1?k=unseen", "Be brief.\nBe kind.")
        hook = {**filled(admin, path, path), "kind": "webhook", "url": "https://bot.example/hook"}
        answer = admin.post(path, **hook)
        assert "whsec_" in answer.text
        assert "whsec_" in admin.post(f"{path}/rotate", **filled(admin, path, f"{path}/rotate")).text
        assert admin.post(f"{path}/forget", **filled(admin, path, f"{path}/forget")).status_code == 303
        refused(admin.post(path, **hook), 412, "stale_edit")
