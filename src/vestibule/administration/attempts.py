"""Makes each of several deletions a matter of its own: what cannot be deleted must not keep the rest; it must not know
what is deleted."""

from __future__ import annotations

import logging
from collections.abc import Awaitable
from typing import TypeVar

from vestibule.errors import VestibuleError

T = TypeVar("T")
_log = logging.getLogger(__name__)


async def attempt(what: str, deletion: Awaitable[T]) -> T | None:
    """None where it failed, which is logged."""
    try:
        return await deletion
    except VestibuleError as error:
        _log.warning("%s cannot be deleted: %s", what, error.code)
    except Exception:
        _log.exception("deleting %s failed unexpectedly", what)
    return None
