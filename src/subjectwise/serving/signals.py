"""Signals handled in an event loop: SIGTERM and SIGINT stop, SIGHUP reloads. Knows no server."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def handled_signals(stop: Callable[[signal.Signals], None], reload: Callable[[], None]) -> Iterator[None]:
    """Call `stop` at SIGTERM and SIGINT, and `reload` at SIGHUP where there is one, in the running event loop."""
    loop = asyncio.get_running_loop()
    handlers: dict[signal.Signals, Callable[[], None]] = {
        signal.SIGTERM: lambda: stop(signal.SIGTERM),
        signal.SIGINT: lambda: stop(signal.SIGINT),
    }
    if sys.platform != "win32":
        handlers[signal.SIGHUP] = reload
    for number, handler in handlers.items():
        loop.add_signal_handler(number, handler)
    try:
        yield
    finally:
        for number in handlers:
            loop.remove_signal_handler(number)
