"""Reading a request's body: all of it, and never more than the limits allow."""

from __future__ import annotations

import asyncio
import contextlib
import zlib
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from maas_server.errors import InvalidRequest, Overloaded
from maas_server.http.failures import HttpError

Receive = Callable[[], Awaitable[Mapping[str, Any]]]

# A body may take so long, and longer by what it has brought already at this rate.
_PATIENCE_SECONDS = 20.0
_LEAST_BYTES_PER_SECOND = 64 << 10
# After a refusal what is still coming is read and dropped for a while: closing at once would reset the connection, and
# the caller would never see why.
LINGER_SECONDS = 2.0
# Bodies are kept while their requests run. All together, in multiples of the largest one.
_BODIES_AT_ONCE = 8

# A thousand times as much may come out; more is unpacked in a thread, which needs Python's lock for none of it.
_UNPACKED_HERE = 4 << 10

# zlib's names for what it shall expect.
_WBITS = {"gzip": 31, "x-gzip": 31, "deflate": 15}


class BodyLimits:
    """What bodies may take, one and all together. Belongs to one event loop."""

    def __init__(self, max_bytes: int) -> None:
        """`max_bytes`: of one body, before and after it is decompressed."""
        self.max_bytes = max_bytes
        self._held = 0

    def hold(self, size: int) -> None:
        """Count `size` bytes more.

        Raises:
            Overloaded: there are too many already.
        """
        if self._held and self._held + size > _BODIES_AT_ONCE * self.max_bytes:
            raise Overloaded("too many bytes in the bodies of requests under way", retry_after=1.0)
        self._held += size

    def release(self, size: int) -> None:
        """Count `size` bytes less."""
        self._held -= size


class Body:
    """One request's body. Leave the context when the request is over."""

    def __init__(self, receive: Receive, headers: Mapping[str, str], limits: BodyLimits) -> None:
        """Nothing is read yet."""
        self._receive = receive
        self._headers = headers
        self._limits = limits
        self._held = 0
        self._read: bytes | None = None
        self._complete = False

    def __enter__(self) -> Body:
        """Begin."""
        return self

    def __exit__(self, *_: object) -> None:
        """Let go of the bytes."""
        self._limits.release(self._held)
        self._held = 0

    async def read(self) -> bytes:
        """Return the whole body; a second call returns the same.

        Raises:
            HttpError: it is too large, comes too slowly, is encoded in a way that we do not know, or the caller left.
            InvalidRequest: it does not decompress.
            Overloaded: the bodies of all requests together take too much.
        """
        if self._read is None:
            decompress = _decompressor(self._headers.get("content-encoding", ""))
            self._read = await decompress(await self._read_all(), self)
        return self._read

    async def drop(self) -> None:
        """Read what is still coming, for a while."""
        if self._complete:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LINGER_SECONDS):
                while not self._complete:
                    await self._chunk()

    async def gone(self) -> None:
        """Return when the caller has gone away. Only after `read`."""
        while (await self._receive())["type"] != "http.disconnect":
            pass

    def grow(self, size: int) -> None:
        """Count `size` bytes more of this body.

        Raises:
            HttpError: it is too large.
            Overloaded: all together are.
        """
        if self._held + size > 2 * self._limits.max_bytes:
            raise self.too_large()
        self._limits.hold(size)
        self._held += size

    def too_large(self) -> HttpError:
        """Return the error for a body beyond the limit."""
        return HttpError(413, f"the body has more than {self._limits.max_bytes} bytes", close=True)

    @property
    def max_bytes(self) -> int:
        """The limit for one body."""
        return self._limits.max_bytes

    async def _read_all(self) -> bytes:
        announced = self._headers.get("content-length")
        if announced is not None and int(announced) > self._limits.max_bytes:
            raise self.too_large()
        chunks: list[bytes] = []
        size = 0
        loop = asyncio.get_running_loop()
        started = loop.time()
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS) as patience:
                while not self._complete:
                    chunk = await self._chunk()
                    size += len(chunk)
                    if size > self._limits.max_bytes:
                        raise self.too_large()
                    self.grow(len(chunk))
                    chunks.append(chunk)
                    patience.reschedule(started + _PATIENCE_SECONDS + size / _LEAST_BYTES_PER_SECOND)
        except TimeoutError:
            raise HttpError(408, "the body came too slowly", close=True) from None
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    async def _chunk(self) -> bytes:
        message = await self._receive()
        if message["type"] == "http.disconnect":
            self._complete = True
            raise HttpError(400, "the caller went away", close=True)
        self._complete = not message.get("more_body", False)
        return bytes(message.get("body", b""))


async def _as_it_is(data: bytes, _: Body) -> bytes:
    return data


def _decompressor(encoding: str) -> Callable[[bytes, Body], Awaitable[bytes]]:
    encoding = encoding.strip().lower()
    if encoding in ("", "identity"):
        return _as_it_is
    if (wbits := _WBITS.get(encoding)) is None:
        headers = (("accept-encoding", "gzip, deflate"),)
        message = f"content-encoding {encoding[:64]!r} is not supported; gzip and deflate are"
        raise HttpError(415, message, headers=headers, close=True)

    async def decompress(data: bytes, body: Body) -> bytes:
        stream = zlib.decompressobj(wbits)
        try:
            if len(data) > _UNPACKED_HERE:
                result = await asyncio.to_thread(stream.decompress, data, body.max_bytes + 1)
            else:
                result = stream.decompress(data, body.max_bytes + 1)
        except zlib.error as error:
            raise InvalidRequest(f"the body is not {encoding}: {error}") from None
        if len(result) > body.max_bytes:
            raise body.too_large()
        if not stream.eof or stream.unused_data:
            raise InvalidRequest(f"the body is not {encoding}: it is cut short, or something follows")
        body.grow(len(result))
        return result

    return decompress
