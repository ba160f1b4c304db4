"""Makes an audit entry of an answered request that decided who somebody is; it must not decide or store."""

from __future__ import annotations

from vestibule import errors
from vestibule.clock import now_ms
from vestibule.conversations.admission import REASON, STEP, Reason
from vestibule.edge.client_address import client_address, truncated
from vestibule.edge.http import Request
from vestibule.model.audit import INSTALLATION, ISSUED, REFUSED, WARNED, AuditEntry, AuditKind
from vestibule.model.auth_endpoint import Enforcement
from vestibule.model.claims import Method
from vestibule.settings import Network

AUTHENTICATE = "authenticate"
# A credential that was given out before, and is shown now: of these the audit has the refusals only.
PRESENT = "present_credential"
_LONGEST_ORIGIN = 200
_LONGEST_DETAIL = 500
_CREDENTIALS: tuple[tuple[type[errors.VestibuleError], str], ...] = (
    (errors.InvalidContactToken, "contact_token"),
    (errors.InvalidWidgetToken, "widget_token"),
    (errors.InvalidAdminKey, "admin_key"),
    (errors.InvalidApiKey, "api_key"),
)
# Of people at the dashboard: who visitors are is not decided there, and coverage does not count it.
DASHBOARD = "dashboard"
# Also before it is known who they are.
_OF_STAFF = (
    errors.ForeignPage,
    errors.InvalidLink,
    errors.SignInRefused,
    errors.PasswordsOff,
)


_ARRIVING = frozenset({Reason.ARRIVE.value, Reason.FALLBACK.value})


def decision_of(request: Request, trusted: tuple[Network, ...]) -> AuditEntry | None:
    """None where the request decided nothing about anybody: a good token's use, or a mistake in a body elsewhere."""
    refusal = request.refusal
    if not request.proves and not isinstance(refusal, errors.NotAuthenticated | errors.NotAllowed):
        return None
    if isinstance(refusal, errors.NotSignedIn):  # led to the sign-in, which is where something is decided
        return None
    facts = request.facts
    of_staff = "staff" in facts or isinstance(refusal, _OF_STAFF)
    warned = facts.get(STEP) == Enforcement.WARN and facts.get(REASON) in _ARRIVING
    # A key or token that proves nothing names no workspace that could be believed.
    workspace_id = str(facts.get("workspace") or INSTALLATION)
    return AuditEntry(
        workspace_id=workspace_id,
        kind=AuditKind.ADMINISTRATION if of_staff else AuditKind.AUTHENTICATION,
        action=DASHBOARD if of_staff else AUTHENTICATE if request.proves else PRESENT,
        actor=f"staff:{facts['staff']}" if "staff" in facts else "",
        outcome=REFUSED if refusal is not None else WARNED if warned else str(facts.get("outcome", ISSUED)),
        at=now_ms(),
        method=_method(request),
        code=refusal.code if refusal is not None else errors.LoginRequired.code if warned else "",
        step=refusal.step if refusal is not None else "",
        reason=refusal.message[:_LONGEST_DETAIL] if refusal is not None else "",
        detail=refusal.detail[:_LONGEST_DETAIL] if refusal is not None else "",
        key_id=str(facts.get("api_key") or facts.get("admin_key", "")),
        provider_id=str(facts.get("provider") or (refusal.provider_id if refusal is not None else "")),
        origin=origin_of(request),
        request_id=request.scope.get("vestibule.request_id", ""),
        target=str(facts.get("token_id", "")),
        contact_id=str(facts["contact"]) if "contact" in facts else None,
        address=truncated(client_address(request, trusted)) or None,
    )


def _method(request: Request) -> str:
    """A guest whom the auth endpoint could not name has not come by its proof."""
    if request.refusal is None and request.facts.get("method") == Method.UNVERIFIED:
        return Method.UNVERIFIED.value
    return request.proves or _credential(request.refusal)


def _credential(refusal: errors.VestibuleError | None) -> str:
    for kind, name in _CREDENTIALS:
        if isinstance(refusal, kind):
            return name
    return ""


def origin_of(request: Request) -> str:
    """The page's, by its browser's word. Anybody may send another: printable ASCII, and cut."""
    values = request.headers(b"origin")
    text = values[0][:_LONGEST_ORIGIN].decode("latin-1") if len(values) == 1 else ""
    return text if text.isascii() and text.isprintable() else ""
