"""Lets pages of other origins call a surface with bearer tokens (Fetch standard, CORS protocol); it must not allow
credentials of the browser, so no cookie can ever ride along."""

from __future__ import annotations

from dataclasses import dataclass, field

from vestibule.edge.http import Header, Reply, Request, constant

_PREFLIGHT_FRESH_SECONDS = 7200  # what browsers keep at the most


@dataclass(frozen=True, slots=True)
class Cors:
    """`headers` are named one by one: a `*` does not cover Authorization in the standard, only in some browsers."""

    methods: tuple[str, ...]
    headers: tuple[str, ...]
    exposed: tuple[str, ...] = ()
    # Also on refusals: without these a page sees a network error instead of the reason.
    on_every_reply: tuple[Header, ...] = field(init=False)

    def __post_init__(self) -> None:
        exposed = ", ".join(("X-Request-Id", "Retry-After", "Vestibule-Warning", *self.exposed)).encode()
        headers = (
            constant(b"access-control-allow-origin", b"*"),
            constant(b"access-control-expose-headers", exposed),
        )
        object.__setattr__(self, "on_every_reply", headers)

    def preflight(self, request: Request) -> Reply | None:
        """The answer to a preflight request, which comes without credentials; None if this is none."""
        if request.method != "OPTIONS" or not request.headers(b"access-control-request-method"):
            return None
        return Reply(
            204,
            b"",
            (
                (b"access-control-allow-methods", ", ".join(self.methods).encode()),
                (b"access-control-allow-headers", ", ".join(self.headers).encode()),
                (b"access-control-max-age", str(_PREFLIGHT_FRESH_SECONDS).encode()),
                # A page of a public site may call a self-hosted service on a private network.
                *(
                    ((b"access-control-allow-private-network", b"true"),)
                    if request.headers(b"access-control-request-private-network")
                    else ()
                ),
            ),
        )
