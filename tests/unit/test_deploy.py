"""The example set-ups name figures, codes, settings and paths that exist, and keep what they promise to keep."""

from __future__ import annotations

import json
import re
from dataclasses import fields
from pathlib import Path

import pytest

from tests.unit.test_errors_tree import TREE
from vestibule import measures, metrics
from vestibule.conversations.files import MOST_ATTACHMENTS
from vestibule.errors import VestibuleError
from vestibule.settings import PREFIX, Settings
from vestibule.storage.depths import DEPTHS

DEPLOY = Path(__file__).parent.parent.parent / "deploy"
FILES = sorted(path for path in DEPLOY.iterdir() if path.suffix != ".env" and path.is_file())
LABELS = {
    "requests": {"surface", "status"},
    "request_seconds": {"surface", "le"},
    "refusals": {"surface", "code"},
    "authentications": {"method", "outcome"},
    "token_checks": {"known"},
    "upstream_calls": {"purpose", "outcome"},
    "upstream_seconds": {"purpose", "le"},
    "circuits_opened": set(),
    "circuits_open": set(),
    "authentication_refusals": {"method", "code"},
    "queue_depth": {"queue"},
    "queue_oldest_seconds": {"queue"},
}


def text(name: str) -> str:
    return (DEPLOY / name).read_text(encoding="utf-8")


def known_series() -> set[str]:
    shown = (metrics.render() + measures.render([])).decode()
    kinds = re.findall(r"^# TYPE (vestibule_\w+) (\w+)", shown, re.MULTILINE)
    return {
        name + suffix
        for name, kind in kinds
        for suffix in (("_bucket", "_sum", "_count") if kind == "histogram" else ("",))
    }


@pytest.mark.parametrize("name", ["prometheus-alerts.yaml", "grafana-dashboard.json"])
def test_figures_and_their_labels_exist(name: str) -> None:
    content = text(name).replace('\\"', '"')
    found = re.findall(r"(vestibule_[a-z_]+)(?:\{([^}]*)\})?", content)
    assert len(found) > 10
    assert {series for series, _ in found} <= known_series()
    for series, selector in found:
        own = LABELS[re.sub(r"^vestibule_|_(total|bucket|sum|count)$", "", series)]
        assert set(re.findall(r"(\w+)(?:=~|!~|!=|=)", selector)) <= own | {"job", "instance"}, (series, selector)


def test_queues_exist() -> None:
    named = {
        queue
        for name in ("prometheus-alerts.yaml", "grafana-dashboard.json")
        for queues in re.findall(r'queue=~?"([^"]+)"', text(name).replace('\\"', '"'))
        for queue in queues.split("|")
    }
    assert named
    assert named <= set(DEPTHS)


def test_alerts_are_on_codes_that_exist() -> None:
    named = {
        code for codes in re.findall(r'code=~?"([^"]+)"', text("prometheus-alerts.yaml")) for code in codes.split("|")
    }
    assert named <= {VestibuleError.code} | {kind.code for kind in TREE}


def test_nobody_proven_is_noticed_where_nothing_was_counted_since_the_start() -> None:
    """A counter with labels has no series before its first use: their sum would be nothing, and no zero."""
    _, _, rule = text("prometheus-alerts.yaml").partition("- alert: VestibuleNobodyIsProven\n")
    expression = " ".join(rule.partition("for:")[0].split())
    assert "(sum(rate(vestibule_authentications_total[30m])) or vector(0)) == 0 and " in expression
    assert expression.endswith("sum(rate(vestibule_authentications_total[30m] offset 1d)) > 0.02")


def test_the_board_asks_one_source_and_its_panels_do_not_overlap() -> None:
    panels = json.loads(text("grafana-dashboard.json"))["panels"]
    assert {panel["datasource"]["uid"] for panel in panels} == {"${source}"}
    taken = [
        (place["x"] + x, place["y"] + y)
        for place in (panel["gridPos"] for panel in panels)
        for x in range(place["w"])
        for y in range(place["h"])
    ]
    assert len(taken) == len(set(taken))
    assert max(x for x, _ in taken) < 24


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_settings_exist(path: Path) -> None:
    named = set(re.findall(rf"\b{PREFIX}([A-Z0-9_]+)", path.read_text(encoding="utf-8")))
    assert named <= {entry.name.upper() for entry in fields(Settings)}


@pytest.mark.parametrize("name", ["README.md", *(path.name for path in FILES if path.name.endswith(".env.example"))])
def test_no_comment_stands_behind_a_value(name: str) -> None:
    """Read by systemd and Docker, it would be a part of the value, of a token that nobody can send, say."""
    assert f"\n{PREFIX}" in text(name)
    assert not re.search(rf"^{PREFIX}\w+=.*[ \t]#", text(name), re.MULTILINE)


