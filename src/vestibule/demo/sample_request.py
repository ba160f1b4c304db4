"""The request of the seed's own example, to paste into a terminal; it must not send it."""

from __future__ import annotations

from typing import Any

import msgspec

PATH = "/widget/authenticate-user"
# The seed's example to the letter, but for the e-mail, of which the page it was copied from shows a placeholder only.
SAMPLE: dict[str, Any] = {
    "email": "john.doe@example.com",
    "name": "John Doe",
    "avatar_url": "https://example.com/avatar.png",
    "phone": "+1234567890",
    "language": "en",
    "customData": {"customKey": "customValue"},
    "chat_context": "<string>",
    "http_action_overrides": {"query_params": {}, "path_params": {}, "body_params": {}, "headers": {}},
}


def curl(public_url: str, api_key: str) -> str:
    """The command, for a POSIX shell. Nothing in it needs escaping: the sample and the key's form have no quotes."""
    body = msgspec.json.format(msgspec.json.encode(SAMPLE), indent=2).decode()
    return (
        "curl --request POST \\\n"
        f"  --url {public_url}{PATH} \\\n"
        f"  --header 'Authorization: Bearer {api_key}' \\\n"
        "  --header 'Content-Type: application/json' \\\n"
        f"  --data '\n{body}\n'"
    )
