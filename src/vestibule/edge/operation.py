"""What a route is documented with, as values (`openapi.py` makes the document of them); no code here."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import Any, Literal

import msgspec

from vestibule.errors import VestibuleError


class Parameter(msgspec.Struct, frozen=True, kw_only=True):
    """A parameter beside the body. `type` is a Python type, as msgspec reads it."""

    name: str
    location: Literal["path", "query", "header"]
    about: str
    type: Any = str
    required: bool = False


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """An answer that is no error. `type` is None where there is no body to describe."""

    about: str
    status: int = 200
    type: Any = None
    media_type: str = "application/json"
    headers: dict[str, str] = {}


class ErrorForm(msgspec.Struct, frozen=True, kw_only=True):
    """How an operation's refusals look, where they are no problems of RFC 9457."""

    media_type: str
    type: Any
    status_of: Callable[[type[VestibuleError]], HTTPStatus]


class Operation(msgspec.Struct, frozen=True, kw_only=True):
    """One method of one path. `errors` are those of its own; those that every request may meet are added."""

    name: str
    summary: str
    about: str = ""
    parameters: tuple[Parameter, ...] = ()
    request: Any = None
    # In place of `request`, for a body that is no JSON: its media type and its schema.
    form: tuple[str, dict[str, Any]] | None = None
    answers: tuple[Answer, ...]
    errors: tuple[type[VestibuleError], ...] = ()
    error_form: ErrorForm | None = None
    public: bool = False
