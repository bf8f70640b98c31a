"""A process that serves: its socket, its start and its end. Knows no routes."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
from collections.abc import Callable, Iterator
from dataclasses import replace
from types import FrameType

import uvicorn
from starlette.applications import Starlette

from subjectwise.errors import SubjectwiseError
from subjectwise.serving.connections import (
    ConnectionConfig,
    LimitedConnection,
    LoopErrors,
    connections_within_descriptors,
)
from subjectwise.serving.error_responses import Refusal
from subjectwise.serving.inference_service import InferenceService
from subjectwise.serving.signals import handled_signals


def bind(host: str, port: int) -> socket.socket:
    """Return a socket at the address, so that a port in use is reported before the model loads.

    Raises:
        SubjectwiseError: the address is not available.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        bound = socket.socket(family, kind, protocol)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
    except (OSError, OverflowError) as error:
        raise SubjectwiseError(
            f"Cannot bind {host}:{port} ({getattr(error, 'strerror', None) or error}); choose another with --host "
            "and --port."
        ) from error
    return bound


def is_loopback(bound: socket.socket) -> bool:
    """Return whether the socket is reached from this machine only."""
    return ipaddress.ip_address(bound.getsockname()[0]).is_loopback


def loopback_names(*others: str) -> tuple[str, ...]:
    """Return the names by which a server on this machine is asked, and others."""
    return ("localhost", "127.0.0.1", "::1", *others)


def address(bound: socket.socket) -> str:
    """Return the address of a bound socket, as a browser takes it."""
    host, port = bound.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def serve(app: Starlette, bound: socket.socket, on_ready: Callable[[], None]) -> None:
    """Serve until SIGTERM or SIGINT, then answer what has been accepted. SIGHUP loads the model again.

    Args:
        app: with its service in `app.state.service`.
        bound: of `bind`.
        on_ready: called once, when requests are answered.
    """
    service: InferenceService = app.state.service
    asyncio.run(SignalledServer(app, service, on_ready).serve(sockets=[bound]))


class HttpServer(uvicorn.Server):
    """uvicorn with limits of connections.

    Args:
        app: the ASGI application.
        service: what it serves.
    """

    def __init__(self, app: Starlette, service: InferenceService) -> None:
        self._service = service
        limits, deadline = service.settings.connections, service.settings.limits.deadline
        self._closing_seconds = limits.closing_seconds
        limits = replace(limits, most=connections_within_descriptors(limits.most))
        super().__init__(ConnectionConfig(app, limits, deadline, service.metrics.connection_closed))
        service.metrics.watch_connections(lambda: len(self.server_state.connections))

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to accept connections."""
        asyncio.get_running_loop().set_exception_handler(LoopErrors())
        await super().startup(sockets)

    async def on_tick(self, counter: int) -> bool:
        """Do what is done ten times per second."""
        if counter % 10 == 0:
            for connection in self._connections():
                connection.drop_if_slow()
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Answer what was accepted; a client that does not read its answer is not waited for."""
        asyncio.get_running_loop().call_later(self._closing_seconds, self._drop_who_waits_for_nothing)
        await super().shutdown(sockets)

    def _drop_who_waits_for_nothing(self, was_busy: bool = True) -> None:
        # Twice in a row, since an answer that has just been computed is still to be sent.
        busy = self._service.queue.busy
        for connection in self._connections():
            if connection.idle or not (busy or was_busy):
                connection.drop("slow")
        asyncio.get_running_loop().call_later(1, self._drop_who_waits_for_nothing, busy)

    def _connections(self) -> list[LimitedConnection]:
        return [item for item in self.server_state.connections if isinstance(item, LimitedConnection)]


class SignalledServer(HttpServer):
    """A server that signals stop and reload.

    Args:
        app: the ASGI application.
        service: what it serves.
        on_ready: called once, when requests are answered.
    """

    def __init__(self, app: Starlette, service: InferenceService, on_ready: Callable[[], None]) -> None:
        super().__init__(app, service)
        self._on_ready = on_ready
        self._reload: asyncio.Task[None] | None = None

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """End with 0 after a signal; uvicorn's own would raise it a second time, and the process die of it."""
        with handled_signals(lambda number: self.handle_exit(number, None), self._start_reload):
            yield

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop."""
        self._service.stopping = True
        super().handle_exit(sig, frame)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to accept connections, and say so."""
        await super().startup(sockets)
        self._on_ready()

    def _start_reload(self) -> None:
        async def reload() -> None:
            # The service logs the result.
            with contextlib.suppress(Refusal):
                await self._service.reload()

        self._reload = asyncio.create_task(reload())
