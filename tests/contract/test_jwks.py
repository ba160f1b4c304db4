"""Keys are fetched from a real key server over loopback, seldom and never twice at once, and kept when that fails."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from tests.fixtures.fake_provider import CLIENT, DISCOVERY, JWKS, Asked, FakeProvider, Reply, make_key, running_provider
from vestibule.errors import InvalidProviderToken, ProviderUnavailable, Upstream, UpstreamFailed, VestibuleError
from vestibule.model.identity_provider import Endpoints, IdentityProvider, TokenKind
from vestibule.oidc.jwks import ProviderKeys
from vestibule.oidc.key_set import MOST_KEYS
from vestibule.oidc.remembered import Pace
from vestibule.oidc.token_reader import TokenReader
from vestibule.outbound.circuit import Circuits
from vestibule.outbound.client import Outbound

LOOPBACK = (ipaddress.ip_network("127.0.0.0/8"),)


class Clock:
    """Seconds that pass when told to."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


class Bench:
    """A fake provider, and a reader that knows it under our settings."""

    def __init__(self, fake: FakeProvider, outbound: Outbound) -> None:
        self.fake = fake
        self.outbound = outbound
        self.clock = Clock()
        self.keys = ProviderKeys(outbound, clock=self.clock)
        self.reader = TokenReader(outbound, self.keys)

    def provider(self, **changes: Any) -> IdentityProvider:
        settings: dict[str, Any] = {
            "workspace_id": "w",
            "id": 1,
            "position": 1,
            "name": "fake",
            "issuer": self.fake.issuer,
            "client_ids": (CLIENT,),
        }
        return IdentityProvider(**{**settings, **changes})

    async def read(self, token: str, **changes: Any) -> str:
        return (await self.reader.read(self.provider(**changes), TokenKind.ID_TOKEN, token)).subject

    async def refusal(self, token: str, **changes: Any) -> VestibuleError:
        with pytest.raises(VestibuleError) as refused:
            await self.read(token, **changes)
        return refused.value


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    # The circuit is tested with the way out; here it would hide which calls are made.
    outbound = Outbound(LOOPBACK, circuits=Circuits(failures=10_000))
    async with running_provider() as fake:
        yield Bench(fake, outbound)
    await outbound.close()


async def test_fetches_once_for_many_tokens(bench: Bench) -> None:
    assert [await bench.read(bench.fake.id_token()) for _ in range(20)] == ["u-1"] * 20
    assert bench.fake.asked == {DISCOVERY: 1, JWKS: 1}


async def test_a_hundred_tokens_at_once_are_one_fetch(bench: Bench) -> None:
    await asyncio.gather(*(bench.read(bench.fake.id_token()) for _ in range(100)))
    assert bench.fake.asked == {DISCOVERY: 1, JWKS: 1}


async def test_a_caller_that_goes_away_does_not_end_the_fetch_of_others(bench: Bench) -> None:
    arrived, released = asyncio.Event(), asyncio.Event()

    async def wait(asked: Asked) -> Reply:
        arrived.set()
        await released.wait()
        return bench.fake._answer(asked)

    bench.fake.answers[JWKS] = wait
    first, second = (asyncio.create_task(bench.read(bench.fake.id_token())) for _ in range(2))
    await arrived.wait()
    first.cancel()
    released.set()
    assert await second == "u-1"
    assert bench.fake.asked[JWKS] == 1


async def test_a_thousand_unknown_kids_cause_one_fetch_in_30_seconds(bench: Bench) -> None:
    await bench.read(bench.fake.id_token())
    stranger = make_key("stranger")

    async def flood() -> None:
        tokens = [bench.fake.id_token(header={"kid": f"unknown-{number}"}, key=stranger) for number in range(50)]
        outcomes = [await bench.refusal(token) for _ in range(20) for token in tokens]
        assert {(type(error), error.step) for error in outcomes} == {(InvalidProviderToken, "key")}

    await flood()
    assert bench.fake.asked == {DISCOVERY: 1, JWKS: 2}
    bench.clock.now += 29
    await flood()
    assert bench.fake.asked[JWKS] == 2
    bench.clock.now += 2
    await flood()
    assert bench.fake.asked[JWKS] == 3
    assert await bench.read(bench.fake.id_token()) == "u-1"


