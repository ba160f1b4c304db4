"""examples/auth-endpoint: the customer's server as its README starts it, and a Vestibule that asks it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator

import httpx
import pytest

from tests.conftest import TEST_SETTINGS
from tests.fixtures.example_endpoint import SCRIPT, TOKEN, example
from tests.fixtures.server import WorkspaceServer


@pytest.fixture(scope="module")
def vestibule(secret_key: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WorkspaceServer]:
    directory = tmp_path_factory.mktemp("example")
    settings = {
        **TEST_SETTINGS,
        "VESTIBULE_DATABASE_URL": f"sqlite:///{directory}/vestibule.db",
        "VESTIBULE_SECRET_KEYS": secret_key,
        "VESTIBULE_PRIVATE_HOSTS": "127.0.0.0/8",
    }
    with WorkspaceServer(settings, directory) as running:
        running.make_workspace("Acme")
        yield running


def configure(vestibule: WorkspaceServer, url: str, form: str, token: str = TOKEN) -> dict[str, object]:
    path = vestibule.directory / "header-token.txt"
    path.write_text(token)
    return vestibule.cli(
        "auth-endpoint", "set", "--workspace", vestibule.workspace_id, "--url", url,
        "--header-token-file", str(path), "--header-form", form, "--cache", "0s",
    )  # fmt: skip


def tried(vestibule: WorkspaceServer, token: str) -> httpx.Response:
    body = {"customer_id": vestibule.customer_id, "user_token": token}
    return httpx.post(f"{vestibule.base_url}/v1/visitors/authenticate", json=body, trust_env=False, timeout=10)


@pytest.mark.parametrize("form", ["{token} Bearer", "Bearer {token}", "{token}"])
def test_every_form_of_the_header_is_accepted(vestibule: WorkspaceServer, form: str) -> None:
    with example() as url:
        configure(vestibule, url, form)
        trial = vestibule.cli(
            "auth-endpoint", "test", "--workspace", vestibule.workspace_id, "--user-token", "session-of-grace"
        )
        assert (trial["verdict"], trial["keys"]["id"]) == ("accepted", "4711")


def test_a_page_signs_in_and_the_signature_is_checked(vestibule: WorkspaceServer) -> None:
    vestibule.cli("auth-endpoint", "remove", "--workspace", vestibule.workspace_id)
    with example() as url:
        secret = str(configure(vestibule, url, "{token} Bearer")["secret"])
    with example(WEBHOOK_SECRET=secret) as url:
        configure(vestibule, url, "{token} Bearer")
        time.sleep(2.1)  # until the server looks at the settings anew
        assert tried(vestibule, "session-of-grace").json()["contact"]["verified"] is True
        assert tried(vestibule, "nobody").json()["code"] == "auth_rejected"
        plain = {"headers": {"authorization": f"{TOKEN} Bearer"}, "json": {"access_token": "session-of-grace"}}
        assert httpx.post(url, **plain, trust_env=False).status_code == 401  # type: ignore[arg-type]
        wrong = httpx.post(url, json={"access_token": "session-of-grace"}, trust_env=False)
        assert wrong.json() == {"status": False, "message": "wrong header token"}


def test_it_does_not_start_open() -> None:
    done = subprocess.run(
        [sys.executable, str(SCRIPT)], env={"PATH": os.environ["PATH"]}, capture_output=True, timeout=10, check=False
    )
    assert done.returncode != 0
