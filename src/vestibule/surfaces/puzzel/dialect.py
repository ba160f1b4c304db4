"""How Puzzel's wire says no: a problem whose `code` is the name that this wire has for it; it decides nothing.

Where that is another one than everywhere else, `cause` is our own stable code, as the log, the audit and the metrics
have it. What is not in the table has one name.
"""

from __future__ import annotations

import msgspec
from msgspec import UNSET, UnsetType

from vestibule import errors
from vestibule.edge.http import Reply
from vestibule.edge.problem import Problem, described, rendered

# By class: a visitor's token and an identity provider's are both `invalid_token` elsewhere, and two things here.
NAMES: dict[type[errors.VestibuleError], str] = {
    errors.MalformedBody: "invalid_request",
    errors.InvalidField: "invalid_request",
    errors.AmbiguousCredentials: "invalid_request",
    errors.MissingCredentials: "invalid_session",
    errors.InvalidContactToken: "invalid_session",
    errors.UpstreamFailed: "idp_error",
    errors.UpstreamTooLarge: "idp_error",
    errors.UpstreamRedirect: "idp_error",
    errors.UpstreamForbidden: "idp_error",
    errors.ProviderUnavailable: "idp_error",
    errors.UpstreamTimeout: "idp_timeout",
}


class _Problem(Problem, frozen=True, omit_defaults=True):
    cause: str | UnsetType = UNSET


def puzzel_problem(error: errors.VestibuleError) -> Reply:
    body = described(error)
    name = NAMES.get(type(error))
    if name is None:
        return rendered(error, body)
    told = msgspec.structs.asdict(body) | {"type": f"urn:vestibule:problem:{name}", "code": name, "cause": error.code}
    return rendered(error, _Problem(**told))
