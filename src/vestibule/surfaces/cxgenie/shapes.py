"""Bots, customers and messages as CX Genie's client reads them, one pure function each; it must not show what staff
write for each other."""

from __future__ import annotations

from typing import Any

from vestibule.conversations.neutralise import neutralise
from vestibule.conversations.visitor import Visitor
from vestibule.model.auth_endpoint import AuthEndpointSettings
from vestibule.model.contact import Contact
from vestibule.model.conversation import Attachment, Message, Sender
from vestibule.model.workspace import Workspace
from vestibule.times import rfc3339

Json = dict[str, Any]


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


def customer_of(contact: Contact) -> Json:
    name = contact.name or contact.email or contact.phone or ""
    return _customer(contact.id, name, contact.email, contact.avatar_url)


def guest_of(contact_id: str, name: str | None, email: str | None) -> Json:
    return _customer(contact_id, name or "", email, None)


def _customer(contact_id: str, name: str, email: str | None, avatar: str | None) -> Json:
    return {"id": contact_id, "name": name, "email": email, "avatar": avatar, "auto_reply": True}


def message_of(message: Message, reader: Visitor, bot_name: str) -> Json:
    """The client renders HTML, so texts go out neutralised (decision 12). `bot` is set where the responder speaks,
    `sender` where a person does."""
    mine = message.sender is Sender.USER
    person = {"id": reader.contact_id if mine else message.sender.value, "name": message.sender_name or ""}
    by_bot = message.sender in {Sender.AI, Sender.SYSTEM}
    return {
        "id": message.public_id,
        "local_id": message.public_id,
        "type": "SYSTEM" if message.sender is Sender.SYSTEM else "TEXT",
        "content": neutralise(message.text or ""),
        "sender_id": None if by_bot else person["id"],
        "receiver_id": None if mine else reader.contact_id,
        "sender": None if by_bot else {**person, "email": None, "avatar": message.sender_avatar_url},
        "receiver": None,
        "bot_id": reader.workspace_id,
        "bot": {"id": reader.workspace_id, "name": bot_name} if by_bot else None,
        "workspace_id": reader.workspace_id,
        "media": [_media(item) for item in message.attachments],
        "trust": message.trust.value,
        "sending_status": "sent",
        "unsent": False,
        "created_at": rfc3339(message.sent_at),
    }


def _media(item: Attachment) -> Json:
    return {"url": item.url, "type": item.type, "name": item.name}
