"""A customer's auth endpoint as its workspace has set it up; what may be set, `administration.auth_endpoints` says; no
I/O."""

from __future__ import annotations

import enum

import msgspec


class HeaderForm(enum.StrEnum):
    """How the header token stands in its header. The first is the published one, to the letter."""

    TOKEN_BEARER = "{token} Bearer"  # noqa: S105 - a form, and no token
    BEARER_TOKEN = "Bearer {token}"  # noqa: S105
    TOKEN = "{token}"  # noqa: S105


class IdentityMethod(enum.StrEnum):
    """The one member of the answer that says which contact it is."""

    ID = "id"
    EMAIL = "email"
    PHONE_NUMBER = "phone_number"


class ExtraField(enum.StrEnum):
    """What a page may say of its visitor, and the workspace may have passed on. It proves nothing."""

    USER_ID = "user_id"
    EMAIL = "email"
    NAME = "name"
    PHONE_NUMBER = "phone_number"


class Fallback(enum.StrEnum):
    """What becomes of a visitor where the endpoint could not tell."""

    BLOCK = "block"
    GUEST = "guest"


class Enforcement(enum.StrEnum):
    """What becomes of visitors without proof."""

    OBSERVE = "observe"  # they are let in, and counted
    WARN = "warn"  # let in, counted, and each answer to them says that it would be refused
    ENFORCE = "enforce"  # refused


class AuthEndpointSettings(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The settings of one workspace, sealed whole at rest. `secrets` sign what is sent (Standard Webhooks), the first
    being the current one. `required_login` and the domains count for every way in, also where there is no `url`.
    `required_login` and `warn_unverified` are one setting, `enforcement`, and are never both true."""

    url: str = ""
    header_token: str = ""
    header_name: str = "Authorization"
    header_form: HeaderForm = HeaderForm.TOKEN_BEARER
    fields: tuple[ExtraField, ...] = ()
    identity_method: IdentityMethod = IdentityMethod.ID
    country_code: str = ""  # of phone numbers that come without one
    required_login: bool = False
    warn_unverified: bool = False
    fallback: Fallback = Fallback.BLOCK
    # The published reading: a contact that was never proven becomes the proven person who has its e-mail.
    claim_unverified_contacts: bool = False
    secrets: tuple[str, ...] = ()
    # PEM. Shown to the endpoint; and trusted there instead of the public authorities.
    client_certificate: str = ""
    client_key: str = ""
    ca: str = ""
    restrict_domains: bool = False
    domains: tuple[str, ...] = ()
    domains_url: str = ""
    # Whether who sends no Origin, as apps do, may come in while domains are restricted.
    native_apps: bool = False
    cache_seconds: int = 60

    @property
    def enforcement(self) -> Enforcement:
        if self.required_login:
            return Enforcement.ENFORCE
        return Enforcement.WARN if self.warn_unverified else Enforcement.OBSERVE

    def at(self, step: Enforcement) -> AuthEndpointSettings:
        """These settings at another step."""
        enforced, warned = step is Enforcement.ENFORCE, step is Enforcement.WARN
        return msgspec.structs.replace(self, required_login=enforced, warn_unverified=warned)

    def __repr__(self) -> str:
        return f"AuthEndpointSettings({self.identity_method.value})"
