"""Every refusal Vestibule makes, as one tree of exceptions; it must not know about HTTP.

A leaf has a stable `code` (documented in docs/problems.md, never renamed) and a public sentence. `detail` and `step`
are for logs, audit and dry runs only: they say which check failed, and never reach the caller. No message, public or
private, may carry a token, a key or a part of one.

    VestibuleError
    ├── InvalidRequest            the caller sent something that cannot be used
    │   ├── MalformedBody         malformed_body        not the JSON that was asked for
    │   ├── InvalidField          invalid_field         one named member is wrong
    │   ├── ScopeRequired         scope_required        an unverified visitor must name a conversation scope
    │   ├── InvalidArguments      invalid_arguments     an action cannot be called with these values
    │   ├── InvalidDeclaration    invalid_declaration   a file that an operator applies, with everything wrong in it
    │   ├── AmbiguousCredentials  ambiguous_credentials more than one credential in a request
    │   ├── ProviderRequired      provider_required     an opaque token does not tell whose it is: name the provider
    │   ├── OpaqueTokenNotSupported    opaque_token_not_supported
    │   ├── EncryptedTokenNotSupported encrypted_token_not_supported
    │   ├── BoundTokenNotSupported     bound_token_not_supported     the token needs a proof of possession
    │   ├── InvalidGrant          invalid_grant         unknown, expired, spent and wrong verifier look alike
    │   ├── BodyTooLarge          body_too_large
    │   ├── BodyTooSlow           body_too_slow
    │   ├── UnsupportedMedia      unsupported_media_type
    │   ├── InvalidClient         invalid_client        nobody of this name may ask for tokens
    │   ├── UnsupportedGrantType  unsupported_grant_type
    │   ├── UnsupportedFile       unsupported_file_type an uploaded file of a kind that is not taken
    │   ├── NoSuchPath            no_such_path
    │   └── MethodNotAllowed      method_not_allowed
    ├── NotAuthenticated          the credential does not prove anything
    │   ├── MissingCredentials    missing_credentials
    │   ├── InvalidApiKey         invalid_api_key       unknown, malformed, expired and revoked look alike
    │   ├── InvalidWidgetToken    invalid_widget_token  no workspace has this widget token
    │   ├── InvalidContactToken   invalid_token         likewise
    │   └── InvalidProviderToken  invalid_token         an identity provider's token, whatever is wrong with it
    ├── NotAllowed                proven, but not permitted
    │   ├── InsufficientScope     insufficient_scope
    │   ├── TrustRequired         trust_required        an action asks for a verified contact
    │   ├── ReauthenticationRequired  reauthentication_required  … who signed in recently
    │   ├── WorkspaceDisabled     workspace_disabled
    │   ├── AddressNotAllowed     ip_not_allowed        the workspace gives visitor sessions to its own hosts only
    │   └── AuthenticationRequired    authentication_required   a queue takes identified chats only
    ├── NotFound                  not_found
    ├── Conflict                  it contradicts what is known
    │   ├── AlreadyExists         already_exists
    │   ├── IdentityConflict      identity_conflict     the proof belongs to somebody else already
    │   ├── ConversationClosed    conversation_closed   nothing can be written into it any more
    │   ├── QueueClosed           queue_closed          it is outside a queue's opening hours
    │   └── ContactBusy           contact_busy          the same contact is being changed by too many at once
    ├── RateLimited               rate_limited
    ├── Upstream                  somebody else's server did not do what was asked of it
    │   ├── UpstreamFailed        upstream_failed       no connection, or no usable answer
    │   ├── UpstreamTimeout       upstream_timeout
    │   ├── UpstreamTooLarge      upstream_too_large
    │   ├── UpstreamRedirect      upstream_redirect     redirects are never followed
    │   └── UpstreamForbidden     upstream_forbidden    an address that may not be called
    └── Unavailable               try again later; never a guess
        ├── StorageUnavailable    storage_unavailable
        ├── ProviderUnavailable   provider_unavailable  an identity provider's keys are too old to trust
        ├── NoSigningKey          no_signing_key        every key was withdrawn, or they cannot be opened
        └── CannotUnseal          cannot_unseal         sealed with a secret key that is not configured
"""

