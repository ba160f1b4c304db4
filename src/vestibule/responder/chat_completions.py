"""Asks an endpoint for chat completions through the openai SDK, and the SDK through our one door out; it must not know
what a conversation is."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import msgspec

from vestibule.errors import UpstreamFailed, UpstreamTimeout
from vestibule.model.responder import ResponderSettings
from vestibule.outbound.client import Outbound

if TYPE_CHECKING:
    import httpx2 as httpx
    from openai import AsyncOpenAI

_MOST_BYTES = 4_194_304
_SENT_HEADERS = frozenset({"authorization", "content-type", "accept"})


class Wanted(msgspec.Struct):
    """A call that the model asks for, gathered from the pieces in which it is streamed."""

    id: str = ""
    name: str = ""
    arguments: str = ""


class Completions:
    """One endpoint, for the completions of one answer."""

    def __init__(self, outbound: Outbound, settings: ResponderSettings, tenant: str) -> None:
        self._outbound = outbound
        self._settings = settings
        self._tenant = tenant
        self._client: AsyncOpenAI | None = None

    async def __aenter__(self) -> Self:
        # In a thread: the SDK takes a second to load, and 60 MB that a process without a language model does not need.
        await asyncio.to_thread(_load_sdk)
        self._client = _make_client(self._outbound, self._settings, self._tenant)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._client is not None:
            await self._client.close()

    async def next(
        self, messages: list[dict[str, Any]], tools: list[dict[str, Any]]
    ) -> tuple[str | None, list[Wanted]]:
        """One completion: its text, and the calls that it asks for. Streamed, as many endpoints answer only so in time.
        Raises the Upstream errors."""
        import openai  # noqa: PLC0415 - see __aenter__

        text: list[str] = []
        wanted: list[Wanted] = []
        under_way: dict[int | None, Wanted] = {}
        try:
            stream: Any = await self._sdk.chat.completions.create(
                model=self._settings.model,
                messages=messages,  # type: ignore[arg-type]
                tools=tools,  # type: ignore[arg-type]
                stream=True,
            )
            async for chunk in stream:
                for choice in (chunk.choices or ())[:1]:
                    text.append(_text(choice.delta.content))
                    for part in choice.delta.tool_calls or ():
                        _add(wanted, under_way, part)
        except openai.APITimeoutError:
            raise UpstreamTimeout(detail="the model did not answer in time", step="responder") from None
        except openai.OpenAIError as error:
            # The class and status only: the SDK's message may quote the key or the conversation. What the door out
            # raises comes through the SDK as it is.
            detail = f"{type(error).__name__} {getattr(error, 'status_code', '')}".strip()
            raise UpstreamFailed(detail=detail, step="responder") from None
        except (json.JSONDecodeError, AttributeError, TypeError, ValueError) as error:
            # Pieces that are not of the shape that the SDK's types promise; it does not check them.
            detail = f"the model's answer is not of the expected form: {type(error).__name__}"
            raise UpstreamFailed(detail=detail, step="responder") from None
        for number, call in enumerate(wanted):
            call.id = call.id or f"call_{number}"
        return "".join(text) or None, wanted

    @property
    def _sdk(self) -> AsyncOpenAI:
        if self._client is None:
            raise RuntimeError("used outside its block")
        return self._client


def _add(wanted: list[Wanted], under_way: dict[int | None, Wanted], part: Any) -> None:
    """Adds a part to the call that it belongs to: mostly the one under way at its index."""
    index = None if part.index is None else int(part.index)
    own_id, name, arguments = _text(part.id), "", ""
    if part.function is not None:
        name, arguments = _text(part.function.name), _text(part.function.arguments)
    call = under_way.get(index)
    # Some endpoints number no parts, and send each call whole. Some number every call 0 (Ollama, gateways to Gemini).
    # An id alone begins none: older vLLM gives one to each part, and the name to the first.
    if index is None or call is None or (call.name and name and own_id not in {"", call.id}):
        call = under_way[index] = Wanted()
        wanted.append(call)
    call.id = call.id or own_id
    call.name = call.name or name
    call.arguments += arguments


def _text(value: object) -> str:
    """Raises TypeError."""
    if value is not None and not isinstance(value, str):
        raise TypeError
    return value or ""


def _load_sdk() -> None:
    import httpx2  # noqa: F401, PLC0415
    import openai  # noqa: F401, PLC0415


def _make_client(outbound: Outbound, settings: ResponderSettings, tenant: str) -> AsyncOpenAI:
    import httpx2 as httpx  # noqa: PLC0415 - see __aenter__
    from openai import AsyncOpenAI  # noqa: PLC0415

    seconds = settings.timeout_ms / 1000

    class Guarded(httpx.AsyncBaseTransport):
        """Hands the SDK's requests to the one door out, so that its endpoint is checked like any other."""

        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            return await _through(outbound, request, tenant, seconds)

    http = httpx.AsyncClient(transport=Guarded(), timeout=seconds, trust_env=False, follow_redirects=False)
    return AsyncOpenAI(
        # Never None, or the SDK takes a key from the environment of the process.
        api_key=settings.api_key or "none",
        base_url=settings.url,
        http_client=http,
        max_retries=0,
        timeout=seconds,
    )


async def _through(outbound: Outbound, request: httpx.Request, tenant: str, seconds: float) -> httpx.Response:
    import httpx2 as httpx  # noqa: PLC0415 - see __aenter__

    answer = await outbound.request(
        request.method,
        str(request.url),
        tenant=tenant,
        purpose="responder",
        headers={name: value for name, value in request.headers.items() if name.lower() in _SENT_HEADERS},
        body=await request.aread(),
        timeout=seconds,
        most_bytes=_MOST_BYTES,
    )

    async def body() -> AsyncIterator[bytes]:
        yield answer.body

    return httpx.Response(answer.status, headers=answer.headers, content=body(), request=request)
