"""docs/security/sbom.cdx.json is what requirements/runtime.txt says; `make sbom` writes it."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
BILL = ROOT / "docs" / "security" / "sbom.cdx.json"
LOCK = (ROOT / "requirements" / "runtime.txt").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_sbom", ROOT / "scripts" / "make_sbom.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def bill() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(BILL.read_text(encoding="utf-8"))
    return found


def plain(document: dict[str, Any]) -> dict[str, Any]:
    """Without licences, which the installed packages tell: an environment may hold another build of one."""
    components = [
        {name: value for name, value in each.items() if name != "licenses"} for each in document["components"]
    ]
    return {**document, "components": components}


def test_is_what_the_lock_says(script: ModuleType, bill: dict[str, Any]) -> None:
    assert plain(bill) == plain(json.loads(script.made())), "run `make sbom`"


def test_has_every_locked_package_with_every_hash(bill: dict[str, Any]) -> None:
    locked = set(re.findall(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)", LOCK, re.MULTILINE))
    assert {(each["name"], each["version"]) for each in bill["components"]} == locked
    hashes = [one["content"] for each in bill["components"] for one in each["hashes"]]
    assert sorted(hashes) == sorted(re.findall(r"sha256:([0-9a-f]{64})", LOCK))


def test_is_cyclonedx_and_names_no_address(bill: dict[str, Any]) -> None:
    assert (bill["bomFormat"], bill["specVersion"], bill["version"]) == ("CycloneDX", "1.6", 1)
    assert re.fullmatch(r"urn:uuid:[0-9a-f-]{36}", bill["serialNumber"])
    text = BILL.read_text(encoding="utf-8")
    assert "://" not in text
    assert "timestamp" not in text, "the same lock gives the same file"
    references = {each["bom-ref"] for each in bill["components"]}
    [of_ours] = bill["dependencies"]
    assert set(of_ours["dependsOn"]) == references


def test_knows_the_licence_of_each(bill: dict[str, Any]) -> None:
    assert [each["name"] for each in bill["components"] if not each.get("licenses")] == []