def test_how_many_processes_serve_is_a_setting_like_the_others() -> None:
    """A flag would win over it, unseen."""
    for name, what in (
        ("vestibule.service", r"^ExecStart=.*\bserve\b(.*)$"),
        ("Containerfile", r'^CMD \["serve"(.*)\]$'),
    ):
        assert re.findall(what, text(name), re.MULTILINE) == [""]
    for name in ("vestibule.env.example", "Containerfile"):
        assert len(re.findall(rf"\b{PREFIX}WORKERS=\d+\b", text(name))) == 1


def test_the_unit_gives_up_what_it_does_not_need() -> None:
    lines = set(text("vestibule.service").splitlines())
    assert {"NoNewPrivileges=true", "ProtectSystem=strict", "ProtectHome=true", "CapabilityBoundingSet="} <= lines
    assert "User=vestibule" in lines


def test_the_unit_waits_for_a_database_and_not_for_better_settings() -> None:
    """`serve` ends with 1 where its database is away, and with 2 where its settings cannot be used."""
    before, _, service = text("vestibule.service").partition("[Service]")
    assert "StartLimitIntervalSec=0" in before.splitlines()
    assert {"Restart=on-failure", "RestartPreventExitStatus=2"} <= set(service.splitlines())


def test_commands_have_the_settings_of_the_service() -> None:
    """Whatever the unit gives by itself a command lacks: it would erase rows, and leave the files it cannot see."""
    unit = text("vestibule.service")
    assert f"Environment={PREFIX}" not in unit
    [command] = re.findall(r"^systemd-run [^`]*?vestibule doctor$", text("README.md"), re.MULTILINE)
    files = re.findall(r"^EnvironmentFile=(\S+)$", unit, re.MULTILINE)
    assert re.findall(r"--property=EnvironmentFile=(\S+)", command) == files  # in this order: the last one wins
    options = {"User": "--uid=", "WorkingDirectory": "--working-directory=", "UMask": "--property=UMask="}
    for name, option in options.items():
        [value] = re.findall(rf"^{name}=(\S+)$", unit, re.MULTILINE)
        assert f" {option}{value} " in command
    given = dict(re.findall(rf"^{PREFIX}(\w+)=(\S+)$", text("vestibule.env.example"), re.MULTILINE))
    assert {"PUBLIC_URL", "DATABASE_URL", "FILES_DIRECTORY", "TRUSTED_PROXIES"} <= set(given)
    assert given["FILES_DIRECTORY"].startswith("/")


def test_the_image_takes_pinned_wheels_and_is_no_root() -> None:
    content = text("Containerfile")
    assert "--require-hashes" in content
    assert re.search(r"^USER (?!root|0)", content, re.MULTILINE)
    assert "/healthz" in content
    for name in ("Containerfile", "compose.yaml"):  # plain names: whoever builds decides where images come from
        images = re.findall(r"^(?:FROM|\s+image:) (\S+)$", text(name), re.MULTILINE)
        assert images
        assert not [image for image in images if "/" in image]


def test_the_proxy_s_log_has_no_query_and_no_figures_get_out() -> None:
    content = text("nginx.conf")
    logged = content.split("log_format", 1)[1].split(";", 1)[0]
    assert "$vestibule_path" in logged
    assert not re.search(r"\$(request|request_uri|args|query_string|http_referer|uri)\b", logged)
    assert re.search(r"location ~ \^/\(metrics\|readyz\)\$ \{\s*return 404;", content)
    assert re.search(r"/events\$ \{\s*proxy_buffering off;", content)
    assert "proxy_set_header X-Forwarded-For $remote_addr;" in content


def place_of(path: str) -> str:
    """What nginx.conf says of a path: of the expressions the first that matches, else the longest prefix."""
    places = re.findall(r"^    location (~ )?(\S+) \{\n(.*?)^    \}", text("nginx.conf"), re.MULTILINE | re.DOTALL)
    for is_expression, pattern, place in places:
        if is_expression and re.search(pattern, path):
            return str(place)
    return str(max((pattern, place) for kind, pattern, place in places if not kind and path.startswith(pattern))[1])


