"""What an action's declaration may look like, and its parameters' schemas; it must not store or run one.

Schemas come from a workspace and values from a model that a visitor talks to, so a check may cost neither time (the
pattern engine is linear, ASVS 1.3.12) nor a request (a schema cannot refer to another document).
"""

from __future__ import annotations

import functools
import re
from typing import Any, TypeVar

import msgspec
from jsonschema_rs import Draft202012Validator, RegexOptions

from vestibule.clock import MINUTE_MS
from vestibule.errors import InvalidField
from vestibule.identity import profile_rules
from vestibule.model.action import ActionDeclaration, ActionPolicy, Location, Locks, Parameter, Trust, Variables
from vestibule.model.claims import HttpOverrides
from vestibule.responder.overrides import METHODS_WITH_BODY, fold, is_reserved
from vestibule.responder.tools import OWN_TOOLS
from vestibule.responder.url_template import parse_template

D = TypeVar("D", bound=ActionDeclaration)
LONGEST_TIMEOUT_MS = MINUTE_MS
SHORTEST_TIMEOUT_MS = 100
LONGEST_DESCRIPTION = 4_096
MOST_PARAMETERS = 100
MOST_LOCKS = 100
LARGEST_SCHEMA = 16_384
_LONGEST_AUDIENCE = 2_048
_LONGEST_FRESHNESS_MINUTES = 60 * 24 * 365
# What models' tool interfaces accept as the name of a function.
NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_JSON = msgspec.json.Encoder(order="sorted")


def check_declaration(declaration: D, *, allow_http: bool = False) -> D:
    """The declaration, if it can be used. Raises InvalidField with the member at fault."""
    if NAME.fullmatch(declaration.name) is None:
        raise InvalidField("name", "must be 1 to 64 of A-Z, a-z, 0-9, _ and -")
    if declaration.name.lower() in OWN_TOOLS:
        raise InvalidField("name", "is the name of a tool that every model has")
    template = parse_template(declaration.url_template)
    if template.origin.startswith("http:") and not allow_http:
        raise InvalidField("url_template", "must be https")
    profile_rules.text("description", declaration.description, LONGEST_DESCRIPTION)
    if not SHORTEST_TIMEOUT_MS <= declaration.timeout_ms <= LONGEST_TIMEOUT_MS:
        raise InvalidField("timeout_ms", f"must be from {SHORTEST_TIMEOUT_MS} to {LONGEST_TIMEOUT_MS}")
    _check_trust(declaration)
    _check_audience(declaration.audience)
    _check_locks("locked", declaration.locked)
    _check_parameters(declaration)
    in_path = {parameter.name for parameter in declaration.parameters if parameter.location is Location.PATH}
    if in_path != template.names:
        odd = min(in_path ^ template.names)
        raise InvalidField("parameters", f"must have the path parameters of url_template, no more and no less: {odd}")
    return declaration


def check_policy(policy: ActionPolicy) -> ActionPolicy:
    """The policy, if it can be used. Raises InvalidField."""
    _check_locks("locked", policy.locked)
    return policy


def check_variables(variables: Variables) -> Variables:
    """The variables, if they can stand in a request. Raises InvalidField."""
    profile_rules.http_overrides("variables", variables)
    for name in variables.headers:
        check_header(f"variables.headers.{name}", name)
    return variables


def check_header(field: str, name: str, value: str = "") -> None:
    """Raises InvalidField unless the header may be sent for somebody. Names are compared as the most careless server
    would read them: `x_opencx_org_id` must not speak for us there."""
    for spelling in (name, fold(name)):
        try:
            profile_rules.http_overrides(field, HttpOverrides(headers={spelling: value}))
        except InvalidField as error:
            raise InvalidField(field, error.message.removeprefix(f"{error.field}: ")) from None
    if fold(name).startswith("vestibule-"):
        raise InvalidField(field, "is a header that may not be set")


def validator(schema: dict[str, Any]) -> Draft202012Validator:
    """What checks a value against `schema`. Raises InvalidField where it is no JSON Schema."""
    try:
        return _validator(_JSON.encode(schema))
    except (ValueError, TypeError, RecursionError) as error:
        raise InvalidField("schema", f"is not a JSON Schema: {str(error)[:200]}") from None


@functools.lru_cache(maxsize=2048)
def _validator(schema: bytes) -> Draft202012Validator:
    return Draft202012Validator(
        schema.decode(), validate_formats=True, pattern_options=RegexOptions(size_limit=1_000_000), offline=True
    )


def _check_trust(declaration: ActionDeclaration) -> None:
    minutes = declaration.verified_within_minutes
    if minutes is None:
        return
    if declaration.required_trust is not Trust.VERIFIED:
        raise InvalidField("verified_within_minutes", "needs required_trust verified")
    if not 1 <= minutes <= _LONGEST_FRESHNESS_MINUTES:
        raise InvalidField("verified_within_minutes", f"must be from 1 to {_LONGEST_FRESHNESS_MINUTES}")


def _check_audience(audience: str | None) -> None:
    if audience is not None and not (0 < len(audience) <= _LONGEST_AUDIENCE and audience.isprintable()):
        raise InvalidField("audience", f"must be 1 to {_LONGEST_AUDIENCE} printable characters")


def _check_locks(field: str, locks: Locks) -> None:
    for level, names in (("message", locks.message), ("model", locks.model)):
        if len(names) > MOST_LOCKS:
            raise InvalidField(f"{field}.{level}", f"must have at most {MOST_LOCKS} names")
        for name in names:
            if not fold(name) or len(name) > profile_rules.LONGEST_MEMBER_NAME:
                raise InvalidField(f"{field}.{level}", "must have names that are not empty and not over-long")


def _check_parameters(declaration: ActionDeclaration) -> None:
    if len(declaration.parameters) > MOST_PARAMETERS:
        raise InvalidField("parameters", f"must be at most {MOST_PARAMETERS}")
    seen: set[tuple[Location, str]] = set()
    for index, parameter in enumerate(declaration.parameters):
        field = f"parameters[{index}]"
        _check_parameter(field, parameter, declaration.method)
        name = fold(parameter.name) if parameter.location is Location.HEADER else parameter.name
        if (parameter.location, name) in seen:
            raise InvalidField(f"{field}.name", "is declared twice")
        seen.add((parameter.location, name))


def _check_parameter(field: str, parameter: Parameter, method: str) -> None:
    if not 0 < len(parameter.name) <= profile_rules.LONGEST_MEMBER_NAME or not parameter.name.isprintable():
        raise InvalidField(f"{field}.name", "must be printable, not empty and not over-long")
    profile_rules.text(f"{field}.description", parameter.description, LONGEST_DESCRIPTION)
    if parameter.location is Location.BODY and method not in METHODS_WITH_BODY:
        raise InvalidField(f"{field}.location", f"must not be body: {method} is sent without one")
    if parameter.location is Location.HEADER:
        check_header(f"{field}.name", parameter.name)
    if is_reserved(parameter.location, parameter.name):
        raise InvalidField(f"{field}.name", "says what the request is, and may not be set")
    _check_schema(f"{field}.schema", parameter.schema)


def _check_schema(field: str, schema: dict[str, Any]) -> None:
    try:
        size = len(_JSON.encode(schema))
    except (ValueError, TypeError, RecursionError):
        raise InvalidField(field, "is not JSON") from None
    if size > LARGEST_SCHEMA:
        raise InvalidField(field, f"must be at most {LARGEST_SCHEMA} bytes")
    try:
        validator(schema)
    except InvalidField as error:
        raise InvalidField(field, error.message.removeprefix("schema: ")) from None
