"""A process that serves: its socket, its signals, its end. Knows no routes."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from types import FrameType

import uvicorn
from fastapi import FastAPI

from subjectwise.errors import SubjectwiseError
from subjectwise.serving.error_responses import Refusal
from subjectwise.serving.inference_service import InferenceService

_log = logging.getLogger("subjectwise.serving")


def bind(host: str, port: int) -> socket.socket:
    """A socket at the address, before the model is loaded: a port that is taken is told at once.

    Raises:
        SubjectwiseError: the address cannot be had.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        found = socket.socket(family, kind, protocol)
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind(address)
    except (OSError, OverflowError) as error:
        raise SubjectwiseError(
            f"{host}:{port} cannot be had ({getattr(error, 'strerror', None) or error}); choose another with --host "
            "and --port."
        ) from error
    return found


def is_loopback(bound: socket.socket) -> bool:
    return ipaddress.ip_address(bound.getsockname()[0]).is_loopback


def address(bound: socket.socket) -> str:
    host, port = bound.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def serve(app: FastAPI, bound: socket.socket, on_ready: Callable[[], None]) -> None:
    """Serves until SIGTERM or SIGINT, then answers what has been accepted. SIGHUP loads the model again."""
    service: InferenceService = app.state.service
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        lifespan="on",
        ws="none",
        loop="asyncio",
        # Longer than clients keep their idle connections, so that none is closed while a request is on its way.
        timeout_keep_alive=75,
        # Nothing that was accepted takes longer; a client that does not read its answer is not waited for.
        timeout_graceful_shutdown=int(2 * service.settings.limits.deadline) + 5,
    )
    asyncio.run(_Server(config, service, on_ready).serve(sockets=[bound]))


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, service: InferenceService, on_ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._service = service
        self._on_ready = on_ready
        self._reload: asyncio.Task[None] | None = None

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Ends with 0 after a signal; uvicorn's own would raise it a second time, and the process die of it."""
        loop = asyncio.get_running_loop()
        handled = {
            signal.SIGTERM: lambda: self.handle_exit(signal.SIGTERM, None),
            signal.SIGINT: lambda: self.handle_exit(signal.SIGINT, None),
        }
        if sys.platform != "win32":
            handled[signal.SIGHUP] = self._start_reload
        for number, handler in handled.items():
            loop.add_signal_handler(number, handler)
        try:
            yield
        finally:
            for number in handled:
                loop.remove_signal_handler(number)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._service.stopping = True
        super().handle_exit(sig, frame)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._on_ready()

    def _start_reload(self) -> None:
        async def reload() -> None:
            # The service has logged what came of it.
            with contextlib.suppress(Refusal):
                await self._service.reload()

        self._reload = asyncio.create_task(reload())
