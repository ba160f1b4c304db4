"""The production set-up of deploy/ on this machine: three nodes, PostgreSQL with a streaming standby, Valkey, a bucket
and HAProxy, under mixed load. It starts once; the tests tell one story, in their order."""

from __future__ import annotations

import re
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.conftest import TEST_SETTINGS
from tests.fixtures.balancer import Balancer
from tests.fixtures.fake_provider import FakeProvider
from tests.fixtures.front_door import Installation
from tests.fixtures.object_store import ObjectStore
from tests.fixtures.postgres import PostgresServer
from tests.fixtures.puzzel import Front
from tests.fixtures.server import RunningServer, free_port
from tests.fixtures.standby import PostgresStandby
from tests.fixtures.valkey import ValkeyServer
from tests.integration.nodes.load import Load
from vestibule.storage.opening import SCHEMA_VERSION

_ROOT = Path(__file__).parent.parent.parent.parent
_VERSION = "SELECT version_num FROM alembic_version"
_NODES = 4  # places at the balancer; three of them are taken at first


class Cluster:
    """All of it. `nodes` are numbered as at the balancer."""

    def __init__(self, directory: Path, secret_key: str, stack: ExitStack) -> None:
        self._directory = directory
        self._stack = stack
        self.primary = stack.enter_context(PostgresServer(shipped_settings()))
        url = self.primary.new_database()
        self.standby = stack.enter_context(PostgresStandby(self.primary))
        self.valkey = stack.enter_context(ValkeyServer())
        self.store = stack.enter_context(ObjectStore())
        self.ports = [free_port() for _ in range(_NODES)]
        self.balancer = stack.enter_context(Balancer(directory, self.ports))
        self.settings = {
            **TEST_SETTINGS,
            **self.store.settings,
            "VESTIBULE_DATABASE_URL": url.replace("@127.0.0.1:", f"@127.0.0.1:{self.primary.port},127.0.0.1:").replace(
                f",127.0.0.1:{self.primary.port}/", f",127.0.0.1:{self.standby.port}/"
            ),
            "VESTIBULE_SECRET_KEYS": secret_key,
            "VESTIBULE_VALKEY_URL": self.valkey.url,
            "VESTIBULE_PUBLIC_URL": self.balancer.url,
            "VESTIBULE_PRIVATE_HOSTS": "127.0.0.0/8",
            "VESTIBULE_RATE_LIMIT_UPLOADS": "100000",
        }
        self.nodes: dict[int, RunningServer] = {}
        self.before: Path | None = None  # the release that the nodes run at first; without one it is this one
        self.why_not = ""  # why there is none

    def start(self, *numbers: int, source: Path | None = None) -> None:
        """At once, as after a power cut."""
        for number in numbers:
            directory = self._directory / f"node-{number}"
            directory.mkdir(exist_ok=True)
            node = RunningServer(self.settings, directory, source=source)
            node.port = self.ports[number - 1]
            self.nodes[number] = node
            self._stack.callback(node.kill)
        with ThreadPoolExecutor(_NODES) as pool:
            list(pool.map(lambda number: self.nodes[number].start(), numbers))


def shipped_settings() -> dict[str, str]:
    """deploy/postgresql.conf, but for what needs other machines, and the standby, which is not there yet."""
    text = (_ROOT / "deploy" / "postgresql.conf").read_text(encoding="utf-8")
    given = dict(re.findall(r"^(\w+) = '?([^'#\n]*?)'?\s*(?:#.*)?$", text, re.MULTILINE))
    return {
        name: value
        for name, value in given.items()
        if name not in {"listen_addresses", "ssl", "synchronous_standby_names"}
    }


def release_before(directory: Path) -> tuple[Path | None, str]:
    """`src` as it was before the newest migration; None, and why, where the history is not at hand."""
    opening = "src/vestibule/storage/opening.py"
    found = re.search(r"^SCHEMA_VERSION = .*$", (_ROOT / opening).read_text(encoding="utf-8"), re.MULTILINE)
    assert found is not None
    if shutil.which("git") is None:
        return None, "there is no git"
    git = ["git", "-C", str(_ROOT)]
    log = subprocess.run(
        [*git, "log", "--format=%H", f"-S{found[0]}", "--", opening], capture_output=True, text=True, check=False
    )
    if log.returncode != 0 or not log.stdout.strip():
        return None, f"no commit is known to have brought {found[0]!r} {log.stderr[-300:]}"
    archive = directory / "before.tar"
    commit = log.stdout.split()[-1]
    made = subprocess.run(
        [*git, "archive", f"--output={archive}", f"{commit}^", "src"], capture_output=True, text=True, check=False
    )
    if made.returncode != 0:
        return None, f"what was before {commit} is not at hand: {made.stderr[-300:]}"
    with tarfile.open(archive) as tar:
        tar.extractall(directory / "before", filter="data")
    return directory / "before" / "src", ""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory, secret_key: str) -> Iterator[Cluster]:
    directory = tmp_path_factory.mktemp("cluster")
    with ExitStack() as stack:
        made = Cluster(directory, secret_key, stack)
        made.before, made.why_not = release_before(directory)
        made.start(1, 2, 3, source=made.before)
        made.balancer.wait_until_ready()
        yield made
    for node in made.nodes.values():
        log = node.log_path.read_text(encoding="utf-8", errors="replace")
        assert "unexpected error" not in log, log[-20_000:]
        assert not [secret for secret in (made.valkey.password, made.store.secret) if secret in log]


@pytest.fixture(scope="module")
def operator(cluster: Cluster) -> Iterator[Installation]:
    """Operators' and tests' hands, which do not depend on any node."""
    outside = RunningServer(cluster.settings, cluster.nodes[1].directory)  # never started
    outside.port = cluster.balancer.port
    with Installation(outside) as made:
        if cluster.before is not None:  # nodes of that release go on with the schema of this one
            assert made.rows(_VERSION) < [(SCHEMA_VERSION,)]
            made.cli("migrate")
        assert made.rows(_VERSION) == [(SCHEMA_VERSION,)]
        yield made


@pytest.fixture(scope="module")
def load(cluster: Cluster, operator: Installation) -> Iterator[Load]:
    """Mixed load through the balancer, from now until the last test looks at what was acknowledged."""
    provider = FakeProvider()
    operator.run(provider.start())
    front = Front(operator.workspace(), base_url=cluster.balancer.url)
    front.add_provider(provider)
    front.queue()
    running = Load(front, provider, cluster.balancer.url)
    running.start()
    yield running
    running.stop()
    operator.run(provider.stop())
