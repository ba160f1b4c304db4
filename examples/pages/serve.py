"""Serves the example pages on an origin of their own, as a customer's site; it is an example, and no part of Vestibule.

    python3 examples/pages/serve.py http://127.0.0.1:8000 vst_widget_…

With VESTIBULE_API_KEY in the environment it also plays the customer's backend for the page `contact-token.html`: it
vouches for the one person who is always signed in here. Nothing but Python's own library is needed.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import urllib.request
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

PAGES = Path(__file__).parent
KINDS = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
}
# Your own session knows who is signed in. Here it is always she.
SIGNED_IN = {"email": "ada@example.com", "name": "Ada Lovelace", "custom_data": {"plan": "gold"}}


class Shop(BaseHTTPRequestHandler):
    """The pages, with the address of Vestibule and the widget token filled in, and one call of the backend."""

    def __init__(self, vestibule: str, widget_token: str, *connection: object) -> None:
        self.vestibule = vestibule
        self.widget_token = widget_token
        super().__init__(*connection)  # type: ignore[arg-type]

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        if path == "/widget-token":
            self._vouch()
            return
        if path == "/favicon.ico":
            self._answer("image/x-icon", b"")
            return
        file = PAGES / (path.lstrip("/") or "index.html")
        if file.parent != PAGES or file.suffix not in KINDS or not file.is_file():
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        text = file.read_text(encoding="utf-8").replace("https://chat.example.com", self.vestibule)
        self._answer(KINDS[file.suffix], text.replace("WIDGET_TOKEN", self.widget_token).encode())

    def _vouch(self) -> None:
        """What your backend does: it asks Vestibule with the API key, and hands only the token to the page."""
        request = urllib.request.Request(  # noqa: S310 - of the command line
            f"{self.vestibule}/widget/authenticate-user",
            json.dumps(SIGNED_IN).encode(),
            {"Authorization": f"Bearer {os.environ.get('VESTIBULE_API_KEY', '')}", "Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 - see above
                token = json.load(answer)["token"]
        except OSError as error:
            sys.stderr.write(f"Vestibule did not vouch: {error}; is VESTIBULE_API_KEY set?\n")
            self.send_error(HTTPStatus.BAD_GATEWAY)
            return
        self._answer("application/json", json.dumps({"token": token}).encode())

    def _answer(self, kind: str, content: bytes) -> None:
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Cache-Control", "no-store")
        # All that the widget needs of a strict policy.
        chat = self.vestibule
        policy = f"default-src 'self'; script-src 'self' {chat}; connect-src 'self' {chat}; img-src 'self' {chat}"
        self.send_header("Content-Security-Policy", policy)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Says nothing."""


def main() -> None:
    parser = argparse.ArgumentParser(description="Serves the example pages.")
    parser.add_argument("vestibule", help="where Vestibule is, such as http://127.0.0.1:8000")
    parser.add_argument("widget_token", help="of `vestibule workspace show`")
    parser.add_argument("--port", type=int, default=8080)
    given = parser.parse_args()
    handler = partial(Shop, given.vestibule.rstrip("/"), given.widget_token)
    try:
        shop = ThreadingHTTPServer(("127.0.0.1", given.port), handler)
    except OSError as error:
        sys.exit(f"Port {given.port} cannot be used: {error.strerror}. Choose another with --port.")
    with shop as server:
        sys.stdout.write(f"http://localhost:{server.server_address[1]}/\n")
        sys.stdout.flush()
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            sys.stdout.write("\n")


if __name__ == "__main__":
    main()
