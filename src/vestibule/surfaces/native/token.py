"""`POST /v1/token`: an identity provider's token, or a userInfoId, for a contact token, as OAuth 2.0 clients ask for
one (RFC 8693, RFC 6749 section 4.5); it must not judge a token itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from vestibule.authenticate import Authenticated, Caller, authenticate, guard, redeem
from vestibule.clock import SECOND_MS
from vestibule.conversations.admission import admit_exchange
from vestibule.edge.arrivals import note_proven
from vestibule.edge.client_address import address_bucket, client_address
from vestibule.edge.form import MEDIA_TYPE, read_form
from vestibule.edge.http import Reply, Request, json_reply
from vestibule.edge.oauth import NO_CACHE, OAuthError, oauth_status, speaking_oauth
from vestibule.edge.operation import Answer, ErrorForm, Operation
from vestibule.edge.parameters import whole_number
from vestibule.edge.surface import Route
from vestibule.errors import (
    BoundTokenNotSupported,
    EncryptedTokenNotSupported,
    IdentityConflict,
    InvalidClient,
    InvalidField,
    InvalidGrant,
    InvalidProviderToken,
    InvalidRequest,
    NoSigningKey,
    NotFound,
    OpaqueTokenNotSupported,
    ProviderRequired,
    ProviderUnavailable,
    RateLimited,
    UnsupportedGrantType,
    Upstream,
    UpstreamTimeout,
    WorkspaceDisabled,
)
from vestibule.model.claims import Method
from vestibule.model.workspace import Workspace
from vestibule.oidc.strict_jws import parse
from vestibule.oidc.token_kind import ACCESS_TOKEN_TYPES
from vestibule.runtime import Runtime
from vestibule.tenancy import LONGEST_CUSTOMER_ID
from vestibule.verification.token_exchange import ProviderToken

EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
USER_INFO_ID = "urn:vestibule:params:oauth:grant-type:user-info-id"
_TYPE = "urn:ietf:params:oauth:token-type:"
ID_TOKEN, ACCESS_TOKEN, JWT = f"{_TYPE}id_token", f"{_TYPE}access_token", f"{_TYPE}jwt"
# No client can choose it for a conversation: a path's segment has no slash.
_CONVERSATION = "/v1/token"
# Room for the longest provider's token that is read (16 KiB), which a form spells as it is.
_LARGEST = 32_768

Form = dict[str, str]


class ContactReference(msgspec.Struct, frozen=True):
    """Whom a contact token stands for."""

    id: str


class IssuedToken(msgspec.Struct, frozen=True):
    """A contact token (RFC 8693 section 2.2.1); `expires_in` is in seconds."""

    access_token: str
    issued_token_type: str
    token_type: str
    expires_in: int
    contact: ContactReference

    def __repr__(self) -> str:
        return f"IssuedToken({self.contact.id!r})"


_ENCODER = msgspec.json.Encoder()


class Token:
    """The handler."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._grants = {EXCHANGE: self._exchange, USER_INFO_ID: self._redeem}

    def routes(self) -> Sequence[Route]:
        return [Route("POST", "/v1/token", speaking_oauth(self.issue), _TOKEN, proves=Method.TOKEN_EXCHANGE)]

    async def issue(self, request: Request) -> Reply:
        runtime, settings = self._runtime, self._runtime.settings
        # Before anything is read: a signature costs more than a refusal. One count for all faces of the exchange.
        address = address_bucket(client_address(request, settings.trusted_proxies))
        await runtime.rate_limiter.take("", f"exchange:{address}", settings.rate_limit_exchange_address)
        most = min(_LARGEST, settings.max_body_bytes)
        form = await read_form(request, most=most, within=settings.body_timeout / 1000)
        grant = self._grants.get(_required(form, "grant_type"))
        if grant is None:
            raise UnsupportedGrantType(step="grant_type")
        _refuse_what_is_not_done(form, settings.public_url)
        workspace = await workspace_of(runtime, _required(form, "client_id"))
        request.facts["workspace"] = workspace.id
        await admit_exchange(runtime, workspace.id, request.headers(b"origin"))
        await guard(runtime, Caller(workspace, "exchange", settings.rate_limit_exchange_workspace))
        made = await grant(workspace, form)
        contact = made.contact
        note_proven(request, Method.TOKEN_EXCHANGE, made)
        runtime.rate_limiter.take_here(workspace.id, f"exchange:{contact.id}", settings.rate_limit_exchange_contact)
        answer = IssuedToken(
            access_token=made.token,
            issued_token_type=form.get("requested_token_type", JWT),
            token_type="Bearer",  # noqa: S106 - RFC 6750
            expires_in=settings.contact_token_lifetime // SECOND_MS,
            contact=ContactReference(contact.id),
        )
        return json_reply(200, _ENCODER.encode(answer), NO_CACHE)

    async def _exchange(self, workspace: Workspace, form: Form) -> Authenticated:
        """RFC 8693 section 2.1."""
        token, kind = _required(form, "subject_token"), _required(form, "subject_token_type")
        if kind not in {ID_TOKEN, ACCESS_TOKEN, JWT}:
            raise InvalidField("subject_token_type", f"must be {ID_TOKEN}, {ACCESS_TOKEN} or {JWT}")
        is_id_token = kind == ID_TOKEN or (kind == JWT and not _says_access_token(token))
        credential = ProviderToken(
            workspace_id=workspace.id,
            providers=await self._runtime.tenancy.providers(workspace.id),
            provider_id=whole_number("provider_id", form.get("provider_id")),
            access_token=None if is_id_token else token,
            id_token=token if is_id_token else None,
        )
        return await authenticate(self._runtime, self._runtime.token_exchange, credential)

    async def _redeem(self, workspace: Workspace, form: Form) -> Authenticated:
        """What Puzzel's face has begun, for a page that goes on with this API. The same again is answered alike, so
        that a page whose answer was lost can ask once more."""
        user_info_id, verifier = _required(form, "user_info_id"), _required(form, "code_verifier")
        return await redeem(self._runtime, workspace.id, user_info_id, verifier, conversation=_CONVERSATION, visitor="")


