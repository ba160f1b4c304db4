"""A name is judged when it is called, by what the machine's own resolver says of it then: by a running server, at every
place where an operator may write a URL for it. A server for one private network lets names of this machine be written
down; one with a hosts file of its own sees a name mean something else than before (DNS rebinding)."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.fixtures.admin import Admin
from tests.fixtures.fake_auth_endpoint import show
from tests.fixtures.front_door import Installation, Workspace
from tests.fixtures.loopback import Answer, Loopback, Received, json_answer
from tests.fixtures.responding import eventually
from tests.fixtures.server import RunningServer
from tests.fixtures.siege import Canary
from tests.fixtures.widget import anonymous, new_uuid
from vestibule.conversations.messages import Draft, append
from vestibule.model.conversation import Sender, Trust
from vestibule.responder import action_desk
from vestibule.storage import conversations as rows

# `$0` is a file and `$@` a command, for which the file is the hosts file.
WITH_HOSTS = ("unshare", "--mount", "sh", "-c", 'mount --bind "$0" /etc/hosts && exec "$@"')
NAME, HERE, ELSEWHERE = "rebound.example.com", "127.0.0.1", "127.0.0.2"


def by_user_token(workspace: Workspace) -> None:
    show(workspace, new_uuid())


def by_message(workspace: Workspace) -> None:
    device = anonymous(workspace)
    device.say(device.start())


def by_event(workspace: Workspace) -> None:
    anonymous(workspace).start()


def by_form(workspace: Workspace) -> None:
    """The responder's request for the form is put there beside the server: there is nobody who would answer."""
    device = anonymous(workspace)
    session_id = device.start()

    async def asked() -> tuple[str, str]:
        desk = workspace.installation.desk
        conversation = await rows.get(desk.store, workspace.id, session_id)
        assert conversation is not None
        [action] = await action_desk.actions_of(desk.store, workspace.id)
        form = action_desk.as_form(action, action_desk.Policy(), {})
        done = await append(desk, conversation, [Draft(Sender.AI, Trust.SYSTEM, text="x", action_calls=(form,))])
        return done.messages[-1].public_id, action.id

    message_id, action_id = workspace.installation.run(asked())
    given = {"sessionId": session_id, "formMessageId": message_id, "actionId": action_id}
    device.call("POST", "/action/execute", given)


@dataclass(frozen=True)
class Place:
    """Where a URL is written, how the metrics name its calls, and what makes the server call it."""

    method: str
    path: str
    body: Callable[[str], dict[str, Any]]
    purpose: str
    call: Callable[[Workspace], None]

    def write(self, workspace: Workspace, url: str) -> None:
        Admin(workspace.installation, workspace.id).do(self.method, self.path, self.body(url))

    def turned_away(self, installation: Installation) -> int:
        """How often the server has refused to call such a URL for its address."""
        label = f'vestibule_upstream_calls_total{{outcome="upstream_forbidden",purpose="{self.purpose}"}} '
        lines = installation.http.get("/metrics").text.splitlines()
        return sum(int(float(line.removeprefix(label))) for line in lines if line.startswith(label))


MODEL = {"kind": "openai", "model": "m", "api_key": "k"}
ACTION = {"name": "probe", "method": "GET", "required_trust": "unverified"}
PLACES = {
    "auth endpoint": Place("PATCH", "auth-endpoint", lambda url: {"url": url}, "auth_endpoint", by_user_token),
    "bot": Place("PATCH", "responder", lambda url: {"kind": "webhook", "url": url}, "responder", by_message),
    "model": Place("PATCH", "responder", lambda url: {**MODEL, "url": url}, "responder", by_message),
    "webhook": Place(
        "POST", "webhooks", lambda url: {"url": url, "events": ["conversation.started"]}, "webhook", by_event
    ),
    "action": Place("PUT", "actions/probe", lambda url: {**ACTION, "url_template": url}, "action", by_form),
}


