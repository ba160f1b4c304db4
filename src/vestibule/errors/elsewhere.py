"""What somebody else did not do: other servers, the database, the keys."""

from __future__ import annotations

from vestibule.errors.root import VestibuleError


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


class AuthBadResponse(Upstream):
    code = "auth_bad_response"
    sentence = "The server that knows this visitor did not answer as it should."


class AuthIdentityMissing(Upstream):
    code = "auth_identity_missing"
    sentence = "The server that knows this visitor did not say who it is."


class AuthTimeout(Upstream):
    code = "auth_timeout"
    sentence = "The server that knows this visitor did not answer in time."


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


class AuthUnavailable(Unavailable):
    code = "auth_unavailable"
    sentence = "The server that knows this visitor cannot be asked right now; try again."


class Stopping(Unavailable):
    code = "stopping"
    sentence = "This server is stopping and could not finish in time; try again."


class OutOfMemory(Unavailable):
    code = "out_of_memory"
    sentence = "There is no memory for this right now; try again."
