"""A shop's page, the identity provider its people sign in at, and a Vestibule that trusts this provider: all on this
machine, for as long as it runs.

    examples/token-exchange/run [--page-port 8400] [--provider-port 8401] [--port 8402]

The commands that set Vestibule up are those an operator would type, and are printed.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import http.client
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

HERE = Path(__file__).parent
# panva's oidc-provider, in the version that Vestibule's own tests lock.
LOCKED = HERE.parents[1] / "tests" / "fixtures" / "node"
VESTIBULE = [sys.executable, "-m", "vestibule"]
CLIENT, CUSTOMER, QUEUE = "shop-web", "shop", "support"
READY_SECONDS = 20


class Page(SimpleHTTPRequestHandler):
    """The shop's page: files, and `config.json`, which tells them where everything is."""

    config: dict[str, str]

    def do_GET(self) -> None:
        if self.path != "/config.json":
            super().do_GET()
            return
        body = json.dumps(self.config).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def end_headers(self) -> None:
        calls = f"'self' {self.config['issuer']} {self.config['chat']}"
        policy = f"default-src 'self'; connect-src {calls}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        self.send_header("Content-Security-Policy", policy)
        self.send_header("Cache-Control", "no-store")
        # The code of a sign-in stands in the address for a moment.
        self.send_header("Referrer-Policy", "no-referrer")
        super().end_headers()

    def log_message(self, *_: object) -> None:
        """Says nothing: there are commands on the screen to be read."""


def main() -> None:
    options = _options()
    page, issuer, chat = (
        f"http://127.0.0.1:{port}" for port in (options.page_port, options.provider_port, options.port)
    )
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell that starts it in the background has it ignored
    with contextlib.ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="vestibule-example-")))
        # An installation of its own, whatever this machine is configured for.
        for name in [name for name in os.environ if name.startswith("VESTIBULE_")]:
            del os.environ[name]
        os.environ |= {
            "VESTIBULE_CONFIG": os.devnull,
            "VESTIBULE_DATABASE_URL": f"sqlite:///{directory}/vestibule.db",
            "VESTIBULE_FILES_DIRECTORY": str(directory / "files"),
            "VESTIBULE_PUBLIC_URL": chat,
            # Calls out reach public addresses only, unless told otherwise; the provider is on this machine.
            "VESTIBULE_PRIVATE_HOSTS": "127.0.0.0/8",
            "VESTIBULE_LOG_LEVEL": "warning",
        }
        _start_provider(stack, options.packages, issuer, page, chat)
        workspace = _vestibule("workspace", "create", "Shop", "--customer-id", CUSTOMER)["workspace_id"]
        in_workspace = ("--workspace", str(workspace))
        _vestibule("provider", "add", "Sign in", *in_workspace, "--issuer", issuer, "--client-id", CLIENT)
        _vestibule("queue", "set", QUEUE, *in_workspace, "--name", "Support", "--identified-only")
        server = _start(stack, [*VESTIBULE, "serve", "--port", str(options.port)])
        _serve_page(stack, options.page_port, {"issuer": issuer, "chat": chat})
        _wait_until_ready(server, options.port)
        print(_farewell(page, str(workspace)), flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            server.wait()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Runs the token exchange example until Ctrl-C.")
    parser.add_argument("--page-port", type=int, default=8400)
    parser.add_argument("--provider-port", type=int, default=8401)
    parser.add_argument("--port", type=int, default=8402, help="Vestibule's")
    parser.add_argument("--packages", type=Path, default=HERE / ".run", help="where oidc-provider is, or will be")
    return parser.parse_args()


def _start_provider(stack: contextlib.ExitStack, packages: Path, issuer: str, page: str, chat: str) -> None:
    if not (packages / "node_modules").exists():
        if shutil.which("npm") is None:
            sys.exit("This example needs Node.js and npm, for the identity provider.")
        packages.mkdir(parents=True, exist_ok=True)
        for name in ("package.json", "package-lock.json"):
            shutil.copy(LOCKED / name, packages / name)
        subprocess.run(["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"], cwd=packages, check=True)
    provider = _start(stack, ["node", str(HERE / "provider.mjs")], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    logout = f"{chat}/v1/backchannel-logout/{CUSTOMER}"
    settings = {"issuer": issuer, "packages": str(packages.resolve()), "client": CLIENT, "page": page, "logout": logout}
    provider.stdin.write(json.dumps(settings).encode())
    provider.stdin.close()
    if provider.stdout.readline().strip() != b"ready":
        sys.exit("The identity provider did not start; its port may be taken.")


def _start(stack: contextlib.ExitStack, command: list[str], **options: int) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(command, start_new_session=True, **options)
    stack.callback(process.wait)
    stack.callback(process.terminate)
    return process


def _vestibule(*arguments: str) -> dict[str, object]:
    """What a command prints."""
    print("$", shlex.join(["vestibule", *arguments]))
    done = subprocess.run([*VESTIBULE, *arguments, "--json"], check=False, capture_output=True)
    if done.returncode:
        sys.exit(f"{done.stdout.decode()}{done.stderr.decode()}")
    return json.loads(done.stdout)


def _serve_page(stack: contextlib.ExitStack, port: int, addresses: dict[str, str]) -> None:
    Page.config = {**addresses, "client": CLIENT, "customer": CUSTOMER, "queue": QUEUE}
    try:
        page = ThreadingHTTPServer(("127.0.0.1", port), functools.partial(Page, directory=str(HERE / "page")))
    except OSError as error:
        sys.exit(f"Port {port} cannot be used: {error.strerror}. Choose another with --page-port.")
    threading.Thread(target=page.serve_forever, daemon=True).start()
    stack.callback(page.shutdown)


def _wait_until_ready(server: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while server.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(OSError, http.client.HTTPException):
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
            connection.request("GET", "/readyz")
            if connection.getresponse().status == http.client.OK:
                return
        time.sleep(0.05)
    sys.exit("Vestibule did not start; its port may be taken.")


def _farewell(page: str, workspace: str) -> str:
    database = shlex.quote(os.environ["VESTIBULE_DATABASE_URL"])
    return f"""
Open       {page}/        sign in as anybody: any name and password will do
Answer     in another terminal, from this directory:

  export VESTIBULE_DATABASE_URL={database}
  .venv/bin/vestibule conversation list -w {workspace}
  .venv/bin/vestibule conversation reply -w {workspace} CONVERSATION_ID "Good day!"

Ctrl-C ends it, and nothing is left behind."""


if __name__ == "__main__":
    main()
