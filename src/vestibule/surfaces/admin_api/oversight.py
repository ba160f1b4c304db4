"""`/v1/admin/…/audit`, counts and coverage, and what is the installation's own: signing keys, settings, retention; it
must not change what the audit says."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec

from vestibule.administration import audit, coverage, retention, signing_keys
from vestibule.administration.audit import Proof, Shown
from vestibule.administration.retention import Purged
from vestibule.clock import SECOND_MS
from vestibule.edge.http import Reply
from vestibule.edge.operation import Operation, Parameter
from vestibule.edge.parameters import choice, cursor, cursor_of, moment, number, text
from vestibule.edge.surface import Route
from vestibule.errors import InvalidField, NotFound
from vestibule.model.audit import INSTALLATION, AuditKind
from vestibule.runtime import Runtime
from vestibule.storage.audit import AuditFilter
from vestibule.surfaces.admin_api import coverage_shapes, shapes
from vestibule.surfaces.admin_api import documenting as doc
from vestibule.surfaces.admin_api.seat import PREFIX, WORKSPACE, Seat, answer, endpoint
from vestibule.times import rfc3339

_KEYS = f"{PREFIX}/signing-keys"
# By another name than a conversation's status, which stands in the same document.
KeyStatus = Literal["pending", "signing", "retiring", "ended", "withdrawn"]
_KINDS = tuple(kind.value for kind in AuditKind)


class AuditPage(msgspec.Struct, frozen=True):
    """The latest first. A page may hold few entries, or none, and have a `next`: a filter that finds little is followed
    over several."""

    items: list[Shown]
    next: str | None


class Count(msgspec.Struct, frozen=True):
    """How many authentications of one kind there were in the hour that begins at `hour`."""

    hour: shapes.Time
    method: str
    outcome: str
    code: str
    origin: str
    key_id: str
    count: int


class CountList(msgspec.Struct, frozen=True):
    """Oldest first."""

    items: list[Count]


class SigningKey(msgspec.Struct, frozen=True):
    """A key that signs contact tokens, or has."""

    kid: str
    algorithm: str
    status: KeyStatus
    created_at: shapes.Time
    signs_from: shapes.Time
    published_until: shapes.Time
    withdrawn_at: shapes.Time | None


class SigningKeyPage(msgspec.Struct, frozen=True):
    """Oldest first; all there are."""

    items: list[SigningKey]
    next: str | None = None


class Installation(msgspec.Struct, frozen=True):
    """Settings that hold for everybody. Times are seconds, limits are requests a minute."""

    public_url: str
    unverified_retention: int
    conversation_retention: int
    audit_retention: int
    contact_token_lifetime: int
    user_info_id_lifetime: int
    signing_key_lead: int
    rate_limit_standard: int
    rate_limit_streaming: int
    rate_limit_admin: int
    rate_limit_bad_keys: int
    rate_limit_new_visitors: int
    rate_limit_uploads: int
    max_body_bytes: int
    max_file_bytes: int


class PurgeRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`dry_run`: only count them."""

    dry_run: bool = False


_PURGE = msgspec.json.Decoder(PurgeRequest)


def routes(runtime: Runtime) -> Sequence[Route]:
    return [
        endpoint(runtime, "GET", f"{WORKSPACE}/audit", _list, _LIST),
        endpoint(runtime, "GET", f"{WORKSPACE}/audit/proof", _verify, _VERIFY),
        endpoint(runtime, "GET", f"{WORKSPACE}/counts", _counts, _COUNTS),
        endpoint(runtime, "GET", f"{WORKSPACE}/coverage", _coverage, _COVERAGE),
        endpoint(runtime, "GET", f"{PREFIX}/audit", _list, _LIST_OWN, whole=True),
        endpoint(runtime, "GET", f"{PREFIX}/audit/proof", _verify, _VERIFY_OWN, whole=True),
        endpoint(runtime, "GET", f"{PREFIX}/settings", _settings, _SETTINGS, whole=True),
        endpoint(runtime, "POST", f"{PREFIX}/retention/purge", _purge, _PURGE_NOW, whole=True),
        endpoint(runtime, "GET", _KEYS, _list_keys, _LIST_KEYS, whole=True),
        endpoint(runtime, "POST", f"{_KEYS}/rotate", _rotate, _ROTATE, whole=True),
        endpoint(runtime, "POST", f"{_KEYS}/{{kid}}/retire", _retire, _RETIRE, whole=True),
    ]


async def _list(seat: Seat) -> Reply:
    request = seat.request
    # What this process has taken in is there for whoever asks it.
    await seat.desk.audit.flush()
    wanted = AuditFilter(
        kind=choice(request, "kind", _KINDS),
        method=choice(request, "method", audit.METHODS),
        outcome=choice(request, "outcome", audit.OUTCOMES),
        code=text(request, "code"),
        key_id=text(request, "key_id"),
        request_id=text(request, "request_id"),
        action=text(request, "action"),
        since=moment(request, "since") or 0,
        until=moment(request, "until") or AuditFilter().until,
    )
    page = await audit.list_page(
        seat.desk,
        seat.workspace_id or INSTALLATION,
        wanted,
        contact_id=text(request, "contact_id") or None,
        before=cursor(request, int, lambda place: 0 <= place < 2**62),
        most=number(request, "limit", default=doc.PAGE, low=1, high=doc.LARGEST_PAGE),
    )
    following = cursor_of(page.following) if page.following is not None else None
    return answer(200, AuditPage([audit.shown(stored) for stored in page.entries], following))


