"""`/dashboard/sign-in/oidc` and its callback: staff who sign in at the installation's identity provider; it must not
lead a browser anywhere but there, and back to the dashboard."""

from __future__ import annotations

from collections.abc import Sequence

from vestibule.administration.staff_oidc import CALLBACK, LONGEST_MS, StaffProvider
from vestibule.clock import SECOND_MS
from vestibule.edge.http import Header, Reply, Request
from vestibule.edge.problem import status_of
from vestibule.edge.surface import Route, note_refusal
from vestibule.errors import ProviderUnavailable, RateLimited, SignInRefused, Upstream, VestibuleError
from vestibule.outbound.address_guard import parse_url
from vestibule.runtime import Runtime
from vestibule.settings import Settings
from vestibule.surfaces.dashboard import door
from vestibule.surfaces.dashboard.rendering import SAFE, go_to
from vestibule.surfaces.dashboard.seat import PREFIX, desk_for

BEGIN = f"{PREFIX}/sign-in/oidc"
# A minute, from one address: an office in the morning.
_ATTEMPTS = 120
_ANSWER = ("state", "iss", "error", "code")


def routes(runtime: Runtime) -> Sequence[Route]:
    if not runtime.settings.staff_oidc_issuer:
        return []
    provider = StaffProvider(runtime.settings, runtime.outbound)

    async def begin(request: Request) -> Reply:
        return await _begin(runtime, provider, request)

    async def finish(request: Request) -> Reply:
        return await _finish(runtime, provider, request)

    return [Route("GET", BEGIN, begin), Route("GET", CALLBACK, finish)]


async def _begin(runtime: Runtime, provider: StaffProvider, request: Request) -> Reply:
    sites = request.headers(b"sec-fetch-site")
    if any(site not in {b"same-origin", b"none"} for site in sites):
        # Another site's page would sign somebody in without being asked: let them choose.
        return go_to(f"{PREFIX}/sign-in")
    try:
        await runtime.rate_limiter.take("", f"staff-oidc:{door.bucket(runtime, request)}", _ATTEMPTS)
        url, kept = await provider.begin(desk_for(runtime, request, None))
        parse_url(url, runtime.settings.private_hosts)
    except (Upstream, ProviderUnavailable, RateLimited) as error:
        return _again(runtime, request, error)
    away = ((b"location", url.encode("ascii", "replace")), (b"cache-control", b"no-store"), *SAFE)
    return Reply(303, b"", (*away, _cookie(runtime.settings, kept)))


async def _finish(runtime: Runtime, provider: StaffProvider, request: Request) -> Reply:
    """Where the provider sends the browser. No address in it is ever followed."""
    answer = {name: value for name in _ANSWER if (value := request.query(name)) is not None}
    desk = desk_for(runtime, request, None)
    try:
        await runtime.rate_limiter.take("", f"staff-oidc:{door.bucket(runtime, request)}", _ATTEMPTS)
        member = await provider.finish(desk, _kept(runtime.settings, request), answer)
        reply = await door.let_in(runtime, request, member, by="oidc")
    except (SignInRefused, Upstream, ProviderUnavailable, RateLimited) as error:
        return _again(runtime, request, error)
    reply.headers += (_cookie(runtime.settings, ""),)
    return reply


def _again(runtime: Runtime, request: Request, error: VestibuleError) -> Reply:
    note_refusal(request, error)
    problem = error.message if isinstance(error, SignInRefused | RateLimited) else "The provider does not answer."
    status = status_of(error).value
    return door.sign_in_page(runtime.settings, problem, status, _cookie(runtime.settings, ""))


def _kept(settings: Settings, request: Request) -> str:
    """Raises SignInRefused where the browser holds none, or two: a neighbour's page may have set one."""
    name = _name(settings)
    pairs = [pair.strip().partition(b"=") for value in request.headers(b"cookie") for pair in value.split(b";")]
    found = [value for key, _, value in pairs if key == name]
    if len(found) != 1 or not found[0].isascii():
        raise SignInRefused(detail="this browser has not begun a sign-in here", step="browser")
    return found[0].decode("ascii")


def _cookie(settings: Settings, text: str) -> Header:
    """Lax: the provider's redirect brings it along, a form of its page would not."""
    secure = b"; Secure" if settings.public_url.startswith("https://") else b""
    seconds = LONGEST_MS // SECOND_MS if text else 0
    value = b"%s=%s; Path=/; Max-Age=%d; HttpOnly; SameSite=Lax" % (_name(settings), text.encode(), seconds)
    return (b"set-cookie", value + secure)


def _name(settings: Settings) -> bytes:
    return b"__Host-vestibule_away" if settings.public_url.startswith("https://") else b"vestibule_away"