async def test_unknown_kids_at_once_are_one_fetch(bench: Bench) -> None:
    await bench.read(bench.fake.id_token())
    stranger = make_key("stranger")
    tokens = [bench.fake.id_token(header={"kid": f"unknown-{number}"}, key=stranger) for number in range(200)]
    await asyncio.gather(*(bench.refusal(token) for token in tokens))
    assert bench.fake.asked[JWKS] == 2


@pytest.mark.parametrize("keep_old", [True, False], ids=["old key kept", "old key gone at once"])
async def test_a_new_key_is_found_without_a_restart(bench: Bench, keep_old: bool) -> None:  # noqa: FBT001
    before = bench.fake.id_token()
    await bench.read(before)
    bench.fake.rotate("key-2", keep_old=keep_old)
    assert await bench.read(bench.fake.id_token()) == "u-1"
    assert bench.fake.asked[JWKS] == 2
    if keep_old:
        assert await bench.read(before) == "u-1"
    else:
        assert (await bench.refusal(before)).step == "key"


def published_as(fake: FakeProvider, kid: str | None) -> Callable[[Asked], Reply]:
    """The provider's key under a name of one's own, or under none."""

    def answer(_: Asked) -> Reply:
        named = {**fake.key.as_dict(private=False), "kid": kid}
        return Reply({"keys": [{name: value for name, value in named.items() if value is not None}]})

    return answer


@pytest.mark.parametrize("kid", [None, "the-key"], ids=["keys without names", "one name for every key"])
async def test_a_new_key_that_has_no_new_name_is_found_by_its_signature(bench: Bench, kid: str | None) -> None:
    fake = bench.fake
    fake.answers[JWKS] = published_as(fake, kid)
    before = fake.id_token(header={"kid": kid})
    await bench.read(before)
    fake.rotate("key-2", keep_old=False)
    tokens = [fake.id_token(header={"kid": kid}) for _ in range(20)]
    assert await asyncio.gather(*(bench.read(token) for token in tokens)) == ["u-1"] * 20
    assert (await bench.refusal(before)).step == "signature"
    assert fake.asked[JWKS] == 2


async def test_a_thousand_forged_signatures_cause_one_fetch_in_30_seconds(bench: Bench) -> None:
    await bench.read(bench.fake.id_token())
    stranger = make_key("stranger")
    tokens = [bench.fake.id_token(header={"kid": "key-1"}, key=stranger, jti=f"j-{number}") for number in range(100)]
    for fetches in (2, 2, 3):
        outcomes = [await bench.refusal(token) for token in tokens]
        assert {(type(error), error.step) for error in outcomes} == {(InvalidProviderToken, "signature")}
        assert bench.fake.asked[JWKS] == fetches
        bench.clock.now += 16
    bench.clock.now += 31
    await bench.fake.stop()
    assert isinstance(await bench.refusal(tokens[0]), Upstream)  # it cannot be said that no key has signed it
    assert await bench.read(bench.fake.id_token()) == "u-1"


async def test_rotation_under_load_refuses_nobody(bench: Bench) -> None:
    await bench.read(bench.fake.id_token())
    bench.fake.rotate("key-2", keep_old=True)
    tokens = [bench.fake.id_token(key=make_key(name)) for name in ("key-1", "key-2") for _ in range(50)]
    assert await asyncio.gather(*(bench.read(token) for token in tokens)) == ["u-1"] * 100
    assert bench.fake.asked[JWKS] == 2


@pytest.mark.parametrize(
    ("cache_control", "seconds"),
    [(None, 600), ("public, max-age=3600", 3600), ("max-age=1", 60), ("no-store", 60), ("max-age=9999999", 86_400)],
)
async def test_keeps_keys_as_long_as_the_provider_says_within_bounds(
    bench: Bench, cache_control: str | None, seconds: int
) -> None:
    bench.fake.cache_control = cache_control
    await bench.read(bench.fake.id_token())
    bench.clock.now += seconds - 1
    await bench.read(bench.fake.id_token())
    assert bench.fake.asked[JWKS] == 1
    bench.clock.now += 2
    await bench.read(bench.fake.id_token())
    assert bench.fake.asked[JWKS] == 2