async def _verify(seat: Seat) -> Reply:
    await seat.desk.audit.flush()
    noted = text(seat.request, "noted_head") or None
    return answer(200, await audit.verify(seat.desk, seat.workspace_id or INSTALLATION, noted=noted))


async def _counts(seat: Seat) -> Reply:
    await seat.desk.audit.flush()
    found = await coverage.counts(
        seat.desk, seat.workspace_id, since=moment(seat.request, "since"), until=moment(seat.request, "until")
    )
    return answer(200, CountList([shapes.shown(Count, each, hour=rfc3339(each.at)) for each in found]))


async def _coverage(seat: Seat) -> Reply:
    await seat.desk.audit.flush()
    found = await coverage.coverage(
        seat.desk, seat.workspace_id, since=moment(seat.request, "since"), until=moment(seat.request, "until")
    )
    return answer(200, coverage_shapes.coverage_of(found))


async def _settings(seat: Seat) -> Reply:
    settings = seat.desk.settings
    members = {name: getattr(settings, name) for name in Installation.__struct_fields__}
    for name in members:
        if name.endswith(("_retention", "_lifetime", "_lead")):
            members[name] //= SECOND_MS
    return answer(200, Installation(**members))


async def _purge(seat: Seat) -> Reply:
    return answer(200, await retention.purge(seat.desk, dry_run=seat.read(_PURGE).dry_run))


async def _list_keys(seat: Seat) -> Reply:
    return answer(200, SigningKeyPage([_key_of(report) for report in await signing_keys.list_all(seat.desk)]))


async def _rotate(seat: Seat) -> Reply:
    return answer(201, _key_of(await signing_keys.rotate(seat.desk)))


async def _retire(seat: Seat) -> Reply:
    return answer(200, _key_of(await signing_keys.retire(seat.desk, seat.request.params["kid"])))


def _key_of(report: signing_keys.KeyReport) -> SigningKey:
    times = {name: rfc3339(getattr(report, name)) for name in ("signs_from", "published_until")}
    return shapes.shown(SigningKey, report, status=report.status.value, **times)


def _only(name: str, type_: object = str) -> Parameter:
    return Parameter(name=name, location="query", about="Only these.", type=type_)


_FILTERS = (
    _only("kind", AuditKind),
    _only("method", Literal.__getitem__(audit.METHODS)),
    _only("outcome", Literal.__getitem__(audit.OUTCOMES)),
    _only("code"),
    _only("key_id"),
    _only("request_id"),
    _only("action"),
    Parameter(name="contact_id", location="query", about="Only what is about this contact; no other filter then."),
    doc.SINCE,
    doc.UNTIL,
    doc.CURSOR,
    doc.LIMIT,
)
_NOTED = Parameter(name="noted_head", location="query", about="The `head` of an earlier proof.")


def _listing(name: str, summary: str) -> Operation:
    return Operation(
        name=name,
        summary=summary,
        parameters=_FILTERS,
        answers=doc.answer(AuditPage, "A page of entries."),
        errors=(NotFound, InvalidField),
    )


def _proving(name: str, summary: str) -> Operation:
    return Operation(
        name=name,
        summary=summary,
        about="Note `head` elsewhere, and give it back later.",
        parameters=(_NOTED,),
        answers=doc.answer(Proof, "Whether the chain holds."),
        errors=(NotFound, InvalidField),
    )


_LIST = _listing("listAudit", "Show a workspace's audit")
_LIST_OWN = _listing("listInstallationAudit", "Show the installation's own audit")
_VERIFY = _proving("proveAudit", "Prove that nothing was removed or altered")
_VERIFY_OWN = _proving("proveInstallationAudit", "Likewise for the installation's own audit")
_COUNTS = Operation(
    name="listCounts",
    summary="Count authentications by hour, method, outcome, code, origin and key",
    parameters=(doc.SINCE, doc.UNTIL),
    answers=doc.answer(CountList, "The counts; of the last day, if no time is given."),
    errors=(InvalidField,),
)
_COVERAGE = Operation(
    name="getCoverage",
    summary="Sum up how visitors were authenticated, and who still uses a replaced key",
    parameters=(doc.SINCE, doc.UNTIL),
    answers=doc.answer(coverage_shapes.Coverage, "The last day, if no time is given."),
    errors=(InvalidField,),
)
_SETTINGS = Operation(
    name="getSettings",
    summary="Show the settings that hold for everybody, retention and limits among them",
    answers=doc.answer(Installation, "As this process has them."),
)
_PURGE_NOW = Operation(
    name="purgeExpired",
    summary="Delete what is kept too long, now: unverified contacts, closed conversations",
    request=PurgeRequest,
    answers=doc.answer(Purged, "What was forgotten."),
)
_LIST_KEYS = Operation(
    name="listSigningKeys",
    summary="List the keys that sign contact tokens",
    answers=doc.answer(SigningKeyPage, "All of them."),
)
_ROTATE = Operation(
    name="rotateSigningKey",
    summary="Add a signing key: published now, signing after `signing_key_lead`",
    answers=doc.answer(SigningKey, "The key.", 201),
)
_RETIRE = Operation(
    name="retireSigningKey",
    summary="Withdraw a signing key at once, with every token that it signed",
    answers=doc.answer(SigningKey, "The key."),
)