from __future__ import annotations

from typing import ClassVar


class VestibuleError(Exception):
    """Root of the tree. `code` is stable; `str(error)` is the public sentence."""

    code: ClassVar[str] = "internal_error"
    sentence: ClassVar[str] = "The request could not be handled."

    def __init__(self, message: str | None = None, *, detail: str = "", step: str = "") -> None:
        self.message = message or self.sentence
        self.detail = detail
        self.step = step
        super().__init__(self.message)


class InvalidRequest(VestibuleError):
    code = "invalid_request"
    sentence = "The request is not valid."


class MalformedBody(InvalidRequest):
    code = "malformed_body"
    sentence = "The body is not valid JSON."


class InvalidField(InvalidRequest):
    """`field` is the path of the member in the body, such as `customData.plan`."""

    code = "invalid_field"
    sentence = "A field is not valid."

    def __init__(self, field: str, problem: str, *, detail: str = "", step: str = "") -> None:
        self.field = field
        super().__init__(f"{field}: {problem}", detail=detail, step=step)


class ScopeRequired(InvalidRequest):
    code = "scope_required"
    sentence = (
        "An unverified visitor must name a conversation scope (external_id), so that they see this device's"
        " conversations only."
    )


class InvalidArguments(InvalidRequest):
    code = "invalid_arguments"
    sentence = "The action cannot be called with these values."


class InvalidDeclaration(InvalidRequest):
    """`problems` are all that was found, one line each."""

    code = "invalid_declaration"

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__("; ".join(problems))


class AmbiguousCredentials(InvalidRequest):
    code = "ambiguous_credentials"
    sentence = "Send exactly one Authorization header."


class ProviderRequired(InvalidRequest):
    code = "provider_required"
    sentence = "This token does not say who issued it, and several identity providers could have: name one."


class OpaqueTokenNotSupported(InvalidRequest):
    code = "opaque_token_not_supported"
    sentence = "No identity provider here is set up to check a token that is not a JWT."


class EncryptedTokenNotSupported(InvalidRequest):
    code = "encrypted_token_not_supported"
    sentence = "Encrypted tokens (JWE) are not accepted; have the identity provider sign them only."


class BoundTokenNotSupported(InvalidRequest):
    """RFC 9449 (DPoP), RFC 8705 (mutual TLS): worth nothing without a proof that this exchange does not carry."""

    code = "bound_token_not_supported"
    sentence = "The token is bound to a key of its owner, and no proof of it can be checked here."


class InvalidGrant(InvalidRequest):
    code = "invalid_grant"
    sentence = "The user info id or its code verifier is not valid."


class BodyTooLarge(InvalidRequest):
    code = "body_too_large"
    sentence = "The body is larger than this service accepts."


class BodyTooSlow(InvalidRequest):
    code = "body_too_slow"
    sentence = "The body did not arrive in time."


class UnsupportedMedia(InvalidRequest):
    code = "unsupported_media_type"
    sentence = "Send JSON with Content-Type: application/json, in UTF-8 and not compressed."


class InvalidClient(InvalidRequest):
    code = "invalid_client"
    sentence = "The client_id or tenant_id is not known."


class UnsupportedGrantType(InvalidRequest):
    code = "unsupported_grant_type"
    sentence = "The grant_type is not supported here."


class UnsupportedFile(InvalidRequest):
    code = "unsupported_file_type"
    sentence = "Files of this kind are not accepted: send a picture, PDF, spreadsheet, text, audio or video file."


class NoSuchPath(InvalidRequest):
    code = "no_such_path"
    sentence = "There is nothing at this path."


class MethodNotAllowed(InvalidRequest):
    """`allowed` are the methods the path does answer."""

    code = "method_not_allowed"
    sentence = "This path does not answer that method."

    def __init__(self, allowed: tuple[str, ...]) -> None:
        self.allowed = allowed
        super().__init__()


class NotAuthenticated(VestibuleError):
    code = "not_authenticated"
    sentence = "The credentials are not valid."


