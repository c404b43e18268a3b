"""One HTTP connection to the farm's API: the key, the errors, the retries."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import TracebackType
from typing import Any

import httpx
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_random_exponential

from farm.client.calls import Call, Question, T
from farm.errors import Conflict, FarmError, NotFound, Rejected, TooLarge, Unavailable

PREFIX = "/api/v1"
PATIENCE_S = 10.0
"""Seconds for which a call that may be repeated is repeated while the farm does not answer."""
TIMEOUT_S = 60.0
"""Seconds without a byte after which a connection counts as lost. Long polls ask for less than that."""
TIMEOUT = httpx.Timeout(TIMEOUT_S, connect=5.0)
_KINDS: dict[int, type[Rejected]] = {404: NotFound, 409: Conflict, 413: TooLarge}


class NotReached(Unavailable):
    """Nothing answers at the farm's address."""

    def __init__(self, url: str, why: str) -> None:
        super().__init__(
            f"The farm at {url} does not answer ({why}). Start one on this machine with `farm up`, or say where it is "
            f"with FARM_URL. `farm doctor` looks for the cause."
        )


class KeyRefused(Rejected):
    """The API wants a key, or another one."""

    def __init__(self, url: str, has_key: bool) -> None:
        seen = "refused the API key" if has_key else "asks for an API key"
        super().__init__(f"The farm at {url} {seen}. Set FARM_API_KEY to one of those that the farm was started with.")


