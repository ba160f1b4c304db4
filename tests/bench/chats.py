"""Opens chats over the widget's wire, for scenarios that need some; it measures nothing."""

from __future__ import annotations

import contextlib
import http.client
import json
import uuid
from collections.abc import Sequence
from typing import Any

PREFIX = "/backend/widget/v2"


_TEXTS = ("Good morning", "I have a question", "about my order")


def open_chat(port: int, api_key: str, widget_token: str, email: str, texts: Sequence[str] = _TEXTS) -> tuple[str, str]:
    """A verified person's token and the id of a conversation with these messages in it."""
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=10)) as connection:
        bearer = {"authorization": f"Bearer {api_key}"}
        token = _post(connection, "/widget/authenticate-user", {"email": email}, bearer)["token"]
        headers = {"authorization": f"Bearer {token}", "x-bot-token": widget_token}
        session = _post(connection, f"{PREFIX}/create-session", {}, headers)["id"]
        for text in texts:
            message = {"uuid": str(uuid.uuid4()), "session_id": session, "content": text}
            _post(connection, f"{PREFIX}/chat/send", message, headers)
    return token, session


def get(port: int, token: str, widget_token: str, path: str) -> bytes:
    """A widget's GET, rendered."""
    return (
        f"GET {PREFIX}{path} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\naccept: application/json\r\n"
        f"content-type: application/json\r\nauthorization: Bearer {token}\r\nx-bot-token: {widget_token}\r\n\r\n"
    ).encode()


def _post(connection: http.client.HTTPConnection, path: str, body: dict[str, Any], headers: dict[str, str]) -> Any:
    connection.request("POST", path, json.dumps(body), {"content-type": "application/json", **headers})
    answer = connection.getresponse()
    content = answer.read()
    if answer.status not in {200, 201}:
        raise RuntimeError(f"{path} answered {answer.status}: {content[:200]!r}")
    return json.loads(content)
