"""Looks over an installation and says what is wrong or unwise; it changes nothing."""

from __future__ import annotations

import enum

import msgspec

from vestibule.administration import api_keys, workspaces
from vestibule.administration.desk import Desk
from vestibule.clock import now_ms
from vestibule.errors import CannotUnseal
from vestibule.settings import unknown_variables
from vestibule.storage import installation
from vestibule.storage.signing_keys import list_all
from vestibule.tokens.signing_keys import Status, status_of


class Grade(enum.StrEnum):
    GOOD = "good"
    UNWISE = "unwise"
    BAD = "bad"


class Finding(msgspec.Struct, frozen=True):
    check: str
    grade: Grade
    message: str


async def check_up(desk: Desk) -> list[Finding]:
    """Every check, in the order in which to mend things. Raises StorageUnavailable."""
    return [
        await _secret(desk),
        await _signing_keys(desk),
        _public_url(desk),
        _variables(),
        _secret_backup(desk),
        *await _api_keys(desk),
    ]


async def _secret(desk: Desk) -> Finding:
    sealed_with = await installation.find(desk.store, "secret_key")
    if sealed_with not in desk.sealer.fingerprints:
        return Finding("secret_keys", Grade.BAD, "None of the secret keys is the one this database was sealed with.")
    return Finding("secret_keys", Grade.GOOD, "The database was sealed with a configured key.")


async def _signing_keys(desk: Desk) -> Finding:
    rows = await list_all(desk.store)
    signing = [row for row in rows if status_of(row, rows, now_ms()) is Status.SIGNING]
    if not signing:
        return Finding("signing_keys", Grade.UNWISE, "No key signs yet; the first `vestibule serve` makes one.")
    try:
        desk.sealer.unseal(signing[0].sealed_private_jwk or "", f"signing_keys.private_jwk:{signing[0].id}")
    except CannotUnseal:
        return Finding("signing_keys", Grade.BAD, f"The key {signing[0].id} cannot be opened: check secret_keys.")
    return Finding("signing_keys", Grade.GOOD, f"{signing[0].id} signs; {len(rows)} keys known.")


def _public_url(desk: Desk) -> Finding:
    url = desk.settings.public_url
    if not url.startswith("https://") and "//127.0.0.1" not in url and "//localhost" not in url:
        return Finding("public_url", Grade.BAD, "It is not https: tokens and API keys would travel in clear.")
    return Finding("public_url", Grade.GOOD, f"Tokens are issued by {url}.")


def _variables() -> Finding:
    unknown = unknown_variables()
    if unknown:
        return Finding("variables", Grade.UNWISE, f"These are no settings and do nothing: {', '.join(unknown)}.")
    return Finding("variables", Grade.GOOD, "Every VESTIBULE_ variable is a setting.")


def _secret_backup(desk: Desk) -> Finding:
    if desk.settings.secret_keys:
        return Finding("secret_backup", Grade.GOOD, "The secret keys come from the settings.")
    message = "The secret key lies in a file of its own; without it sealed values are lost. Back it up, apart."
    return Finding("secret_backup", Grade.UNWISE, message)


async def _api_keys(desk: Desk) -> list[Finding]:
    findings = []
    for workspace in await workspaces.list_all(desk):
        for report in await api_keys.report(desk, workspace.id):
            if report.state is api_keys.KeyState.ENDING and report.used_since_replaced:
                message = f"{workspace.name}: {report.key.hint} was replaced and is still called with; it ends soon."
                findings.append(Finding("api_keys", Grade.UNWISE, message))
    return findings or [Finding("api_keys", Grade.GOOD, "No replaced key is still in use.")]
