"""Refusals of who asks: nothing proven, or proven and not permitted."""

from __future__ import annotations

from vestibule.errors.root import VestibuleError


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


class InvalidMetricsToken(NotAuthenticated):
    code = "invalid_metrics_token"
    sentence = "The metrics token is not valid."


class InvalidAdminKey(NotAuthenticated):
    code = "invalid_admin_key"
    sentence = "The admin key is not valid."


class AuthRejected(NotAuthenticated):
    code = "auth_rejected"
    sentence = "The user token is not accepted."


class LoginRequired(NotAuthenticated):
    code = "login_required"
    sentence = "This needs a visitor who is signed in."


class NotSignedIn(NotAuthenticated):
    code = "not_signed_in"
    sentence = "Sign in first."


class WrongPassword(NotAuthenticated):
    code = "wrong_password"
    sentence = "E-mail or password is not right."


class InvalidLink(NotAuthenticated):
    code = "invalid_link"
    sentence = "This link was used already, or has run out. Ask for another one."


class SignInRefused(NotAuthenticated):
    code = "sign_in_refused"
    sentence = "Your account there is not staff here, or this sign-in has not gone well. Try again from the beginning."


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


class OriginNotAllowed(NotAllowed):
    code = "origin_not_allowed"
    sentence = "This page may not call here."


class DomainNotAllowed(NotAllowed):
    code = "domain_not_allowed"
    sentence = "This page may not open the chat of this workspace."


class RoleRequired(NotAllowed):
    """`role` is the least that would do."""

    code = "role_required"

    def __init__(self, role: str) -> None:
        self.role = role
        super().__init__(f"This needs the role {role}.")


class ForeignPage(NotAllowed):
    code = "foreign_page"
    sentence = "This form was sent from another site, or the address of this page is not public_url."


class PasswordsOff(NotAllowed):
    code = "passwords_off"
    sentence = "Passwords are not taken here: sign in through your identity provider."
