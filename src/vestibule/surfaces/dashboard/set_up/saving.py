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
from vestibule.surfaces.dashboard.seat import PREFIX, Handler, Seat
from vestibule.surfaces.dashboard.set_up.fields import Field, by_field

Problems = Mapping[str, str]
Again = Callable[[Seat, Problems, int], Awaitable[Reply]]


def saving(fields: Sequence[Field], again: Again, *, back: str) -> Callable[[Handler], Handler]:
    """Around each handler that does what a form asks for. `again` shows the form with problems and a status; `back` is
    the page where a stale form can be had anew, with parameters like those of the form's path."""

    def saved(work: Handler) -> Handler:
        async def save(seat: Seat) -> Reply:
            try:
                return await work(seat)
            except StaleEdit as error:
                seat.request.facts["code"] = error.code
                values = {"message": error.message, "back": PREFIX + back.format(**seat.request.params)}
                return page("set_up/stale.html", values, status_of(error).value)
            except (InvalidRequest, Conflict) as error:
                seat.request.facts["code"] = error.code
                return await again(seat, by_field(_sentences(error), fields), status_of(error).value)

        return save

    return saved


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