async def test_known_keys_serve_an_hour_while_the_provider_is_down_and_then_no_longer(bench: Bench) -> None:
    token = bench.fake.id_token(exp=bench.clock.now + 2e9)
    longer = {"longest_life": 3 * 10**9}
    await bench.read(token, **longer)
    await bench.fake.stop()
    for _ in range(6):
        bench.clock.now += 600
        assert await bench.read(token, **longer) == "u-1"
    bench.clock.now += 601
    refused = await bench.refusal(token, **longer)
    assert isinstance(refused, ProviderUnavailable)
    assert 5 <= refused.retry_after <= 60, "it is not asked again before that"
    await bench.fake.start()
    bench.clock.now += 60
    assert await bench.read(token, **longer) == "u-1"


async def test_nobody_waits_for_a_provider_that_is_known_to_be_slow(bench: Bench) -> None:
    await bench.read(bench.fake.id_token())

    async def never(_: Asked) -> Reply:
        await asyncio.sleep(30)
        raise AssertionError

    async def broken(_: Asked) -> Reply:
        return Reply(b"<html>", status=503)

    bench.fake.answers[JWKS] = broken
    bench.clock.now += 601
    await bench.read(bench.fake.id_token())  # this one has asked, and failed
    bench.fake.answers[JWKS] = never
    bench.clock.now += 61
    async with asyncio.timeout(1):
        assert [await bench.read(bench.fake.id_token()) for _ in range(10)] == ["u-1"] * 10


@pytest.mark.parametrize(
    ("path", "reply", "step"),
    [
        (DISCOVERY, Reply(b"<html>sign in</html>"), "answer"),
        (DISCOVERY, Reply({"issuer": "https://other.example", "jwks_uri": "http://127.0.0.1:1/"}), "issuer"),
        (DISCOVERY, Reply({}, status=404), "status"),
        (DISCOVERY, Reply(b"", status=302, headers={"Location": "http://127.0.0.1:1/"}), "redirect"),
        (JWKS, Reply(b'{"keys": [], "keys": []}'), "answer"),
        (JWKS, Reply({"keys": []}), "key_set"),
        (JWKS, Reply({"keys": "none"}), "key_set"),
        (JWKS, Reply({"keys": [{"kty": "oct", "k": "c2VjcmV0"}]}), "key_set"),
        (JWKS, Reply({"keys": [{"kty": "EC"}] * (MOST_KEYS + 1)}), "key_set"),
        (JWKS, Reply(b'{"keys": [' + b" " * 300_000 + b"]}"), "headers"),
        (JWKS, Reply(b"", status=500), "status"),
    ],
    ids=lambda value: value.body[:40].decode() if isinstance(value, Reply) else str(value),
)
async def test_an_unusable_answer_is_the_providers_fault_and_spoils_nothing(
    bench: Bench, path: str, reply: Reply, step: str
) -> None:
    good = bench.fake.id_token()
    bench.fake.answers[path] = lambda _: reply
    for _ in range(5):  # remembered: it is not asked at every token
        refused = await bench.refusal(good)
        assert isinstance(refused, Upstream)
        assert refused.step == step
    assert bench.fake.asked[path] == 1
    del bench.fake.answers[path]
    bench.clock.now += 5
    assert await bench.read(good) == "u-1"

    # With good keys known, the same answer takes nothing away.
    bench.fake.answers[path] = lambda _: reply
    bench.clock.now += 700
    assert await bench.read(good) == "u-1"


async def test_pauses_after_failures_double_to_a_minute(bench: Bench) -> None:
    bench.fake.answers[DISCOVERY] = lambda _: Reply({}, status=404)
    token = bench.fake.id_token()
    await bench.refusal(token)
    for number, pause in enumerate((5, 10, 20, 40, 60, 60), start=1):
        bench.clock.now += pause - 0.5
        await bench.refusal(token)
        assert bench.fake.asked[DISCOVERY] == number
        bench.clock.now += 0.5
        await bench.refusal(token)
        assert bench.fake.asked[DISCOVERY] == number + 1


async def test_an_unknown_kid_while_the_provider_is_down_is_not_the_tokens_fault(bench: Bench) -> None:
    await bench.read(bench.fake.id_token())
    bench.fake.rotate("key-2", keep_old=False)
    bench.fake.answers[JWKS] = lambda _: Reply(b"", status=500)
    token = bench.fake.id_token()
    for _ in range(10):
        assert isinstance(await bench.refusal(token), UpstreamFailed)
    assert bench.fake.asked[JWKS] == 2