class Http:
    """Calls below `/api/v1`. Safe for threads."""

    def __init__(
        self,
        url: str,
        api_key: str | None = None,
        *,
        patience_s: float = PATIENCE_S,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        """
        Args:
            transport: another way to the API than the network, for tests.
        """
        self.url = url.rstrip("/")
        self._has_key = bool(api_key)
        self._patience_s = patience_s
        self._client = httpx.Client(
            base_url=self.url, headers=key_headers(api_key), timeout=TIMEOUT, transport=transport
        )
        # Links to the store are signed: the API's key is not for it.
        self._store = httpx.Client(timeout=TIMEOUT, transport=transport)

    def __enter__(self) -> Http:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the connections."""
        self._client.close()
        self._store.close()

    def do(self, question: Question[T]) -> T:
        """Carry out a question: each of its calls is repeated while the farm is unavailable, if that can do no harm.

        Raises:
            Rejected: a 4xx, with the detail of the problem document.
            Unavailable: a 5xx, or no answer.
            Whatever the question itself raises.
        """
        answer = None
        while True:
            try:
                call = question.send(answer)
            except StopIteration as end:
                return end.value  # type: ignore[no-any-return]  # StopIteration does not carry the generator's type
            answer = self.call(call)

    def call(self, call: Call) -> Any:  # noqa: ANN401 - any JSON
        """The answer of one call: JSON, None where it is empty, bytes where the call wants them."""

        def once() -> httpx.Response:
            return self._once(
                call.method, PREFIX + call.path, params=call.given(), json=call.json, headers=dict(call.headers)
            )

        return read(call, self._repeated(once) if call.repeats else once())

    def get(self, path: str, params: Mapping[str, Any] | None = None) -> Any:  # noqa: ANN401 - any JSON
        """The JSON answer of a GET; parameters that are None are left out."""
        return self.call(Call("GET", path, params or {}))

    def post(self, path: str, body: object, *, repeatable: bool = False) -> Any:  # noqa: ANN401 - any JSON
        """The JSON answer of a POST of a JSON body."""
        return self.call(Call("POST", path, json=body, repeatable=repeatable))

    def put(self, path: str, body: object) -> Any:  # noqa: ANN401 - any JSON
        """The JSON answer of a PUT of a JSON body."""
        return self.call(Call("PUT", path, json=body))

    def upload(self, path: str, params: Mapping[str, str], body: Callable[[], Iterable[bytes]], size: int) -> Any:  # noqa: ANN401 - any JSON
        """The JSON answer of a POST of `size` raw bytes, streamed; begun anew where the connection breaks."""

        def once() -> httpx.Response:
            return self._once("POST", PREFIX + path, params=dict(params), content=body(), headers=_raw(size))

        return self._repeated(once).json()

    def put_file(self, path: str, body: Callable[[], Iterable[bytes]], size: int) -> None:
        """PUT `size` raw bytes, streamed; begun anew where the connection breaks."""
        self._repeated(lambda: self._once("PUT", PREFIX + path, content=body(), headers=_raw(size)))

    def fetch(self, url: str, offset: int = 0) -> httpx.Response:
        """Begin to read a file, from byte `offset` on; close the answer when done.

        Args:
            url: a path of the API, or a link to the store, to which the key is not sent.
        Raises: as `send`; ask again yourself, from where you are.
        """
        headers = {"Range": f"bytes={offset}-"} if offset else {}
        absolute = not url.startswith("/")
        client = self._store if absolute else self._client
        return self._begun(client, client.build_request("GET", url, headers=headers))

    def lines(self, path: str, body: object) -> httpx.Response:
        """Begin to read the lines that answer a POST; close the answer when done. Raises: as `send`."""
        headers = {"Accept": "application/x-ndjson"}
        return self._begun(self._client, self._client.build_request("POST", PREFIX + path, json=body, headers=headers))

    def _begun(self, client: httpx.Client, request: httpx.Request) -> httpx.Response:
        try:
            response = client.send(request, stream=True)
        except httpx.TransportError as error:
            raise NotReached(self.url, str(error) or type(error).__name__) from None
        if response.is_success:
            return response
        response.read()
        response.close()
        raise self._problem(response)

    def stream(self, path: str, headers: Mapping[str, str], params: Mapping[str, Any]) -> httpx.Response:
        """Begin to read an answer of a GET that goes on; close it when done. Raises: as `do`; ask again yourself."""
        return self._begun(
            self._client, self._client.build_request("GET", PREFIX + path, headers=headers, params=params)
        )

    def health(self, path: str) -> tuple[int, Any]:
        """Status and JSON of `/healthz` or `/readyz`, whatever the status is. Raises NotReached."""
        try:
            response = self._client.get(path)
        except httpx.TransportError as error:
            raise NotReached(self.url, str(error) or type(error).__name__) from None
        return response.status_code, _json(response)

    def _repeated(self, call: Callable[[], httpx.Response]) -> httpx.Response:
        patient = Retrying(
            retry=retry_if_exception_type(Unavailable),
            wait=wait_random_exponential(multiplier=0.1, max=2),
            stop=stop_after_delay(self._patience_s),
            reraise=True,
        )
        return patient(call)

    def _once(self, method: str, path: str, **options: Any) -> httpx.Response:  # noqa: ANN401 - httpx's own
        try:
            response = self._client.request(method, path, **options)
        except httpx.TransportError as error:
            raise NotReached(self.url, str(error) or type(error).__name__) from None
        if response.is_success:
            return response
        raise self._problem(response)

    def _problem(self, response: httpx.Response) -> FarmError:
        return problem_of(response, self.url, self._has_key)


def read(call: Call, response: httpx.Response) -> Any:  # noqa: ANN401 - any JSON
    """What a call wants of its answer."""
    if call.raw:
        return response.content
    return response.json() if response.content else None


def key_headers(api_key: str | None) -> dict[str, str]:
    """What every call carries."""
    return {"Authorization": f"Bearer {api_key}"} if api_key else {}


def problem_of(response: httpx.Response, url: str, has_key: bool) -> FarmError:
    """The farm's word for an answer that is none."""
    status = response.status_code
    if status == 401:
        return KeyRefused(url, has_key)
    said = _json(response)
    detail = said.get("detail") if isinstance(said, dict) else None
    text = str(detail or f"{response.request.method} {response.request.url.path} was answered with {status}.")
    if status >= 500 or status == 429:
        return Unavailable(text)
    return _KINDS.get(status, Rejected)(text)


def _json(response: httpx.Response) -> Any:  # noqa: ANN401 - any JSON
    try:
        return response.json()
    except ValueError:
        return None


def _raw(size: int) -> dict[str, str]:
    return {"Content-Length": str(size), "Content-Type": "application/octet-stream"}
