"""Refusals of requests that cannot be used, whoever sends them."""

from __future__ import annotations

from vestibule.errors.root import VestibuleError


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


class IdempotencyKeyReused(InvalidRequest):
    code = "idempotency_key_reused"
    sentence = "This Idempotency-Key came with another request before."
