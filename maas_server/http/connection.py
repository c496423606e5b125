"""uvicorn's HTTP/1.1 connection, with limits that it does not have: time for a head, and errors of our form."""

from __future__ import annotations

import asyncio
import contextlib
import sys

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

from maas_server.http.body import LINGER_SECONDS
from maas_server.http.messages import JSON, dump

_HEAD_SECONDS = 10.0


class Connection(H11Protocol):
    """One connection. A request's head must be there soon after the connection is, or after its first byte."""

    _timer: asyncio.TimerHandle | None = None
    _refused = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first head."""
        super().connection_made(transport)
        self._close_after(_HEAD_SECONDS)

    def data_received(self, data: bytes) -> None:
        """Parse; stop waiting once a request is under way."""
        if self._refused:
            return
        super().data_received(data)
        if self._busy():
            self._stop_waiting()
        elif self._timer is None and self.timeout_keep_alive_task is None and not self.transport.is_closing():
            self._close_after(_HEAD_SECONDS)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the timer."""
        self._stop_waiting()
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP with the status that the parser hints at, and close."""
        error = sys.exception()
        status = getattr(error, "error_status_hint", 400)
        body = dump({"error": f"this is not a request that can be served: {error or msg}"})
        headers = [
            (b"content-type", JSON.encode()),
            (b"content-length", str(len(body)).encode()),
            (b"connection", b"close"),
        ]
        # Unless an answer is on its way already: the body broke while it was being read.
        with contextlib.suppress(h11.LocalProtocolError):
            events = (h11.Response(status_code=status, headers=headers), h11.Data(data=body), h11.EndOfMessage())
            self.transport.write(b"".join(self.conn.send(event) or b"" for event in events))
        # Closed at once, with bytes unread, the connection would be reset and the answer lost.
        self._refused = True
        self._close_after(LINGER_SECONDS)
        self.transport.write_eof()

    def shutdown(self) -> None:
        """Close, or do so after the answer that is under way."""
        if self._refused:
            self.transport.close()
        else:
            super().shutdown()

    def _busy(self) -> bool:
        # None until the first request, whatever the types say.
        cycle: RequestResponseCycle | None = self.cycle
        return cycle is not None and not cycle.response_complete

    def _close_after(self, seconds: float) -> None:
        self._stop_waiting()
        self._timer = self.loop.call_later(seconds, self.transport.close)

    def _stop_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
