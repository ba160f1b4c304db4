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
    │   ├── MethodNotAllowed      method_not_allowed
    │   └── IdempotencyKeyReused  idempotency_key_reused    the same Idempotency-Key, and another request
    ├── NotAuthenticated          the credential does not prove anything
    │   ├── MissingCredentials    missing_credentials
    │   ├── InvalidApiKey         invalid_api_key       unknown, malformed, expired and revoked look alike
    │   ├── InvalidWidgetToken    invalid_widget_token  no workspace has this widget token
    │   ├── InvalidContactToken   invalid_token         likewise
    │   ├── InvalidProviderToken  invalid_token         an identity provider's token, whatever is wrong with it
    │   ├── InvalidMetricsToken   invalid_metrics_token a scraper's
    │   ├── InvalidAdminKey       invalid_admin_key     unknown, malformed, expired and revoked look alike
    │   ├── AuthRejected          auth_rejected         the customer's auth endpoint does not know the user token
    │   ├── LoginRequired         login_required        the workspace has no visitors without proof
    │   ├── NotSignedIn           not_signed_in         no session of staff, or it has ended
    │   ├── WrongPassword         wrong_password        unknown e-mail and wrong password look alike
    │   ├── InvalidLink           invalid_link          unknown, used and expired look alike
    │   └── SignInRefused         sign_in_refused       staff who come back from their identity provider
    ├── NotAllowed                proven, but not permitted
    │   ├── InsufficientScope     insufficient_scope
    │   ├── TrustRequired         trust_required        an action asks for a verified contact
    │   ├── ReauthenticationRequired  reauthentication_required  … who signed in recently
    │   ├── WorkspaceDisabled     workspace_disabled
    │   ├── AddressNotAllowed     ip_not_allowed        the workspace gives visitor sessions to its own hosts only
    │   ├── AuthenticationRequired    authentication_required   a queue takes identified chats only
    │   ├── OriginNotAllowed      origin_not_allowed    a page that the workspace has not named
    │   ├── DomainNotAllowed      domain_not_allowed    the page is not one of the workspace's
    │   ├── RoleRequired          role_required         a member of staff whose role does not cover it
    │   ├── ForeignPage           foreign_page          a form that another site's page has sent
    │   └── PasswordsOff          passwords_off         staff sign in at their identity provider only
    ├── NotFound                  not_found
    ├── Conflict                  it contradicts what is known
    │   ├── AlreadyExists         already_exists
    │   ├── IdentityConflict      identity_conflict     the proof belongs to somebody else already
    │   ├── ConversationClosed    conversation_closed   nothing can be written into it any more
    │   ├── ConversationFull      conversation_full     it holds as much as one may
    │   ├── QueueClosed           queue_closed          it is outside a queue's opening hours
    │   ├── ContactBusy           contact_busy          the same contact is being changed by too many at once
    │   ├── RequestUnderWay       request_under_way     the same Idempotency-Key is being answered at this moment
    │   └── StaleEdit             stale_edit            it was changed since it was read
    ├── RateLimited               rate_limited
    ├── Upstream                  somebody else's server did not do what was asked of it
    │   ├── UpstreamFailed        upstream_failed       no connection, or no usable answer
    │   ├── UpstreamTimeout       upstream_timeout
    │   ├── UpstreamTooLarge      upstream_too_large
    │   ├── UpstreamRedirect      upstream_redirect     redirects are never followed
    │   ├── UpstreamForbidden     upstream_forbidden    an address that may not be called
    │   ├── AuthBadResponse       auth_bad_response     the auth endpoint's answer says neither yes nor no
    │   ├── AuthIdentityMissing   auth_identity_missing it says yes, and not who
    │   └── AuthTimeout           auth_timeout          it did not answer in time
    └── Unavailable               try again later; never a guess
        ├── StorageUnavailable    storage_unavailable
        ├── ProviderUnavailable   provider_unavailable  an identity provider's keys are too old to trust
        ├── NoSigningKey          no_signing_key        every key was withdrawn, or they cannot be opened
        ├── CannotUnseal          cannot_unseal         sealed with a secret key that is not configured
        ├── AuthUnavailable       auth_unavailable      the auth endpoint cannot be asked
        ├── Stopping              stopping              the process was told to end, and had no more time for this
        └── OutOfMemory           out_of_memory         the process has reached its limit