class MissingCredentials(NotAuthenticated):
    code = "missing_credentials"
    sentence = "Send the credential as Authorization: Bearer <token>."


class InvalidApiKey(NotAuthenticated):
    code = "invalid_api_key"
    sentence = "The API key is not valid."


class InvalidWidgetToken(NotAuthenticated):
    code = "invalid_widget_token"
    sentence = "The widget token is not valid."


class InvalidContactToken(NotAuthenticated):
    code = "invalid_token"
    sentence = "The contact token is not valid."


class InvalidProviderToken(NotAuthenticated):
    code = "invalid_token"
    sentence = "The token is not valid."


class NotAllowed(VestibuleError):
    code = "not_allowed"
    sentence = "This is not permitted."


class InsufficientScope(NotAllowed):
    """`scope` is what the key would have needed."""

    code = "insufficient_scope"

    def __init__(self, scope: str) -> None:
        self.scope = scope
        super().__init__(f"The API key lacks the scope {scope}.")


class TrustRequired(NotAllowed):
    code = "trust_required"
    sentence = "This needs a verified contact."


class ReauthenticationRequired(NotAllowed):
    code = "reauthentication_required"
    sentence = "This needs a contact who signed in recently."


class WorkspaceDisabled(NotAllowed):
    code = "workspace_disabled"
    sentence = "This workspace is disabled."


class AddressNotAllowed(NotAllowed):
    code = "ip_not_allowed"
    sentence = "Visitor sessions are not given to this address."


class AuthenticationRequired(NotAllowed):
    code = "authentication_required"
    sentence = "This queue takes identified chats only: send userInfoId and codeVerifier."


class NotFound(VestibuleError):
    code = "not_found"
    sentence = "There is no such thing here."


class Conflict(VestibuleError):
    code = "conflict"
    sentence = "This contradicts what is already known."


class AlreadyExists(Conflict):
    code = "already_exists"
    sentence = "This exists already."


class IdentityConflict(Conflict):
    code = "identity_conflict"
    sentence = "This identity belongs to another person here."


class ConversationClosed(Conflict):
    code = "conversation_closed"
    sentence = "This conversation is closed."


class QueueClosed(Conflict):
    code = "queue_closed"
    sentence = "This queue is closed at this hour."


class ContactBusy(Conflict):
    code = "contact_busy"
    sentence = "This contact is being changed by other requests; try again."


class RateLimited(VestibuleError):
    """`limit` is in requests a minute, `retry_after` in whole seconds, at least one."""

    code = "rate_limited"
    sentence = "Too many requests; try again later."

    def __init__(self, limit: int, retry_after: int, *, detail: str = "") -> None:
        self.limit = limit
        self.retry_after = max(1, retry_after)
        super().__init__(detail=detail, step="rate_limit")


class Upstream(VestibuleError):
    code = "upstream"
    sentence = "Another server did not answer as it should."


class UpstreamFailed(Upstream):
    code = "upstream_failed"


class UpstreamTimeout(Upstream):
    code = "upstream_timeout"
    sentence = "Another server did not answer in time."


class UpstreamTooLarge(Upstream):
    code = "upstream_too_large"
    sentence = "Another server's answer is larger than this service accepts."


class UpstreamRedirect(Upstream):
    code = "upstream_redirect"
    sentence = "Another server answered with a redirect, which is not followed."


class UpstreamForbidden(Upstream):
    code = "upstream_forbidden"
    sentence = "The address of another server may not be called from here."


class Unavailable(VestibuleError):
    code = "unavailable"
    sentence = "The service cannot answer right now; try again."


class StorageUnavailable(Unavailable):
    code = "storage_unavailable"
    sentence = "The database cannot be reached right now; try again."


class ProviderUnavailable(Unavailable):
    code = "provider_unavailable"
    sentence = "The identity provider cannot be asked right now; try again."


class NoSigningKey(Unavailable):
    code = "no_signing_key"
    sentence = "The service has no key to sign with right now; try again."


class CannotUnseal(Unavailable):
    code = "cannot_unseal"
    sentence = "A stored value cannot be opened with the configured secret keys."
