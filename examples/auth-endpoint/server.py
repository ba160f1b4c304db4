"""A customer's auth endpoint, in one file and Python's standard library: says whose a session token is, to whoever
proves to be your Vestibule.

    HEADER_TOKEN=… WEBHOOK_SECRET=whsec_… python3 server.py        listens on 127.0.0.1:8410
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import sys
import time
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

HEADER_TOKEN = os.environ.get("HEADER_TOKEN", "")
WEBHOOK_SECRET = os.environ.get("WEBHOOK_SECRET", "")  # as `vestibule auth-endpoint set` showed it; empty: not checked
PORT = int(os.environ.get("PORT", "8410"))
OLDEST_SECONDS = 300
MOST_BYTES = 65_536

# In your shop these are the sessions of people who are signed in.
SESSIONS = {
    "session-of-grace": {"id": "4711", "name": "Grace Hopper", "email": "grace@example.com", "label": "Gold"},
    "session-of-linh": {"id": "4712", "name": "Linh", "phone_number": "0901234567", "country_code": "+84"},
}


def has_header_token(value: str) -> bool:
    """Whether the header carries our token, in any of the three forms. Every form is compared, each in constant time:
    how long it takes tells nobody how much of a guess was right."""
    given = value.encode()
    forms = (f"{HEADER_TOKEN} Bearer", f"Bearer {HEADER_TOKEN}", HEADER_TOKEN)
    return sum(hmac.compare_digest(given, form.encode()) for form in forms) > 0 and HEADER_TOKEN != ""


def has_signature(headers: Message, body: bytes) -> bool:
    """Whether the request was signed with our secret, just now (standardwebhooks.com)."""
    message_id, timestamp = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not timestamp.isdecimal() or abs(time.time() - int(timestamp)) > OLDEST_SECONDS:
        return False
    key = base64.b64decode(WEBHOOK_SECRET.removeprefix("whsec_"))
    signed = f"{message_id}.{timestamp}.".encode() + body
    expected = "v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()
    given = headers.get("webhook-signature", "").split(" ")
    return any(hmac.compare_digest(one.encode(), expected.encode()) for one in given)


def answer(headers: Message, body: bytes) -> tuple[int, dict[str, object]]:
    """Status and JSON: accepted, rejected, or not for you."""
    if not has_header_token(headers.get("authorization", "")):
        return 401, {"status": False, "message": "wrong header token"}
    if WEBHOOK_SECRET and not has_signature(headers, body):
        return 401, {"status": False, "message": "wrong signature"}
    try:
        token = json.loads(body)["access_token"]
    except (ValueError, KeyError, TypeError):
        return 400, {"status": False, "message": "no access_token"}
    # Found by its hash, as a database would: a look-up by the token itself tells by its time how much was right.
    known = {hashlib.sha256(session.encode()).digest(): person for session, person in SESSIONS.items()}
    person = known.get(hashlib.sha256(str(token).encode("utf-8", "replace")).digest())
    if person is None:
        return 200, {"status": False, "message": "no such session"}
    return 200, {"status": True, "message": "Successfully!", "data": person}


class Endpoint(BaseHTTPRequestHandler):
    """One path, one method."""

    timeout = 10

    def do_POST(self) -> None:
        length = self.headers.get("content-length", "")
        if self.path != "/whoami" or not length.isdecimal() or int(length) > MOST_BYTES:
            self.send_error(404)
            return
        status, said = answer(self.headers, self.rfile.read(int(length)))
        body = json.dumps(said).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    if not HEADER_TOKEN:
        sys.exit("Set HEADER_TOKEN: without it anybody may ask.")
    try:
        server = ThreadingHTTPServer(("127.0.0.1", PORT), Endpoint)
    except OSError as error:
        sys.exit(f"Port {PORT} cannot be used: {error.strerror}. Choose another with PORT.")
    sys.stdout.write(f"http://127.0.0.1:{server.server_address[1]}/whoami\n")
    sys.stdout.flush()
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        sys.exit(0)
