"""The request to an auth endpoint, as a pure function of settings and token; it must not send it."""

from __future__ import annotations

import msgspec

from vestibule.model.auth_endpoint import AuthEndpointSettings
from vestibule.outbound.standard_webhooks import signature_headers

HIDDEN = "<hidden>"


class Question(msgspec.Struct, frozen=True):
    """Whose is this user token? `fields` are what the page says of its visitor."""

    workspace_id: str
    settings: AuthEndpointSettings
    token: str
    fields: dict[str, str] = {}

    def __repr__(self) -> str:
        return f"Question({self.workspace_id!r})"

    @property
    def body(self) -> bytes:
        """JSON with the token, and of the fields those that the workspace has ticked."""
        ticked = {field.value: self.fields[field.value] for field in self.settings.fields if self.fields.get(field)}
        return msgspec.json.encode({"access_token": self.token, **ticked})

    def headers(self, message_id: str) -> dict[str, str]:
        """All that is sent beside what HTTP needs. Nothing of the visitor's own request is among it."""
        return {
            "content-type": "application/json",
            "accept": "application/json",
            **credentials(self.settings),
            **signature_headers(self.settings.secrets, message_id, self.body),
        }


def credentials(settings: AuthEndpointSettings) -> dict[str, str]:
    """The header that carries the workspace's header token; none where there is none."""
    if not settings.header_token:
        return {}
    return {settings.header_name: settings.header_form.replace("{token}", settings.header_token)}


def redacted(question: Question, headers: dict[str, str]) -> tuple[dict[str, str], bytes]:
    """Headers and body as they may be shown: without header token, signature and user token."""
    settings = question.settings
    shown = dict(headers)
    if settings.header_token:
        shown[settings.header_name] = settings.header_form.replace("{token}", HIDDEN)
    shown["webhook-signature"] = " ".join(["v1," + HIDDEN] * len(settings.secrets))
    hidden = msgspec.structs.replace(question, token=HIDDEN)
    return shown, hidden.body
