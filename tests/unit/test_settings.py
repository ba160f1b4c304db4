"""Settings: where they come from, what is refused, and that nothing secret is repeated."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from vestibule.demo.preparation import flags_of
from vestibule.secret_key_file import load_secret_keys, secret_key_path
from vestibule.settings import (
    InvalidSettings,
    Settings,
    read_settings,
    unknown_variables,
)


def test_flags_beat_variables_beat_the_file_beats_defaults(tmp_path: Path) -> None:
    (tmp_path / "vestibule.toml").write_text('port = 1\nhost = "file"\nworkers = 3\n')
    environ = {"VESTIBULE_PORT": "2", "VESTIBULE_HOST": "variable"}
    settings = read_settings({"port": 3, "host": None}, environ, tmp_path)
    assert (settings.port, settings.host, settings.workers, settings.log_level) == (3, "variable", 3, "info")


@pytest.mark.parametrize(
    ("flags", "environ", "url"),
    [
        ({}, {}, "http://127.0.0.1:8000"),
        ({"port": 9000}, {}, "http://127.0.0.1:9000"),
        ({}, {"VESTIBULE_PORT": "9000", "VESTIBULE_HOST": "0.0.0.0"}, "http://127.0.0.1:9000"),  # noqa: S104
        ({"host": "10.0.0.5"}, {}, "http://10.0.0.5:8000"),
        ({"host": "::1"}, {}, "http://[::1]:8000"),
        ({"host": "chat.example.com"}, {}, "http://chat.example.com:8000"),
        ({"port": 0}, {}, "http://127.0.0.1:8000"),
        ({"port": 9000}, {"VESTIBULE_PUBLIC_URL": "https://chat.example.com"}, "https://chat.example.com"),
    ],
)
def test_who_tells_no_public_url_is_found_where_it_listens(
    flags: dict[str, object], environ: dict[str, str], url: str, tmp_path: Path
) -> None:
    assert read_settings(flags, environ, tmp_path).public_url == url


def test_every_problem_is_told_at_once_and_no_value_is(tmp_path: Path) -> None:
    (tmp_path / "vestibule.toml").write_text('colour = "red"\nmax_body_bytes = 1\n')
    environ = {
        "VESTIBULE_SECRET_KEYS": "hunter2hunter2",
        "VESTIBULE_PORT": "eighty",
        "VESTIBULE_DATABASE_URL": "mysql://me:hunter2@db/x",
        "VESTIBULE_PUBLIC_URL": "ftp://x",
        "VESTIBULE_BODY_TIMEOUT": "soon",
        "VESTIBULE_TRUSTED_PROXIES": "everybody",
        "VESTIBULE_AUTO_MIGRATE": "perhaps",
        "VESTIBULE_LOG_LEVEL": "loud",
    }
    with pytest.raises(InvalidSettings) as refusal:
        read_settings({}, environ, tmp_path)
    problems = refusal.value.problems
    assert len(problems) == 10
    for name in (*environ, "colour", "max_body_bytes"):
        assert sum(name in problem for problem in problems) == 1
    assert "hunter2" not in str(refusal.value)


def test_a_file_that_is_no_toml_is_one_problem(tmp_path: Path) -> None:
    (tmp_path / "vestibule.toml").write_text("port = ")
    with pytest.raises(InvalidSettings):
        read_settings({}, {}, tmp_path)


def test_no_secret_has_a_default_and_none_shows_in_a_repr() -> None:
    settings = Settings(database_url="postgresql://me:hunter2@db/x", secret_keys=(b"hunter2" * 5,))
    assert "hunter2" not in repr(settings)
    assert Settings().secret_keys == ()


def test_a_made_secret_key_is_on_the_disk_before_it_seals_anything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it has sealed is lost with it, and a file that a power cut finds in the cache is lost."""
    synced: list[str] = []

    def note(descriptor: int) -> None:
        found = Path(f"/proc/self/fd/{descriptor}").readlink()
        synced.append(found.read_text(encoding="ascii") if found.is_file() else str(found))

    monkeypatch.setattr(os, "fsync", note)
    path = tmp_path / "v.key"
    load_secret_keys(Settings(secret_key_file=str(path)))
    assert synced == [path.read_text(encoding="ascii"), str(tmp_path)]


