"""`POST /api/authenticate/{customerId}`: a provider's token and a code challenge for a userInfoId, as the seed has it;
it must not read a token itself."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from vestibule.authenticate import Caller, guard, prove
from vestibule.conversations.admission import admit_exchange
from vestibule.edge.client_address import address_bucket, client_address
from vestibule.edge.http import Reply, Request, json_reply
from vestibule.edge.parameters import whole_number
from vestibule.edge.strict_json import decode
from vestibule.edge.surface import Route
from vestibule.errors import InvalidField, InvalidRequest, NotFound
from vestibule.model.claims import Method
from vestibule.model.unshown import Unshown
from vestibule.model.workspace import Workspace
from vestibule.runtime import Runtime
from vestibule.tenancy import LONGEST_CUSTOMER_ID
from vestibule.tokens import pkce
from vestibule.verification.token_exchange import ProviderToken

# Room for the longest token that is read (16 KiB), and refused before 64 KiB are taken in.
LARGEST_BODY = 32_768


class Payload(Unshown, frozen=True):
    """The body. A null is an absent token: pages send what they have, and null for what they have not."""

    codeChallenge: str  # noqa: N815 - the seed's name
    accessToken: str | None = None  # noqa: N815
    idToken: str | None = None  # noqa: N815


class _Answer(msgspec.Struct, frozen=True):
    userInfoId: str  # noqa: N815


_PAYLOAD = msgspec.json.Decoder(Payload)
_ENCODER = msgspec.json.Encoder()


class Authenticate:
    """The handler."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    def routes(self) -> Sequence[Route]:
        return [Route("POST", "/api/authenticate/{customer_id}", self.authenticate, proves=Method.TOKEN_EXCHANGE)]

    async def authenticate(self, request: Request) -> Reply:
        runtime = self._runtime
        provider_id = whole_number("providerId", request.query("providerId"))
        workspace = await self._workspace(request)
        body = await request.body(
            most=min(LARGEST_BODY, runtime.settings.max_body_bytes), within=runtime.settings.body_timeout / 1000
        )
        payload = decode(body, _PAYLOAD)
        if not pkce.is_challenge(payload.codeChallenge):
            raise InvalidField("codeChallenge", "must be the SHA-256 of the code verifier, 43 characters of base64url")
        if (payload.accessToken is None) == (payload.idToken is None):
            raise InvalidRequest("Send exactly one of accessToken and idToken.", step="form")
        providers = await runtime.tenancy.providers(workspace.id)
        token = ProviderToken(workspace.id, providers, provider_id, payload.accessToken, payload.idToken)
        claims, decision = await prove(runtime, runtime.token_exchange, token)
        contact = decision.contact
        request.facts |= {
            "method": claims.method.value,
            "outcome": decision.outcome.value,
            "contact": contact.id,
            "provider": claims.subject.provider_id if claims.subject is not None else 0,
        }
        if claims.notes:
            request.facts["fields"] = "; ".join(f"{name} {note}" for name, note in claims.notes.items())
        limit = runtime.settings.rate_limit_exchange_contact
        runtime.rate_limiter.take_here(workspace.id, f"exchange:{contact.id}", limit)
        user_info_id = await runtime.pending_identities.keep(claims, contact.id, payload.codeChallenge)
        return json_reply(200, _ENCODER.encode(_Answer(user_info_id)))

    async def _workspace(self, request: Request) -> Workspace:
        """The customer's workspace, after every limit that holds before a token is looked at: a signature costs more
        than a refusal. Raises InvalidField, NotFound, OriginNotAllowed, RateLimited, WorkspaceDisabled."""
        runtime, settings = self._runtime, self._runtime.settings
        address = address_bucket(client_address(request, settings.trusted_proxies))
        await runtime.rate_limiter.take("", f"exchange:{address}", settings.rate_limit_exchange_address)
        customer_id = request.params["customer_id"]
        if len(customer_id) > LONGEST_CUSTOMER_ID:
            raise InvalidField("customerId", f"must have 1 to {LONGEST_CUSTOMER_ID} characters")
        workspace = await runtime.tenancy.by_customer_id(customer_id)
        if workspace is None:
            # The words of a provider that is not there: which of the two it was is not told.
            raise NotFound("There is no such identity provider.", step="customer")
        request.facts["workspace"] = workspace.id
        await admit_exchange(runtime, workspace.id, request.headers(b"origin"))
        await guard(runtime, Caller(workspace, "exchange", settings.rate_limit_exchange_workspace))
        return workspace
