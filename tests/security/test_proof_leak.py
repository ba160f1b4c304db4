"""On Puzzel's wire the userInfoId and its verifier stand in an address: they are looked for in the log, in every answer
and in the database's files, after everything that can happen to such a request."""

from __future__ import annotations

import json
import time

from tests.fixtures.fake_provider import FakeProvider
from tests.fixtures.puzzel import Front
from tests.fixtures.raw_http import RawConnection
from tests.fixtures.stored import Stored
from tests.fixtures.widget import new_uuid


def test_a_proof_is_in_no_log_answer_or_file(front: Front, fake: FakeProvider, stored: Stored) -> None:
    installation = front.workspace.installation
    front.queue()
    front.queue("closed", "--hours", "mon 00:00-00:01", "--identified-only")
    token = fake.id_token()
    proof = front.proof(token)
    second = front.proof(token)
    bearer, mine = front.visitor(), new_uuid()
    front.route(mine, bearer=bearer)
    answers = [
        front.route(new_uuid(), proof=proof, queue="nowhere"),
        front.route(new_uuid(), proof=proof, queue="closed"),
        front.route("-wrong-", proof=proof),
        front.route(new_uuid(), proof=proof, bearer="bad"),
        front.route(new_uuid(), proof=(proof[0], proof[1] + "x")),
        front.route(new_uuid(), proof=proof, body={"userInfoId": "other"}),
        front.route(new_uuid(), proof=proof, body=b"{"),
        front.route(new_uuid(), proof=proof, method="DELETE"),
        front.route(new_uuid(), proof=proof, method="OPTIONS"),
        front.call("POST", "/api/conversation/nothing", userInfoId=proof[0], codeVerifier=proof[1]),
        front.call("POST", "/nothing", userInfoId=proof[0], codeVerifier=proof[1]),
        front.route(new_uuid(), proof=proof),
        front.route(new_uuid(), proof=proof),
        front.set_identity(mine, proof, bearer=bearer),
        front.set_identity(mine, second, bearer=bearer),
        front.clear_identity(mine, bearer=bearer),
    ]
    wild = f"?userInfoId={proof[0]}&codeVerifier={proof[1]}"
    for line in (
        f"POST /api/conversation/c/route/support{wild}&x=%zz HTTP/1.1",
        f"POST /api/conversation/c/route/support{wild}&userInfoId=%ff HTTP/1.1",
        f"POST /api/conversation/c/route/support{wild} HTTP/3.9",
        f"POST /api/conversation/c/route/support{wild}{'&a=b' * 10_000} HTTP/1.1",
    ):
        with RawConnection(installation.base_url) as connection:
            connection.send(f"{line}\r\nHost: x\r\nContent-Length: 0\r\n\r\n".encode())
            connection.finish_sending()
            answers_raw = connection.read_to_end()
            assert proof[1].encode() not in answers_raw
    time.sleep(0.3)
    log = installation.server.log()
    assert f'"path":"/api/conversation/{mine}/route/support"' in log, "looked in the wrong place"
    assert {answer.status_code for answer in answers} >= {200, 400, 401, 404, 405, 409}
    for secret in (*proof, *second, proof[0][30:], token):
        assert secret not in log
        for answer in answers:
            assert secret not in answer.text
            assert secret not in json.dumps(dict(answer.headers))
    octets = stored.octets()
    assert mine.encode() in octets, "looked in the wrong place"
    for secret in (*proof, *second, proof[0][30:], token, token.split(".")[2]):
        assert secret.encode() not in octets


def test_nothing_prints_what_it_holds() -> None:
    """Where an exception's traceback shows values, these do not show theirs."""
    from vestibule.surfaces.puzzel.authenticate import Payload  # noqa: PLC0415
    from vestibule.surfaces.puzzel.caller import Proof, Shown  # noqa: PLC0415
    from vestibule.tokens.visitor_session import VisitorSession  # noqa: PLC0415

    shown = [
        Payload("canary", "canary", "canary"),
        Proof("canary", "canary"),
        Shown("canary", "canary"),
        VisitorSession("w", "v", "canary", "canary", 1),
    ]
    assert not [value for value in shown if "canary" in repr(value)]
