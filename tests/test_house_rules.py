"""The house rules that a machine can hold (CONTRIBUTING.md), by the syntax tree of every module."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent.parent / "src" / "vestibule"
MODULES = sorted(SOURCE.rglob("*.py"))
SECRET_NAME = re.compile(r"token|secret|hash|verifier|challenge|signature|fingerprint|password")


def name_of(node: ast.AST) -> str:
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def functions(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


@pytest.fixture(scope="module", params=MODULES, ids=lambda path: str(path.relative_to(SOURCE)))
def module(request: pytest.FixtureRequest) -> tuple[Path, str, ast.Module]:
    path: Path = request.param
    text = path.read_text(encoding="utf-8")
    return path, text, ast.parse(text)


def test_a_module_can_be_read_in_one_sitting(module: tuple[Path, str, ast.Module]) -> None:
    _, text, tree = module
    assert len(text.splitlines()) <= 400
    long = [f"{node.name}: {node.end_lineno}" for node in functions(tree) if (node.end_lineno or 0) - node.lineno > 60]
    assert not long


def test_a_module_says_its_job_first(module: tuple[Path, str, ast.Module]) -> None:
    documentation = ast.get_docstring(module[2])
    assert documentation
    assert len(documentation.split("\n\n")[0]) > 20


def test_secrets_are_not_compared_with_equality(module: tuple[Path, str, ast.Module]) -> None:
    """hmac.compare_digest, or an index of hashes: `==` ends at the first difference."""
    found = []
    for node in ast.walk(module[2]):
        if isinstance(node, ast.Compare) and any(isinstance(op, ast.Eq | ast.NotEq) for op in node.ops):
            sides = (node.left, *node.comparators)
            if any(isinstance(side, ast.Constant) for side in sides):
                continue  # with a word of the code, which is no secret
            names = [name_of(side) for side in sides]
            found += [f"line {node.lineno}: {name}" for name in names if SECRET_NAME.search(name)]
    allowed = {
        "contact_token.py": 1,  # the canonical spelling of a signature whose value is public to its bearer
    }
    assert len(found) <= allowed.get(module[0].name, 0), found


def test_time_is_read_in_one_place(module: tuple[Path, str, ast.Module]) -> None:
    if module[0].name in {"clock.py", "sqlite.py"}:  # the writer thread sleeps and waits by the monotonic clock
        return
    assert not re.search(r"datetime\.now|utcnow|time\.time|time\.monotonic|perf_counter", module[1])


def test_only_the_way_out_makes_requests(module: tuple[Path, str, ast.Module]) -> None:
    parts = module[0].relative_to(SOURCE).parts
    if parts[0] in {"outbound", "demo"}:  # the demo plays the customer's backend, on loopback
        return
    imported = {
        alias.name.split(".")[0] for node in ast.walk(module[2]) if isinstance(node, ast.Import) for alias in node.names
    } | {(node.module or "").split(".")[0] for node in ast.walk(module[2]) if isinstance(node, ast.ImportFrom)}
    assert not imported & {"httpx", "httpcore", "requests", "aiohttp", "http", "socket"} - {"http"}


def test_only_verification_makes_verified_claims(module: tuple[Path, str, ast.Module]) -> None:
    """DESIGN rule 2.1: proof is a type, and a method is the only way to it."""
    if module[0].relative_to(SOURCE).parts[0] == "verification":
        return
    calls = [node for node in ast.walk(module[2]) if isinstance(node, ast.Call)]
    assert not [node.lineno for node in calls if name_of(node.func) == "VerifiedClaims"]


def test_only_storage_holds_sql(module: tuple[Path, str, ast.Module]) -> None:
    if module[0].relative_to(SOURCE).parts[0] == "storage":
        return
    texts = [
        node.value for node in ast.walk(module[2]) if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]
    assert not [text for text in texts if re.match(r"\s*(SELECT|INSERT INTO|UPDATE|DELETE FROM|CREATE TABLE)\s", text)]


def test_statements_of_a_workspace_s_rows_name_the_workspace() -> None:
    """Tenants never see each other's rows, and every hot statement goes to one shard (DESIGN section 6)."""
    import_storage()
    from vestibule.storage.statement import REGISTRY  # noqa: PLC0415 - after its registrations

    # Of the installation as a whole, or sweeps over all workspaces by time or by key.
    whole = re.compile(
        r"^(schema|installation|resealing|signing_keys|workspaces|depths)\.|\.(purge|expired|abandoned|since|waiting)$"
    )
    unscoped = [
        name
        for name, statement in REGISTRY.items()
        if not whole.search(name)
        and "workspace_id = $" not in statement.postgresql
        and "(workspace_id" not in statement.postgresql
    ]
    assert not unscoped


def import_storage() -> None:
    import importlib  # noqa: PLC0415

    for path in sorted((SOURCE / "storage").glob("*.py")):
        importlib.import_module(f"vestibule.storage.{path.stem}")