@pytest.mark.parametrize(
    "path",
    [
        "/api/conversation/7/route/support",
        "/api/visitor/setIdentity/7",
        "/api/v1/messages/guest-auth/customer",
        "/api/v1/files/guest-auth/multiple-upload",
        "/backend/widget/v2/sessions",
        "/v1/conversations",
        "/v1/conversations/7/messages",
        "/v1/admin/workspaces/7/contacts",
        "/dashboard",
        "/dashboard/welcome",
        "/files/7/7/secret/invoice.pdf",
    ],
)
def test_the_proxy_s_error_log_knows_nothing_of_queries_and_paths_that_open_something(path: str) -> None:
    """It has whole request lines. A scope is half of what an unverified visitor's device is known by."""
    place = place_of(path)
    assert "error_log /dev/null;" in place
    assert "proxy_pass http://vestibule;" in place


def test_the_proxy_holds_no_event_back_and_tells_of_other_errors() -> None:
    assert "proxy_buffering off;" in place_of("/v1/conversations/7/events")
    assert 'proxy_set_header Connection "upgrade";' in place_of("/socket.io/")
    for path in ("/widget/authenticate-user", "/v1/me", "/v1/conversationsx", "/"):
        assert place_of(path).split() == ["proxy_pass", "http://vestibule;"]


def test_the_proxy_takes_bodies_as_large_as_the_service_does() -> None:
    size, file = r"client_max_body_size +(\d+)m;", Settings().max_file_bytes
    [usual] = re.findall(f"^    {size}", text("nginx.conf"), re.MULTILINE)
    [together] = re.findall(size, place_of("/api/v1/files/guest-auth/multiple-upload"))
    assert file < int(usual) << 20
    assert MOST_ATTACHMENTS * file < int(together) << 20


def test_pages_of_other_origins_read_what_the_proxies_answer_themselves() -> None:
    """And find no second header beside the service's, or browsers would let them read neither."""
    content = text("nginx.conf")
    own = r'^map \$upstream_http_x_request_id \$vestibule_origins \{\n    default "";\n    "" +"\*";\n\}$'
    assert re.search(own, content, re.MULTILINE)
    assert "    add_header Access-Control-Allow-Origin $vestibule_origins always;\n" in content
    assert not re.search(r"^ {5,}add_header", content, re.MULTILINE), "one in a location would replace these"
    rule = "http-after-response set-header Access-Control-Allow-Origin * unless { res.hdr(x-request-id) -m found }"
    assert f"    {rule}\n" in text("haproxy.cfg")


def test_the_balancer_s_log_has_no_query_and_it_repeats_nothing_that_a_node_may_have_begun() -> None:
    content = text("haproxy.cfg")
    [logged] = re.findall(r"^    log-format (.*)$", content, re.MULTILINE)
    assert "%[var(txn.path)" in logged
    assert not re.search(r"%HU|%HQ|%r\b|%\[(url|query|req)|%hr", logged)
    decoded = content.index("    http-request set-var(txn.path) path,url_dec\n")  # as the service decodes it
    assert decoded < content.index("str(/files/...) if { var(txn.path) -m beg /files/ }")
    assert decoded < content.index("return status 404 if { var(txn.path) -m str /metrics /readyz }")
    assert "set-header X-Forwarded-For %[src]" in content
    assert "retry-on conn-failure\n" in content
    assert "httpchk GET /readyz" in content


def test_nodes_are_told_of_everything_that_they_share() -> None:
    named = set(re.findall(rf"^{PREFIX}([A-Z0-9_]+)=", text("nodes.env.example"), re.MULTILINE))
    shared = {"DATABASE_URL", "SECRET_KEYS", "PUBLIC_URL", "TRUSTED_PROXIES", "VALKEY_URL", "S3_BUCKET", "INSTANCE"}
    assert shared <= named
    assert named <= {entry.name.upper() for entry in fields(Settings)}


def test_what_is_acknowledged_is_on_both_databases() -> None:
    assert {"synchronous_commit = on", "synchronous_standby_names = '*'"} <= settings_of("postgresql.conf")


def test_what_the_files_refer_to_is_a_heading_in_operations() -> None:
    operations = (DEPLOY.parent / "docs" / "operations.md").read_text(encoding="utf-8")
    named = [heading for path in FILES for heading in re.findall(r'see "([^"]+)"', path.read_text(encoding="utf-8"))]
    assert named
    assert all(f"# {heading}\n" in operations for heading in named)


def settings_of(name: str) -> set[str]:
    return {line.partition("#")[0].strip() for line in text(name).splitlines()}


def test_no_secret_is_in_any_of_them() -> None:
    for path in FILES:
        content = path.read_text(encoding="utf-8")
        assert not re.search(
            r"(SECRET_KEYS|PASSWORD|METRICS_TOKEN|ACCESS_KEY|VALKEY_URL)=[A-Za-z0-9_-]{8,}", content
        ), path.name
        assert "BEGIN" not in content, path.name
