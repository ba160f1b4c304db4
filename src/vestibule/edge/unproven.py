"""Counts what enforcing login would refuse, for every surface, by request and by event; it must not refuse it."""

from __future__ import annotations

from vestibule import metrics
from vestibule.audit.log import AuditLog
from vestibule.conversations.admission import REASON, STEP
from vestibule.edge.decisions import origin_of
from vestibule.edge.http import Request


def count_unverified(audit: AuditLog | None, request: Request, surface: str) -> str:
    """What `admission.admit_unverified` has noted among the request's facts; the step that is in force."""
    step, reason, workspace_id = (str(request.facts.get(name, "")) for name in (STEP, REASON, "workspace"))
    metrics.unverified(surface, step, reason)
    if audit is not None:
        audit.count_unverified(workspace_id, surface, step, reason, origin_of(request))
    return step
