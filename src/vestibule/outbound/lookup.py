"""Asks the system's resolver for the addresses of a name; it must not judge them or remember them.

In threads of its own: uvloop's getaddrinfo shares four threads with everything else in libuv and uses two of them at
most, so two names whose servers do not answer would hold up every other call of the process. Daemon threads, because
the C library gives up on a name long after its caller has, and nobody shall wait for that when the process ends. A few
for each tenant, who would otherwise fill them all with such names.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
import threading

from vestibule.outbound.address_guard import Address
from vestibule.outbound.turns import Turns

_MOST_THREADS = 32
_MOST_OF_TENANT = 4
_Outcome = tuple[Address, ...] | OSError


class Lookup:
    """`await lookup(tenant, name)`; callers that ask for a name at the same time share the answer."""

    def __init__(self) -> None:
        self._threads = asyncio.Semaphore(_MOST_THREADS)
        self._of_tenant = Turns(_MOST_OF_TENANT)
        self._under_way: dict[str, asyncio.Task[_Outcome]] = {}

    async def __call__(self, tenant: str, host: str) -> tuple[Address, ...]:
        """Raises OSError."""
        task = self._under_way.get(host) or await self._begin(tenant, host)
        # Shielded: one caller that has waited long enough does not speak for the others.
        outcome = await asyncio.shield(task)
        if isinstance(outcome, OSError):
            raise outcome
        return outcome

    async def _begin(self, tenant: str, host: str) -> asyncio.Task[_Outcome]:
        # The caller itself waits for a thread, not what is shared: who has given up leaves no name in line, and nobody
        # of another tenant waits in this one's.
        async with contextlib.AsyncExitStack() as places:
            # "tenant/part": each part has turns of its own for its calls, and all of them share the tenant's threads.
            await places.enter_async_context(self._of_tenant.take(tenant.partition("/")[0]))
            await places.enter_async_context(self._threads)
            task = self._under_way.get(host)
            if task is None:
                task = self._under_way[host] = asyncio.create_task(_ask(host, places.pop_all()))
                task.add_done_callback(lambda _: self._under_way.pop(host))
            return task


async def _ask(host: str, places: contextlib.AsyncExitStack) -> _Outcome:
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[_Outcome] = loop.create_future()
    thread = threading.Thread(target=_look_up, args=(host, loop, answer), name="vestibule-lookup", daemon=True)
    # Given back when the thread ends, and not when its callers have: they would leave threads behind.
    async with places:
        try:
            thread.start()
        except RuntimeError:
            return OSError("no thread to ask in")
        return await asyncio.shield(answer)


def _look_up(host: str, loop: asyncio.AbstractEventLoop, answer: asyncio.Future[_Outcome]) -> None:
    outcome: _Outcome
    try:
        # As bytes: text would go through Python's IDNA 2003 codec.
        infos = socket.getaddrinfo(host.encode("ascii"), None, type=socket.SOCK_STREAM)
        outcome = tuple(dict.fromkeys(ipaddress.ip_address(info[4][0]) for info in infos))
    except OSError as error:
        outcome = error
    except ValueError:
        outcome = OSError("the resolver's answer is not an address")
    with contextlib.suppress(RuntimeError):  # the loop is closed, nobody waits
        loop.call_soon_threadsafe(answer.set_result, outcome)
