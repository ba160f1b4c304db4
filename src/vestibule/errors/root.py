"""The root of the tree; the families stand beside it."""

from __future__ import annotations

from typing import ClassVar


class VestibuleError(Exception):
    """Root of the tree. `code` is stable; `str(error)` is the public sentence. `retry_after` is in whole seconds, at
    least one, for what passes by itself."""

    code: ClassVar[str] = "internal_error"
    sentence: ClassVar[str] = "The request could not be handled."

    def __init__(self, message: str | None = None, *, detail: str = "", step: str = "", retry_after: int = 1) -> None:
        self.message = message or self.sentence
        self.detail = detail
        self.step = step
        self.retry_after = max(1, retry_after)
        # Whose token it was, once that is known: for the audit.
        self.provider_id = ""
        super().__init__(self.message)