async def test_unfit_keys_are_left_out_and_the_rest_serves(bench: Bench) -> None:
    good = bench.fake.key_set()["keys"][0]
    unfit = [
        {**good, "kid": "enc", "use": "enc"},
        {**good, "kid": "ops", "key_ops": ["encrypt"]},
        {**good, "kid": "small", "n": good["n"][:170]},
        {**good, "kid": "three", "e": "Aw"},
        {**good, "kid": 7},
        {"kty": "EC", "crv": "P-256", "kid": "off", "x": good["n"][:43], "y": good["n"][:43]},
        {"kty": "unheard-of"},
        {**make_key("leaked", "ES256").as_dict(private=True), "kid": "leaked"},
    ]
    bench.fake.answers[JWKS] = lambda _: Reply({"keys": [*unfit, good]})
    assert await bench.read(bench.fake.id_token()) == "u-1"
    known = await bench.keys.keys(bench.provider())
    assert [key.kid for key in known.keys] == [good["kid"]]
    assert len(known.left_out) == len(unfit)


async def test_two_keys_of_one_kid_are_refused_rather_than_tried(bench: Bench) -> None:
    first, second = bench.fake.key_set()["keys"][0], make_key("stranger").as_dict(private=False)
    bench.fake.answers[JWKS] = lambda _: Reply({"keys": [first, {**second, "kid": first["kid"]}]})
    refused = await bench.refusal(bench.fake.id_token())
    assert (type(refused), refused.step) == (InvalidProviderToken, "key")


async def test_keys_without_alg_use_or_kid_serve_where_only_one_fits(bench: Bench) -> None:
    bare = {name: value for name, value in bench.fake.key_set()["keys"][0].items() if name in {"kty", "n", "e"}}
    bench.fake.answers[JWKS] = lambda _: Reply({"keys": [bare]})
    assert await bench.read(bench.fake.id_token(header={"kid": None})) == "u-1"
    assert await bench.read(bench.fake.id_token()) == "u-1"


async def test_fixed_endpoints_need_no_discovery(bench: Bench) -> None:
    fixed = {"discovery": False, "endpoints": Endpoints(jwks_uri=bench.fake.url(JWKS))}
    assert await bench.read(bench.fake.id_token(), **fixed) == "u-1"
    assert bench.fake.asked == {JWKS: 1}


async def test_an_address_that_may_not_be_called_is_not_called() -> None:
    async with running_provider() as fake:
        outbound = Outbound()
        bench = Bench(fake, outbound)
        assert isinstance(await bench.refusal(fake.id_token()), Upstream)
        assert not fake.asked
        await outbound.close()


async def test_one_workspaces_slow_provider_is_nobody_elses_business(bench: Bench) -> None:
    released = asyncio.Event()

    async def wait(asked: Asked) -> Reply:
        await released.wait()
        return bench.fake._answer(asked)

    async with running_provider("key-3") as other:
        bench.fake.answers[DISCOVERY] = wait
        slow = asyncio.create_task(bench.read(bench.fake.id_token()))
        async with asyncio.timeout(2):
            for _ in range(10):
                assert await bench.read(other.id_token(), workspace_id="w2", issuer=other.issuer) == "u-1"
        released.set()
        assert await slow == "u-1"


async def test_a_token_of_64_kilobytes_is_refused_without_asking_anybody(bench: Bench) -> None:
    refused = await bench.refusal(bench.fake.id_token(filler="x" * 65_536))
    assert refused.step == "size"
    assert not bench.fake.asked


async def test_the_pace_can_be_set(bench: Bench) -> None:
    reader = TokenReader(bench.outbound, ProviderKeys(bench.outbound, Pace(cool_down=5), bench.clock))
    token = bench.fake.id_token(header={"kid": "unknown"}, key=make_key("stranger"))
    for _ in range(3):
        with pytest.raises(InvalidProviderToken):
            await reader.read(bench.provider(), TokenKind.ID_TOKEN, token)
        bench.clock.now += 6
    assert bench.fake.asked[JWKS] == 4
