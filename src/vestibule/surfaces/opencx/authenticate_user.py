"""`POST /widget/authenticate-user` as the seed's OpenAPI has it; it must not verify or store anything itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec
from msgspec import UNSET, UnsetType

from vestibule.authenticate import Caller, authenticate, guard, require_enabled
from vestibule.edge.arrivals import note_proven
from vestibule.edge.bearer import bearer
from vestibule.edge.client_address import address_bucket, client_address
from vestibule.edge.http import Reply, Request, json_reply
from vestibule.edge.problem import rate_headers
from vestibule.edge.strict_json import decode
from vestibule.edge.surface import Route
from vestibule.errors import InvalidApiKey, InvalidField
from vestibule.identity import profile_rules as rules
from vestibule.model.claims import CustomData, HttpOverrides, Method, ProfileClaims
from vestibule.model.workspace import ApiKey
from vestibule.runtime import Runtime
from vestibule.tokens.api_keys import Holder
from vestibule.verification.server_to_server import ServerToServer, Vouching

# fmt: off
Language = Literal[
    "en", "fr", "de", "nl", "pl", "pt", "es", "it", "ru", "ja", "ko", "zh", "ar", "tr", "sv", "da", "no", "fi", "el",
    "cs", "hu", "th", "vi", "id", "he", "hi", "uk", "ro", "bg", "hr", "sk", "sl", "sr", "et", "lv", "lt", "is", "ga",
    "ms", "tl", "fa", "bn", "ta", "te", "ur", "sw", "zu", "af", "sq", "hy", "az", "eu", "be", "bs", "ca", "cy", "ku",
    "ckb", "kmr",
]
# fmt: on


class Payload(msgspec.Struct, frozen=True):
    """AuthenticateUserPayloadDto. The seed allows null for `avatar_url` only; for the others it clears as well, since
    "absent keeps, null clears" is one rule for every field (DESIGN 2.7). Unknown members are not forbidden, and not
    read."""

    email: str
    name: str | None | UnsetType = UNSET
    avatar_url: str | None | UnsetType = UNSET
    phone: str | None | UnsetType = UNSET
    language: Language | None | UnsetType = UNSET
    customData: CustomData | None | UnsetType = UNSET  # noqa: N815 - the API reference's name
    custom_data: CustomData | None | UnsetType = UNSET  # the guide's name for the same
    chat_context: str | None | UnsetType = UNSET
    http_action_overrides: HttpOverrides | None | UnsetType = UNSET


_NO_OVERRIDES = HttpOverrides()
_PAYLOAD = msgspec.json.Decoder(Payload)
_CANONICAL = msgspec.json.Encoder(order="sorted")


class _Contact(msgspec.Struct, frozen=True):
    id: str


class _Answer(msgspec.Struct, frozen=True):
    token: str
    contact: _Contact


_ENCODER = msgspec.json.Encoder()


def routes(runtime: Runtime) -> Sequence[Route]:
    method = ServerToServer()
    settings = runtime.settings

    async def check_again(request: Request) -> None:
        """Without `guard`, which counts: it is one attempt still."""
        require_enabled((await _identify(runtime, request)).workspace)

    async def authenticate_user(request: Request) -> Reply:
        holder = await _identify(runtime, request)
        method.admit(holder.api_key)
        limit = _limit(runtime, holder)
        allowance = await guard(runtime, Caller(holder.workspace, f"key:{holder.api_key.id}", limit))
        request.again = check_again
        body = await request.body(most=settings.max_body_bytes, within=settings.body_timeout / 1000)
        done = await authenticate(runtime, method, vouching_of(holder.api_key, decode(body, _PAYLOAD)))
        note_proven(request, method.name, done)
        answer = _ENCODER.encode(_Answer(done.token, _Contact(done.contact.id)))
        return json_reply(200, answer, *rate_headers(allowance.limit, allowance.remaining, allowance.reset))

    return [Route("POST", "/widget/authenticate-user", authenticate_user, proves=Method.SERVER_TO_SERVER)]


def vouching_of(api_key: ApiKey, payload: Payload) -> Vouching:
    """The payload as claims, each member checked. A picture's address that no browser should follow is left out, as it
    is no reason to turn a person away. Raises InvalidField in the wire's names."""
    profile = _profile_of(payload)
    picture = profile.avatar_url
    if isinstance(picture, str) and (len(picture) > rules.LONGEST_URL or not rules.is_web_url(picture)):
        note = {"avatar_url": f"refused: not an http or https URL of at most {rules.LONGEST_URL} characters"}
        return Vouching(api_key, msgspec.structs.replace(profile, avatar_url=UNSET), note)
    return Vouching(api_key, profile)


def _profile_of(payload: Payload) -> ProfileClaims:
    overrides, picture = payload.http_action_overrides, payload.avatar_url
    if isinstance(overrides, HttpOverrides):
        # Four empty maps, as in the seed's example, override nothing: the same as null.
        overrides = rules.http_overrides("http_action_overrides", overrides) if overrides != _NO_OVERRIDES else None
    return ProfileClaims(
        name=_text("name", payload.name, rules.LONGEST_NAME),
        email=payload.email,
        phone=_text("phone", payload.phone, rules.LONGEST_PHONE),
        avatar_url=_text("avatar_url", picture, len(picture) if isinstance(picture, str) else 0),
        language=payload.language,
        custom_data=_custom_data(payload),
        chat_context=_text("chat_context", payload.chat_context, rules.LONGEST_CONTEXT),
        http_action_overrides=overrides,
    )


def _text(field: str, value: str | None | UnsetType, longest: int) -> str | None | UnsetType:
    return rules.text(field, value, longest) if isinstance(value, str) else value


def _custom_data(payload: Payload) -> CustomData | None | UnsetType:
    field, value = "customData", payload.customData
    if value is UNSET:
        field, value = "custom_data", payload.custom_data
    elif payload.custom_data is not UNSET and _CANONICAL.encode(value) != _CANONICAL.encode(payload.custom_data):
        raise InvalidField("custom_data", "is the same field as customData, and says something else")
    return rules.custom_data(field, value) if isinstance(value, dict) else value


async def _identify(runtime: Runtime, request: Request) -> Holder:
    """The holder of the request's key. Wrong keys are counted per address, right ones are not: nobody is locked out by
    a neighbour's guesses (ASVS 6.1.1)."""
    try:
        holder = await runtime.api_keys.identify(bearer(request))
    except InvalidApiKey:
        address = client_address(request, runtime.settings.trusted_proxies)
        await runtime.rate_limiter.take("", f"bad_keys:{address_bucket(address)}", runtime.settings.rate_limit_bad_keys)
        raise
    request.facts |= {"workspace": holder.workspace.id, "api_key": holder.api_key.id}
    return holder


def _limit(runtime: Runtime, holder: Holder) -> int:
    """The key's own limit, else its workspace's, else the installation's."""
    return (
        holder.api_key.rate_limits.standard
        or holder.workspace.rate_limits.standard
        or runtime.settings.rate_limit_standard
    )
