"""Looks over an installation and says what is wrong or unwise; it changes nothing that was there."""

from __future__ import annotations

import enum
import io
from pathlib import Path

import msgspec

from vestibule.administration import (
    actions,
    admin_keys,
    api_keys,
    auth_endpoint_rules,
    auth_endpoints,
    responders,
    workspaces,
)
from vestibule.administration.desk import Desk
from vestibule.clock import DAY_MS, now_ms
from vestibule.errors import CannotUnseal, StorageUnavailable
from vestibule.ids import new_id
from vestibule.model.auth_endpoint import AuthEndpointSettings
from vestibule.model.responder import ResponderKind
from vestibule.model.workspace import Workspace
from vestibule.responder.overrides import recommended_locks
from vestibule.settings import unknown_variables
from vestibule.storage import installation
from vestibule.storage.rate_totals import DatabaseTotals
from vestibule.storage.signing_keys import list_all, sealing_context
from vestibule.times import rfc3339
from vestibule.tokens.signing_keys import Status, status_of

_SAMPLED_CONTACTS = 200
_MOST_NAMED = 20
# Time for whoever looks once a week to get another one to where it is used.
_SOON_MS = 14 * DAY_MS


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
        _private_hosts(desk),
        await _valkey(desk),
        await _bucket(desk) if desk.settings.s3_bucket else _files_directory(desk),
        *await _api_keys(desk),
        *await _admin_keys(desk),
        *await _of_each_workspace(desk),
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
        desk.sealer.unseal(signing[0].sealed_private_jwk or "", sealing_context(signing[0].id))
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


def _private_hosts(desk: Desk) -> Finding:
    networks = desk.settings.private_hosts
    if networks:
        listed = ", ".join(map(str, networks))
        message = f"Calls out may reach private networks, also without TLS: {listed}. Keep them small."
        return Finding("private_hosts", Grade.UNWISE, message)
    return Finding("private_hosts", Grade.GOOD, "Calls out reach public addresses only.")


def _files_directory(desk: Desk) -> Finding:
    directory = desk.settings.files_directory
    if not Path(directory).is_absolute():
        message = f"{directory} is another place for each directory that a server or a command is started in."
        return Finding("files_directory", Grade.UNWISE, message)
    return Finding("files_directory", Grade.GOOD, f"Files lie in {directory}.")


async def _valkey(desk: Desk) -> Finding:
    if not desk.settings.valkey_url:
        return Finding("valkey", Grade.GOOD, "Not set: the database shares rate limits and live events.")
    from vestibule.valkey import ValkeyTotals  # noqa: PLC0415 - others need not load its library

    totals = ValkeyTotals(desk.settings.valkey_url, desk.settings.ca_file, DatabaseTotals(desk.store))
    try:
        wrong = await totals.check()
    finally:
        await totals.close()
    if wrong:
        return Finding("valkey", Grade.BAD, f"It cannot be used ({wrong}); the database stands in for it.")
    return Finding("valkey", Grade.GOOD, "It shares rate limits and live events.")


async def _bucket(desk: Desk) -> Finding:
    """By a file that is written, read and deleted, as whoever may not list the bucket can, too."""
    place = (new_id(), new_id())
    try:
        await desk.files.put(*place, io.BytesIO(b"x"))
        found = await desk.files.open(*place, 0, 1)
        await desk.files.delete(*place)
        gone = await desk.files.open(*place, 0, 1)
    except StorageUnavailable as error:
        message = f"{desk.settings.s3_bucket} cannot be used ({error.step}: {error.detail}): check the settings s3_…."
        return Finding("s3_bucket", Grade.BAD, message)
    if found is None or gone is not None:
        return Finding("s3_bucket", Grade.BAD, f"{desk.settings.s3_bucket} does not give back what it was given.")
    if desk.settings.s3_endpoint.startswith("http://"):
        message = f"Files travel to {desk.settings.s3_endpoint} in clear: for one machine, or a network of your own."
        return Finding("s3_bucket", Grade.UNWISE, message)
    return Finding("s3_bucket", Grade.GOOD, f"Files lie in the bucket {desk.settings.s3_bucket}.")