@contextlib.contextmanager
def running(
    engine: str,
    request: pytest.FixtureRequest,
    given: Mapping[str, str],
    directory: Path,
    *,
    may_call: str,
    wrapper: Sequence[str] = (),
) -> Iterator[Installation]:
    """A server with a database of its own: processes that share one deliver each other's events."""
    url = f"sqlite:///{directory}/vestibule.db"
    if engine == "postgresql":
        url = request.getfixturevalue("postgres_server").new_database()
    settings = {**given, "VESTIBULE_DATABASE_URL": url, "VESTIBULE_PRIVATE_HOSTS": may_call}
    with RunningServer(settings, directory, wrapper=wrapper) as server, Installation(server) as made:
        yield made
    assert "unexpected" not in server.log(), server.log()[-20_000:]


def names_of_this_machine() -> list[str]:
    """Which its hosts file leads to loopback, so that nobody else is asked about them."""
    lines = [line.partition("#")[0].split() for line in Path("/etc/hosts").read_text(encoding="utf-8").splitlines()]
    local = {name for line in lines if line and line[0].startswith(("127.", "::1")) for name in line[1:]}
    return ["LocalHost", *sorted(name for name in local if re.fullmatch(r"[a-z0-9-]+(\.[a-z0-9-]+)*", name))[:3]]


@pytest.fixture(scope="module")
def inward(
    engine: str,
    session_settings: dict[str, str],
    tmp_path_factory: pytest.TempPathFactory,
    request: pytest.FixtureRequest,
) -> Iterator[Installation]:
    """It may call a network that is not here."""
    directory = tmp_path_factory.mktemp("inward")
    with running(engine, request, session_settings, directory, may_call="10.99.0.0/16") as made:
        yield made


@pytest.mark.parametrize("name", PLACES)
def test_a_name_of_this_machine_is_not_called(inward: Installation, canary: Canary, name: str) -> None:
    place = PLACES[name]
    urls = [f"{scheme}://{host}:{canary.port}/" for host in names_of_this_machine() for scheme in ("http", "https")]
    before = place.turned_away(inward)
    for url in urls:
        workspace = inward.workspace()  # one that has been looked up keeps its settings for a while
        place.write(workspace, url)
        place.call(workspace)
    eventually(lambda: place.turned_away(inward) - before >= len(urls))
    assert canary.calls == []


def means(hosts: Path, address: str) -> None:
    # In place: another file of this name would not be the one that is mounted.
    hosts.write_text(f"127.0.0.1 localhost\n{address} {NAME}\n", encoding="utf-8")


@pytest.fixture(scope="module")
def moving(
    engine: str,
    session_settings: dict[str, str],
    tmp_path_factory: pytest.TempPathFactory,
    request: pytest.FixtureRequest,
) -> Iterator[tuple[Installation, Path]]:
    """It may call one address, and has a hosts file of its own. Skips where it cannot be given one (it takes root)."""
    directory = tmp_path_factory.mktemp("moving")
    hosts = directory / "hosts"
    means(hosts, HERE)
    wrapper = (*WITH_HOSTS, str(hosts))
    mountable = os.geteuid() == 0 and shutil.which(wrapper[0]) is not None
    if not mountable or subprocess.run([*wrapper, "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("no file can be mounted here")
    with running(engine, request, session_settings, directory, may_call=f"{HERE}/32", wrapper=wrapper) as made:
        yield made, hosts


class Friend(Loopback):
    """Answers as an auth endpoint, a bot, a receiver of events and an API may."""

    def answer(self, request: Received) -> Answer:  # noqa: ARG002
        return json_answer({"status": True, "data": {"id": "u-1"}, "text": "hello"})


@pytest.mark.parametrize("name", PLACES)
def test_a_name_that_has_moved_since_is_not_called(moving: tuple[Installation, Path], name: str) -> None:
    (installation, hosts), place = moving, PLACES[name]
    workspace = installation.workspace()
    with Friend() as friend:
        port = urlsplit(friend.url).port or 0
        with socket.create_server((ELSEWHERE, port)) as canary:
            means(hosts, HERE)
            place.write(workspace, f"http://{NAME}:{port}/")
            place.call(workspace)
            friend.wait_for(1)
            known, before = len(friend.received), place.turned_away(installation)
            means(hosts, ELSEWHERE)
            place.call(workspace)
            eventually(lambda: place.turned_away(installation) > before)
            assert len(friend.received) == known
            canary.settimeout(0.2)
            with pytest.raises(TimeoutError):
                canary.accept()
