"""Who calls: the bearer of a good contact token; it opens nothing."""

from __future__ import annotations

from vestibule.edge.contact_bearer import claims_of, visitor

__all__ = ["claims_of", "visitor"]