def test_the_secret_key_file_is_made_once_for_its_owner_only(tmp_path: Path) -> None:
    settings = Settings(database_url=f"sqlite:///{tmp_path}/v.db")
    keys, made = load_secret_keys(settings)
    again, made_again = load_secret_keys(settings)
    path = secret_key_path(settings)
    assert (made, made_again, keys) == (True, False, again)
    assert path == tmp_path / "v.db.key"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("content", ["", "short", "\n\n"])
def test_a_damaged_secret_key_file_is_refused_and_not_replaced(tmp_path: Path, content: str) -> None:
    path = tmp_path / "k"
    path.write_text(content)
    with pytest.raises(InvalidSettings):
        load_secret_keys(Settings(secret_key_file=str(path)))
    assert path.read_text() == content


def test_all_that_the_demo_keeps_is_in_its_directory(tmp_path: Path) -> None:
    """Whoever deletes it has deleted what its visitors sent as well."""
    demo = tmp_path / "demo"
    settings = read_settings(flags_of(demo, 8000), {}, tmp_path)
    assert settings.database_url == f"sqlite:///{demo}/vestibule.db"
    assert secret_key_path(settings).parent == Path(settings.files_directory).parent == demo


def test_variables_that_are_no_settings_are_known_as_such() -> None:
    assert unknown_variables({"VESTIBULE_PROT": "1", "VESTIBULE_PORT": "1", "VESTIBULE_CONFIG": "x", "HOME": "/"}) == [
        "VESTIBULE_PROT"
    ]


@pytest.mark.parametrize(
    ("given", "read"), [("postgres://u@h/d", "postgresql://u@h/d"), ("sqlite:////var/v.db", "sqlite:////var/v.db")]
)
def test_database_urls(given: str, read: str, tmp_path: Path) -> None:
    assert read_settings({}, {"VESTIBULE_DATABASE_URL": given}, tmp_path).database_url == read


def test_waits_are_a_list_of_durations(tmp_path: Path) -> None:
    assert read_settings({}, {}, tmp_path).webhook_retries == (5_000, 30_000, 120_000, 600_000, 3_600_000, 21_600_000)
    assert read_settings({}, {"VESTIBULE_WEBHOOK_RETRIES": "1s, 2m"}, tmp_path).webhook_retries == (1_000, 120_000)
    (tmp_path / "vestibule.toml").write_text('webhook_retries = ["1s"]\n')
    assert read_settings({}, {}, tmp_path).webhook_retries == (1_000,)
    assert read_settings({}, {"VESTIBULE_WEBHOOK_RETRIES": ""}, tmp_path).webhook_retries == ()
    for wrong in ("soon", "1s,,never", "8d", ",".join(["1s"] * 21)):
        with pytest.raises(InvalidSettings, match="VESTIBULE_WEBHOOK_RETRIES"):
            read_settings({}, {"VESTIBULE_WEBHOOK_RETRIES": wrong}, tmp_path)


@pytest.mark.parametrize(
    "token", ["a b", "TOKEN    # likewise", "=", "a=b", "jeton-é", '"quoted"', pytest.param("x" * 4001, id="long")]
)
def test_a_metrics_token_that_no_scraper_could_send_is_refused(token: str, tmp_path: Path) -> None:
    """RFC 6750 section 2.1. A comment behind the value, where systemd reads the file, is a part of it."""
    with pytest.raises(InvalidSettings, match="VESTIBULE_METRICS_TOKEN must be at most 4000 letters"):
        read_settings({}, {"VESTIBULE_METRICS_TOKEN": token}, tmp_path)


@pytest.mark.parametrize("token", ["", "scraper-secret", "A-Za.z0_9~+/=="])
def test_a_metrics_token_that_can_be_sent_is_taken(token: str, tmp_path: Path) -> None:
    assert read_settings({}, {"VESTIBULE_METRICS_TOKEN": token}, tmp_path).metrics_token == token
