"""Bots, customers and messages as CX Genie's client reads them, one pure function each; it must not show what staff
write for each other."""

from __future__ import annotations

from typing import Any

from vestibule.conversations.neutralise import neutralise
from vestibule.model.auth_endpoint import AuthEndpointSettings
from vestibule.model.contact import Contact
from vestibule.model.conversation import Attachment, Message, Sender
from vestibule.model.workspace import Workspace
from vestibule.surfaces.cxgenie.reader import Reader
from vestibule.times import rfc3339

Json = dict[str, Any]
# What the app calls a reaction is our vote on an answer.
VOTES = {"like": "upvote", "dislike": "downvote"}


def bot_of(workspace: Workspace, settings: AuthEndpointSettings) -> Json:
    """A workspace has one bot, which has its id and its name. The client shows its user token only where it is told
    that the workspace requires login, so it is told so wherever there is somebody to ask about the token;
    `login_required`, which is our own, says whether guests are refused."""
    return {
        "id": workspace.id,
        "name": workspace.name,
        "avatar": None,
        "theme_color": None,
        "reply_language": None,
        "workspace_id": workspace.id,
        "workspace": {"id": workspace.id, "name": workspace.name, "company_name": workspace.name, "logo": ""},
        "workspace_required_login": settings.required_login or bool(settings.url),
        "login_required": settings.required_login,
        "is_ticket_enable": False,
        "is_info_collected": True,
        "fields_collected": ["NAME", "EMAIL"],
        "default_country_code": settings.country_code or None,
        "created_at": rfc3339(workspace.created_at),
        "updated_at": rfc3339(workspace.created_at),
        "deleted_at": None,
    }


def customer_of(customer_id: str, contact: Contact) -> Json:
    name = contact.name or contact.email or contact.phone or ""
    return _customer(customer_id, contact.id, name, contact.email, contact.avatar_url)


def guest_of(customer_id: str, contact_id: str, name: str | None, email: str | None) -> Json:
    return _customer(customer_id, contact_id, name or "", email, None)


def _customer(customer_id: str, contact_id: str, name: str, email: str | None, avatar: str | None) -> Json:
    """`contact_id`, which is our own, is the same over all sessions of a person, and opens nothing."""
    return {
        "id": customer_id,
        "contact_id": contact_id,
        "name": name,
        "email": email,
        "avatar": avatar,
        "auto_reply": True,
    }


def message_of(message: Message, reader: Reader, bot_name: str) -> Json:
    """The client renders HTML, so texts go out neutralised (decision 12). `bot` is set where the responder speaks,
    `sender` where a person does."""
    mine = message.sender is Sender.USER
    workspace_id = reader.visitor.workspace_id
    person = {"id": reader.customer_id if mine else message.sender.value, "name": message.sender_name or ""}
    by_bot = message.sender in {Sender.AI, Sender.SYSTEM}
    return {
        "id": message.public_id,
        "local_id": message.public_id,
        "type": "SYSTEM" if message.sender is Sender.SYSTEM else "TEXT",
        "content": neutralise(message.text or ""),
        "sender_id": None if by_bot else person["id"],
        "receiver_id": None if mine else reader.customer_id,
        "sender": None if by_bot else {**person, "email": None, "avatar": message.sender_avatar_url},
        "receiver": None,
        "bot_id": workspace_id,
        "bot": {"id": workspace_id, "name": bot_name} if by_bot else None,
        "workspace_id": workspace_id,
        "media": [_media(item) for item in message.attachments],
        "reactions": reactions_of(message, reader),
        "trust": message.trust.value,
        "sending_status": "sent",
        "unsent": False,
        "created_at": rfc3339(message.sent_at),
    }


def reactions_of(message: Message, reader: Reader) -> Json:
    """As the app reads them: by kind, a list of everybody's, of which there is one at the most."""
    return {
        kind: [
            {
                "id": message.public_id,
                "value": kind,
                "customer_id": reader.customer_id,
                "message_id": message.public_id,
                "created_at": rfc3339(message.sent_at),
                "updated_at": rfc3339(message.sent_at),
            }
        ]
        for kind, vote in VOTES.items()
        if message.vote == vote
    }


def _media(item: Attachment) -> Json:
    return {"url": item.url, "type": item.type, "name": item.name}