"""

from __future__ import annotations

from vestibule.errors.credentials import AddressNotAllowed as AddressNotAllowed
from vestibule.errors.credentials import AuthenticationRequired as AuthenticationRequired
from vestibule.errors.credentials import AuthRejected as AuthRejected
from vestibule.errors.credentials import DomainNotAllowed as DomainNotAllowed
from vestibule.errors.credentials import ForeignPage as ForeignPage
from vestibule.errors.credentials import InsufficientScope as InsufficientScope
from vestibule.errors.credentials import InvalidAdminKey as InvalidAdminKey
from vestibule.errors.credentials import InvalidApiKey as InvalidApiKey
from vestibule.errors.credentials import InvalidContactToken as InvalidContactToken
from vestibule.errors.credentials import InvalidLink as InvalidLink
from vestibule.errors.credentials import InvalidMetricsToken as InvalidMetricsToken
from vestibule.errors.credentials import InvalidProviderToken as InvalidProviderToken
from vestibule.errors.credentials import InvalidWidgetToken as InvalidWidgetToken
from vestibule.errors.credentials import LoginRequired as LoginRequired
from vestibule.errors.credentials import MissingCredentials as MissingCredentials
from vestibule.errors.credentials import NotAllowed as NotAllowed
from vestibule.errors.credentials import NotAuthenticated as NotAuthenticated
from vestibule.errors.credentials import NotSignedIn as NotSignedIn
from vestibule.errors.credentials import OriginNotAllowed as OriginNotAllowed
from vestibule.errors.credentials import PasswordsOff as PasswordsOff
from vestibule.errors.credentials import ReauthenticationRequired as ReauthenticationRequired
from vestibule.errors.credentials import RoleRequired as RoleRequired
from vestibule.errors.credentials import SignInRefused as SignInRefused
from vestibule.errors.credentials import TrustRequired as TrustRequired
from vestibule.errors.credentials import WorkspaceDisabled as WorkspaceDisabled
from vestibule.errors.credentials import WrongPassword as WrongPassword
from vestibule.errors.elsewhere import AuthBadResponse as AuthBadResponse
from vestibule.errors.elsewhere import AuthIdentityMissing as AuthIdentityMissing
from vestibule.errors.elsewhere import AuthTimeout as AuthTimeout
from vestibule.errors.elsewhere import AuthUnavailable as AuthUnavailable
from vestibule.errors.elsewhere import CannotUnseal as CannotUnseal
from vestibule.errors.elsewhere import NoSigningKey as NoSigningKey
from vestibule.errors.elsewhere import OutOfMemory as OutOfMemory
from vestibule.errors.elsewhere import ProviderUnavailable as ProviderUnavailable
from vestibule.errors.elsewhere import Stopping as Stopping
from vestibule.errors.elsewhere import StorageUnavailable as StorageUnavailable
from vestibule.errors.elsewhere import Unavailable as Unavailable
from vestibule.errors.elsewhere import Upstream as Upstream
from vestibule.errors.elsewhere import UpstreamFailed as UpstreamFailed
from vestibule.errors.elsewhere import UpstreamForbidden as UpstreamForbidden
from vestibule.errors.elsewhere import UpstreamRedirect as UpstreamRedirect
from vestibule.errors.elsewhere import UpstreamTimeout as UpstreamTimeout
from vestibule.errors.elsewhere import UpstreamTooLarge as UpstreamTooLarge
from vestibule.errors.requests import AmbiguousCredentials as AmbiguousCredentials
from vestibule.errors.requests import BodyTooLarge as BodyTooLarge
from vestibule.errors.requests import BodyTooSlow as BodyTooSlow
from vestibule.errors.requests import BoundTokenNotSupported as BoundTokenNotSupported
from vestibule.errors.requests import EncryptedTokenNotSupported as EncryptedTokenNotSupported
from vestibule.errors.requests import IdempotencyKeyReused as IdempotencyKeyReused
from vestibule.errors.requests import InvalidArguments as InvalidArguments
from vestibule.errors.requests import InvalidClient as InvalidClient
from vestibule.errors.requests import InvalidDeclaration as InvalidDeclaration
from vestibule.errors.requests import InvalidField as InvalidField
from vestibule.errors.requests import InvalidGrant as InvalidGrant
from vestibule.errors.requests import InvalidRequest as InvalidRequest
from vestibule.errors.requests import MalformedBody as MalformedBody
from vestibule.errors.requests import MethodNotAllowed as MethodNotAllowed
from vestibule.errors.requests import NoSuchPath as NoSuchPath
from vestibule.errors.requests import OpaqueTokenNotSupported as OpaqueTokenNotSupported
from vestibule.errors.requests import ProviderRequired as ProviderRequired
from vestibule.errors.requests import ScopeRequired as ScopeRequired
from vestibule.errors.requests import UnsupportedFile as UnsupportedFile
from vestibule.errors.requests import UnsupportedGrantType as UnsupportedGrantType
from vestibule.errors.requests import UnsupportedMedia as UnsupportedMedia
from vestibule.errors.root import VestibuleError as VestibuleError
from vestibule.errors.state import AlreadyExists as AlreadyExists
from vestibule.errors.state import Conflict as Conflict
from vestibule.errors.state import ContactBusy as ContactBusy
from vestibule.errors.state import ConversationClosed as ConversationClosed
from vestibule.errors.state import ConversationFull as ConversationFull
from vestibule.errors.state import IdentityConflict as IdentityConflict
from vestibule.errors.state import NotFound as NotFound
from vestibule.errors.state import QueueClosed as QueueClosed
from vestibule.errors.state import RateLimited as RateLimited
from vestibule.errors.state import RequestUnderWay as RequestUnderWay
from vestibule.errors.state import StaleEdit as StaleEdit
