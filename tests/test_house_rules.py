"""The house rules that a machine can hold (CONTRIBUTING.md), by the syntax tree of every module."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TypeVar

import pytest

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src" / "vestibule"
SHARDING = (ROOT / "docs" / "decisions" / "0027-sharding.md").read_text(encoding="utf-8")
Node = TypeVar("Node", bound=ast.AST)
SECRET_NAME = re.compile(r"token|secret|hash|verifier|challenge|signature|fingerprint|password")


def name_of(node: ast.AST) -> str:
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def functions(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


@dataclass(frozen=True, slots=True)
class Module:
    """`place`: below the package, with `/`."""

    place: str
    text: str
    tree: ast.Module

    def nodes(self, kind: type[Node]) -> Iterator[Node]:
        return (node for node in ast.walk(self.tree) if isinstance(node, kind))


@pytest.fixture(scope="module")
def modules() -> list[Module]:
    texts = {path.relative_to(SOURCE).as_posix(): path.read_text(encoding="utf-8") for path in SOURCE.rglob("*.py")}
    return [Module(place, text, ast.parse(text)) for place, text in sorted(texts.items())]


def test_a_module_can_be_read_in_one_sitting(modules: list[Module]) -> None:
    assert not [module.place for module in modules if len(module.text.splitlines()) > 400]
    assert not [
        f"{module.place}: {node.name}"
        for module in modules
        for node in functions(module.tree)
        if (node.end_lineno or 0) - node.lineno > 60
    ]


def test_a_module_says_its_job_first(modules: list[Module]) -> None:
    jobs = {module.place: (ast.get_docstring(module.tree) or "").split("\n\n")[0] for module in modules}
    assert not [place for place, job in jobs.items() if len(job) <= 20]


def test_secrets_are_not_compared_with_equality(modules: list[Module]) -> None:
    """hmac.compare_digest, or an index of hashes: `==` ends at the first difference."""
    found = [
        f"{module.place}: {name}"
        for module in modules
        for node in module.nodes(ast.Compare)
        for name in compared(node)
        if SECRET_NAME.search(name)
    ]
    # The canonical spelling of a signature whose value is public to its bearer.
    assert found == ["tokens/contact_token.py: signature"]


def compared(node: ast.Compare) -> list[str]:
    """What is compared for equality, but not with a word of the code, which is no secret."""
    sides = (node.left, *node.comparators)
    equality = any(isinstance(op, ast.Eq | ast.NotEq) for op in node.ops)
    if not equality or any(isinstance(side, ast.Constant) for side in sides):
        return []
    return [name_of(side) for side in sides]


def test_time_is_read_in_one_place(modules: list[Module]) -> None:
    reads = re.compile(r"datetime\.now|utcnow|time\.time|time\.monotonic|perf_counter")
    assert [module.place for module in modules if reads.search(module.text)] == ["clock.py"]


def test_only_the_way_out_makes_requests(modules: list[Module]) -> None:
    clients = {"httpx", "httpcore", "requests", "aiohttp", "socket"}
    callers = {
        module.place.split("/")[0] for module in modules if clients & {name.split(".")[0] for name in imported(module)}
    }
    assert callers <= {"outbound", "demo"}  # the demo plays the customer's backend, on loopback


def imported(module: Module) -> Iterator[str]:
    for node in module.nodes(ast.Import):
        yield from (alias.name for alias in node.names)
    for source in module.nodes(ast.ImportFrom):
        yield source.module or ""


def test_only_verification_makes_verified_claims(modules: list[Module]) -> None:
    """DESIGN rule 2.1: proof is a type, and a method is the only way to it."""
    makers = {
        module.place.split("/")[0]
        for module in modules
        for node in module.nodes(ast.Call)
        if name_of(node.func) == "VerifiedClaims"
    }
    assert makers == {"verification"}


def test_only_storage_holds_sql(modules: list[Module]) -> None:
    sql = re.compile(r"\s*(SELECT|INSERT INTO|UPDATE|DELETE FROM|CREATE TABLE)\s")
    holders = {
        module.place.split("/")[0]
        for module in modules
        for node in module.nodes(ast.Constant)
        if isinstance(node.value, str) and sql.match(node.value)
    }
    assert holders == {"storage"}


def test_statements_of_a_workspace_s_rows_name_the_workspace() -> None:
    """Tenants never see each other's rows, and every hot statement goes to one shard (DESIGN section 6). What is of the
    installation as a whole, or sweeps over all workspaces, stands in decision 27 with what it would need."""
    import_storage()
    from vestibule.storage.statement import REGISTRY  # noqa: PLC0415 - after its registrations

    table = SHARDING.partition("## What does not go to one shard")[2].partition("\n**")[0]
    cells = re.findall(r"^\| ([^|]+) \|", table, re.MULTILINE)
    excepted = [name for cell in cells for name in re.findall(r"`([a-z_*]+\.[a-z_*]+)`", cell)]
    assert "signing_keys.*" in excepted
    unscoped = [
        name
        for name, statement in REGISTRY.items()
        if "workspace_id = $" not in statement.postgresql and "(workspace_id" not in statement.postgresql
    ]
    assert not [name for name in unscoped if not any(fnmatchcase(name, each) for each in excepted)]
    assert not [each for each in excepted if not any(fnmatchcase(name, each) for name in REGISTRY)], "there is none"


def import_storage() -> None:
    import importlib  # noqa: PLC0415

    for path in sorted((SOURCE / "storage").glob("*.py")):
        importlib.import_module(f"vestibule.storage.{path.stem}")
