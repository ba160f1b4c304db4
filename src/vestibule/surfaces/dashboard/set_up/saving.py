"""Does what a form asks for, or shows the form again with every problem beside its field and what was typed; it must
not know any form."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence

from vestibule.edge.http import Reply
from vestibule.edge.problem import status_of
from vestibule.errors import (
    AlreadyExists,
    Conflict,
    InvalidDeclaration,
    InvalidField,
    InvalidRequest,
    StaleEdit,
    VestibuleError,
)
from vestibule.surfaces.dashboard.rendering import page
from vestibule.surfaces.dashboard.seat import PREFIX, Seat
from vestibule.surfaces.dashboard.set_up.fields import Field, by_field

Problems = Mapping[str, str]
Work = Callable[[], Awaitable[Reply]]
Again = Callable[[Problems, int], Awaitable[Reply]]


async def save(seat: Seat, fields: Sequence[Field], work: Work, again: Again, *, back: str = "") -> Reply:
    """`again` shows the form with problems and a status. `back` is the page where a stale form can be had anew."""
    try:
        return await work()
    except StaleEdit as error:
        seat.request.facts["code"] = error.code
        return page("set_up/stale.html", {"message": error.message, "back": f"{PREFIX}{back}"}, status_of(error).value)
    except (InvalidRequest, Conflict) as error:
        seat.request.facts["code"] = error.code
        return await again(by_field(_sentences(error), fields), status_of(error).value)


def refuse(problems: Problems) -> None:
    """Raises InvalidDeclaration, where a form cannot be read."""
    if problems:
        raise InvalidDeclaration([f"{name}: {problem}" for name, problem in problems.items()])


def _sentences(error: VestibuleError) -> list[str]:
    if isinstance(error, InvalidDeclaration):
        return error.problems
    if isinstance(error, InvalidField | AlreadyExists):
        return [error.message]
    # `administration.identity_providers` tells everything at once, in one sentence.
    return error.message.split("; ")
