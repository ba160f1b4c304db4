#!/usr/bin/env python3
"""Writes docs/security/sbom.cdx.json, what is deployed as a CycloneDX bill of materials, from requirements/runtime.txt.

Names, versions and hashes are the lock's, licences what the installed packages say. The same lock gives the same bytes:
there is no date in it, and no address of an index.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
import uuid
from importlib import metadata
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "requirements" / "runtime.txt"
TARGET = ROOT / "docs" / "security" / "sbom.cdx.json"
_LOCKED = re.compile(
    r"^([A-Za-z0-9._-]+)==([^\s;\\]+)([^\\\n]*)((?:\\\n\s+--hash=sha256:[0-9a-f]{64}\s*)+)", re.MULTILINE
)
_HASH = re.compile(r"sha256:([0-9a-f]{64})")
_NAMESPACE = uuid.UUID("9f6f4f6e-4d0a-5f0e-8f0b-2f6f6f1c0c7a")


def bill(lock: str, version: str) -> dict[str, Any]:
    """The document."""
    components = [_component(*found) for found in _LOCKED.findall(lock)]
    digest = hashlib.sha256(lock.encode() + version.encode()).hexdigest()
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(_NAMESPACE, digest)}",
        "version": 1,
        "metadata": {
            "component": {
                "type": "application",
                "bom-ref": "vestibule",
                "name": "vestibule",
                "version": version,
                "licenses": [{"expression": "Apache-2.0"}],
            }
        },
        "components": components,
        "dependencies": [{"ref": "vestibule", "dependsOn": [one["bom-ref"] for one in components]}],
    }


def _component(name: str, version: str, marker: str, hashes: str) -> dict[str, Any]:
    purl = f"pkg:pypi/{re.sub(r'[-_.]+', '-', name).lower()}@{version}"
    made: dict[str, Any] = {"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl}
    made["hashes"] = [{"alg": "SHA-256", "content": each} for each in _HASH.findall(hashes)]
    licence = _licence(name)
    if licence:
        made["licenses"] = [licence]
    if marker.strip(" ;\\"):
        made["properties"] = [{"name": "vestibule:marker", "value": marker.strip(" ;\\")}]
    return made


def _licence(name: str) -> dict[str, Any] | None:
    """As the package says it: an SPDX expression (PEP 639), or a name from its classifiers."""
    try:
        about = metadata.metadata(name)
    except metadata.PackageNotFoundError:  # of another platform
        return None
    if expression := about.get("License-Expression"):
        return {"expression": expression}
    classifiers = [text.rpartition(" :: ")[2] for text in about.get_all("Classifier", []) if text.startswith("License")]
    if classifiers:
        return {"license": {"name": " / ".join(sorted(classifiers))}}
    text = (about.get("License") or "").strip()
    return {"license": {"name": text}} if text and "\n" not in text and len(text) < 100 else None


def release() -> str:
    text = (ROOT / "src" / "vestibule" / "__init__.py").read_text(encoding="utf-8")
    [found] = re.findall(r'^__version__ = "([^"]+)"', text, re.MULTILINE)
    return str(found)


def made() -> str:
    """The text of the file."""
    return json.dumps(bill(LOCK.read_text(encoding="utf-8"), release()), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    TARGET.write_text(made(), encoding="utf-8")
    sys.stdout.write(f"{TARGET.relative_to(ROOT)}\n")