async def _of_each_workspace(desk: Desk) -> list[Finding]:
    findings: list[Finding] = []
    for workspace in await workspaces.list_all(desk):
        try:
            findings += await _responder(desk, workspace)
            findings += await _locks(desk, workspace)
            findings += await _auth_endpoint(desk, workspace)
        except CannotUnseal:
            message = f"{_called(workspace)}: its settings cannot be opened: check secret_keys."
            findings.append(Finding("workspace_settings", Grade.BAD, message))
    for check, message in (
        ("responder", "Every responder can work as it is set."),
        ("action_locks", "No page can replace what a contact is given."),
        ("auth_endpoint", "Every auth endpoint can be asked as it is set."),
    ):
        if not any(found.check == check for found in findings):
            findings.append(Finding(check, Grade.GOOD, message))
    return findings


def _called(workspace: Workspace) -> str:
    return f"{workspace.name} ({workspace.id})"


async def _responder(desk: Desk, workspace: Workspace) -> list[Finding]:
    settings = await responders.read(desk, workspace.id)
    findings = [
        Finding("responder", Grade.BAD, f"{_called(workspace)}: {problem.message}.")
        for problem in responders.problems_of(desk, settings)
    ]
    if settings.kind is ResponderKind.WEBHOOK and len(settings.secrets) > 1:
        message = (
            f"{_called(workspace)}: an old webhook secret still signs. Once the bot takes the new one: "
            "vestibule responder set --forget-old-secret"
        )
        findings.append(Finding("responder", Grade.UNWISE, message))
    return findings


async def _locks(desk: Desk, workspace: Workspace) -> list[Finding]:
    """A name that the customer's backend sets for a contact, and that the contact's browser may replace, is a wish and
    no rule: a visitor may set another account's number."""
    if not await actions.list_all(desk, workspace.id):
        return []
    policy = await actions.policy(desk, workspace.id)
    names: set[str] = set()
    for contact in await desk.contacts.with_overrides(workspace.id, _SAMPLED_CONTACTS):
        if contact.http_action_overrides is not None:
            names.update(recommended_locks(contact.http_action_overrides, policy))
    if not names:
        return []
    message = (
        f"{_called(workspace)}: the page may replace what your backend sets for a contact. Unless it shall, declare "
        f"[policy] locked.message = {sorted(names)[:_MOST_NAMED]}"
    )
    return [Finding("action_locks", Grade.UNWISE, message)]


async def _auth_endpoint(desk: Desk, workspace: Workspace) -> list[Finding]:
    settings = await auth_endpoints.read(desk, workspace.id)
    if settings == AuthEndpointSettings():
        return []
    problems = auth_endpoint_rules.problems(settings, desk.settings.private_hosts)
    unwise = auth_endpoint_rules.warnings(settings)
    if len(settings.secrets) > 1:
        unwise.append("an old signing secret still signs. Once your server takes the new one: --forget-old-secret")
    return [
        Finding("auth_endpoint", grade, f"{_called(workspace)}: {message}.")
        for grade, messages in ((Grade.BAD, problems), (Grade.UNWISE, unwise))
        for message in messages
    ]


async def _api_keys(desk: Desk) -> list[Finding]:
    findings = []
    for workspace in await workspaces.list_all(desk):
        for report in await api_keys.report(desk, workspace.id):
            said = f"{workspace.name}: {report.key.hint}"
            if report.state is api_keys.KeyState.ENDING and report.used_since_replaced:
                message = f"{said} was replaced and is still called with; it ends soon."
                findings.append(Finding("api_keys", Grade.UNWISE, message))
            elif report.state is api_keys.KeyState.ACTIVE and (ends := _soon(report.key.expires_at)):
                findings.append(Finding("api_keys", Grade.UNWISE, f"{said} ends at {ends}: vestibule api-key rotate"))
    return findings or [Finding("api_keys", Grade.GOOD, "No key ends soon, and no replaced key is still in use.")]


async def _admin_keys(desk: Desk) -> list[Finding]:
    findings = []
    places: list[tuple[str | None, str]] = [(None, "The installation")]
    places += [(each.id, each.name) for each in await workspaces.list_all(desk)]
    for workspace_id, name in places:
        for key in await admin_keys.list_all(desk, workspace_id):
            if key.usable_at(now_ms()) and (ends := _soon(key.expires_at)):
                message = f"{name}: {key.hint} ends at {ends}. Make the next one, deploy it, revoke this one."
                findings.append(Finding("admin_keys", Grade.UNWISE, message))
    return findings or [Finding("admin_keys", Grade.GOOD, "No key ends soon.")]


def _soon(expires_at: int | None) -> str:
    """When a key ends that is good now; empty if that is long to come."""
    return rfc3339(expires_at) if expires_at is not None and expires_at < now_ms() + _SOON_MS else ""
