"""The same connection as `farm.client.http`, for coroutines."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_delay, wait_random_exponential

from farm.client.calls import Call, Question, T
from farm.client.http import PATIENCE_S, PREFIX, TIMEOUT, NotReached, key_headers, problem_of, read
from farm.errors import Unavailable


class AsyncHttp:
    """Calls below `/api/v1`, in one event loop."""

    def __init__(
        self,
        url: str,
        api_key: str | None = None,
        *,
        patience_s: float = PATIENCE_S,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        """As `farm.client.http.Http`."""
        self.url = url.rstrip("/")
        self._has_key = bool(api_key)
        self._patience_s = patience_s
        self._client = httpx.AsyncClient(
            base_url=self.url, headers=key_headers(api_key), timeout=TIMEOUT, transport=transport
        )

    async def close(self) -> None:
        """Let go of the connections."""
        await self._client.aclose()

    async def do(self, question: Question[T]) -> T:
        """Carry out a question; see `Http.do`."""
        answer = None
        while True:
            try:
                call = question.send(answer)
            except StopIteration as end:
                return end.value  # type: ignore[no-any-return]  # StopIteration does not carry the generator's type
            answer = await self.call(call)

    async def call(self, call: Call) -> Any:  # noqa: ANN401 - any JSON
        """The answer of one call; see `Http.call`."""

        async def once() -> httpx.Response:
            request = self._client.build_request(
                call.method, PREFIX + call.path, params=call.given(), json=call.json, headers=dict(call.headers)
            )
            return await self._sent(request, stream=False)

        if not call.repeats:
            return read(call, await once())
        patient = AsyncRetrying(
            retry=retry_if_exception_type(Unavailable),
            wait=wait_random_exponential(multiplier=0.1, max=2),
            stop=stop_after_delay(self._patience_s),
            reraise=True,
        )
        return read(call, await patient(once))

    async def stream(self, path: str, headers: Mapping[str, str], params: Mapping[str, Any]) -> httpx.Response:
        """Begin to read an answer of a GET that goes on; close it when done. Raises: as `do`; ask again yourself."""
        return await self._sent(
            self._client.build_request("GET", PREFIX + path, headers=headers, params=params), stream=True
        )

    async def health(self, path: str) -> tuple[int, Any]:
        """Status and JSON of `/healthz` or `/readyz`, whatever the status is. Raises NotReached."""
        try:
            response = await self._client.get(path)
        except httpx.TransportError as error:
            raise NotReached(self.url, str(error) or type(error).__name__) from None
        try:
            return response.status_code, response.json()
        except ValueError:
            return response.status_code, None

    async def _sent(self, request: httpx.Request, *, stream: bool) -> httpx.Response:
        try:
            response = await self._client.send(request, stream=stream)
            if response.is_success:
                return response
            await response.aread()
            await response.aclose()
        except httpx.TransportError as error:
            raise NotReached(self.url, str(error) or type(error).__name__) from None
        raise problem_of(response, self.url, self._has_key)