async def workspace_of(runtime: Runtime, customer_id: str) -> Workspace:
    """Raises InvalidClient."""
    workspace = await runtime.tenancy.by_customer_id(customer_id)
    if workspace is None:
        raise InvalidClient("No workspace here has this customer id.", step="client")
    return workspace


def _required(form: Form, name: str) -> str:
    value = form.get(name)
    if value is None:
        raise InvalidField(name, "is required")
    return value


def _refuse_what_is_not_done(form: Form, public_url: str) -> None:
    """A parameter that asks for something else than what is issued is refused, never overlooked."""
    if form.get("requested_token_type", JWT) not in {JWT, ACCESS_TOKEN}:
        raise InvalidField("requested_token_type", f"must be {JWT} or {ACCESS_TOKEN}")
    for name in ("actor_token", "actor_token_type"):
        if name in form:
            raise InvalidField(name, "is not supported: a contact acts for themselves")
    for name in ("audience", "resource"):
        if form.get(name, public_url).rstrip("/") != public_url:
            raise InvalidField(name, "must be this service, or left out")
    if "scope" in form:
        raise InvalidField("scope", "must be left out: contact tokens have none")


def _says_access_token(jwt: str) -> bool:
    """Whether a JWT is an access token by its own header. This chooses by what rules it is read, once: it is not tried
    by the others afterwards. Raises InvalidProviderToken."""
    return (parse(jwt).type or "").lower() in ACCESS_TOKEN_TYPES


def _text(about: str, **more: Any) -> dict[str, Any]:
    return {"type": "string", "description": about, **more}


_FORM = {
    "type": "object",
    "properties": {
        "grant_type": _text("Which of the two.", enum=[EXCHANGE, USER_INFO_ID]),
        "client_id": _text("The workspace's customer id.", minLength=1, maxLength=LONGEST_CUSTOMER_ID),
        "subject_token": _text("The identity provider's token, for the exchange."),
        "subject_token_type": _text(
            "What it is. A JWT is read as an access token if its header says at+jwt, else as an ID token.",
            enum=[ID_TOKEN, ACCESS_TOKEN, JWT],
        ),
        "requested_token_type": _text("Both mean the contact token.", enum=[JWT, ACCESS_TOKEN]),
        "provider_id": _text("The identity provider's number, where its token does not tell.", pattern="^[0-9]{1,18}$"),
        "user_info_id": _text("For the other grant: what POST /api/authenticate/{customerId} has answered."),
        "code_verifier": _text("Its code verifier (RFC 7636).", pattern="^[A-Za-z0-9._~-]{43,128}$"),
    },
    "required": ["grant_type", "client_id"],
}
_TOKEN = Operation(
    name="issueToken",
    summary="Exchange an identity provider's token for a contact token",
    about="OAuth 2.0 Token Exchange (RFC 8693), for clients without a secret. The provider's token is the proof; it is"
    " not kept. The second grant redeems a user info id with its code verifier.",
    form=(MEDIA_TYPE, _FORM),
    answers=(Answer(about="A contact token.", type=IssuedToken),),
    errors=(
        InvalidRequest,
        InvalidClient,
        InvalidGrant,
        UnsupportedGrantType,
        InvalidProviderToken,
        NotFound,
        ProviderRequired,
        OpaqueTokenNotSupported,
        EncryptedTokenNotSupported,
        BoundTokenNotSupported,
        IdentityConflict,
        WorkspaceDisabled,
        RateLimited,
        Upstream,
        UpstreamTimeout,
        ProviderUnavailable,
        NoSigningKey,
    ),
    error_form=ErrorForm(media_type="application/json", type=OAuthError, status_of=oauth_status),
    public=True,
)
