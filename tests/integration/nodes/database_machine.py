"""One of the two database servers of deploy/README.md, laid out as Debian does; what is typed there and in
docs/operations.md is run as it is written. It must not know of nodes."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from tests.fixtures.postgres import PostgresServer
from tests.integration.nodes.cluster import shipped_settings

_ROOT = Path(__file__).parent.parent.parent.parent
_SET_UP = (_ROOT / "deploy" / "README.md").read_text(encoding="utf-8").partition("**Database**")[2]
_LOST = (_ROOT / "docs" / "operations.md").read_text(encoding="utf-8").partition("### When the primary is lost")[2]
_REPLICATOR = "replicator"
_CONFIGURATION = ("postgresql.conf", "pg_hba.conf", "pg_ident.conf")


class DatabaseMachine(PostgresServer):
    """The first of them, or, given `other`, the second: a copy of it that follows. They differ by port, not address."""

    def __init__(self, other: DatabaseMachine | None = None) -> None:
        super().__init__(shipped_settings())
        self._other = other
        self._passwords.setdefault(_REPLICATOR, "of-the-replicator")
        if other is not None:
            self._passwords = other._passwords

    def be_followed(self, by: DatabaseMachine) -> None:
        """What stands in deploy/postgresql.conf is in force as a whole, now that there is a standby."""
        self._other = by
        with (self._etc() / "postgresql.conf").open("a", encoding="utf-8") as file:
            file.write("synchronous_standby_names = '*'\n")
        self.execute("SELECT pg_reload_conf()")

    def take_over(self) -> None:
        """Step 2 of the fail-over."""
        self._type(_command(_LOST, "psql", "pg_promote"), self)

    def come_back(self) -> None:
        """Step 4: the old primary, stopped, becomes the other's standby."""
        assert self._other is not None
        self._other._type(_command(_LOST, "psql", "CHECKPOINT"), self._other)
        self._type(_command(_LOST, "pg_rewind"), self._other)
        self.start()

    def wait_for_a_standby_again(self) -> None:
        """The end of step 4, at the new primary."""
        self._type(_command(_LOST, "psql", "RESET synchronous_standby_names"), self)

    def _create(self) -> None:
        self._make_directory()
        self._write_password_file()
        if self._other is None:
            self._initdb()
            self._lay_out()
            self._launch_on_some_port()
            self._make_replicator()
        else:
            self._type(_command(_SET_UP, "pg_basebackup"), self._other)
            self._lay_out()
            self._launch_on_some_port()
            self.be_followed(self._other)

    def _make_replicator(self) -> None:
        made = _command(_SET_UP, "createuser", _REPLICATOR)
        made.remove("--pwprompt")  # asks a terminal
        self._type(made, self)
        self.execute(f"ALTER ROLE {_REPLICATOR} PASSWORD '{self._passwords[_REPLICATOR]}'")
        self._type(_command(_SET_UP, "psql", "GRANT"), self)

    def _lay_out(self) -> None:
        """Configuration in a directory of its own, as in /etc: neither pg_basebackup nor pg_rewind sees it."""
        self._etc().mkdir()
        self._give_away(self._etc())
        for name in _CONFIGURATION:
            (self._data() / name).unlink(missing_ok=True)
            (self._etc() / name).touch()
        settings = {
            **self._settings,
            "unix_socket_directories": str(self._private()),
            "hba_file": str(self._etc() / "pg_hba.conf"),
            "ident_file": str(self._etc() / "pg_ident.conf"),
        }
        lines = [f"{name} = '{value}'\n" for name, value in settings.items()]
        (self._etc() / "postgresql.conf").write_text("".join(lines), encoding="utf-8")
        named = re.findall(r"^hostssl +(\S+) +(\S+) +\S+ +(\S+)$", _SET_UP, re.MULTILINE)
        assert {user for _, user, _ in named} == {"vestibule", _REPLICATOR}
        hosts = [("all", "postgres", "scram-sha-256"), *named]  # `postgres` would come by the local socket
        rules = [f"host {databases} {user} 127.0.0.1/32 {method}\n" for databases, user, method in hosts]
        (self._etc() / "pg_hba.conf").write_text("".join(rules), encoding="utf-8")

    def _write_password_file(self) -> None:
        [line] = re.findall(r"`(\S+:replicator:)PASSWORD`", _SET_UP)
        self._password_file().write_text(f"{line}{self._passwords[_REPLICATOR]}\n", encoding="ascii")
        self._password_file().chmod(0o600)
        self._give_away(self._password_file())

    def _type(self, command: list[str], at: DatabaseMachine) -> None:
        """Runs what is documented for this machine, where a connection leads to `at`."""
        places = {
            "/var/lib/postgresql/16/main": str(self._data()),
            "/etc/postgresql/16/main": str(self._etc()),
            "10.0.0.21": "127.0.0.1",
            "10.0.0.22": "127.0.0.1",
        }
        for place, ours in places.items():
            command = [word.replace(place, ours) for word in command]
        environment = {"PGPORT": str(at.port), "PGPASSFILE": str(self._password_file())}
        if at is self:
            environment |= {"PGHOST": "127.0.0.1", "PGUSER": "postgres", "PGPASSWORD": self._passwords["postgres"]}
        self._run(command, environment)

    def _program(self) -> list[str]:
        return [*super()._program(), "-c", f"config_file={self._etc() / 'postgresql.conf'}"]

    def _etc(self) -> Path:
        return self._private() / "etc"

    def _password_file(self) -> Path:
        return self._private() / ".pgpass"


def _command(page: str, program: str, part: str = "") -> list[str]:
    """The one command with this program and part that the page shows from here on, as words."""
    lines = page.replace("\\\n", " ").splitlines()
    found = [
        line
        for line in lines
        if re.match(rf" *`?(sudo -u postgres )?(/usr/lib/postgresql/16/bin/)?{program} ", line) and part in line
    ]
    assert len(found) == 1, (program, part, found)
    words = shlex.split(found[0].strip().strip("`"), comments=True)
    return [program, *words[words.index(next(word for word in words if word.endswith(program))) + 1 :]]
