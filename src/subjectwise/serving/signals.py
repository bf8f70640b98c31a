"""Signals handled in an event loop: SIGTERM and SIGINT stop, SIGHUP reloads. Knows no server."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Callable, Iterator
from types import FrameType


@contextlib.contextmanager
def handled_signals(stop: Callable[[signal.Signals], None], reload: Callable[[], None]) -> Iterator[None]:
    """Call `stop` at SIGTERM and SIGINT, and `reload` at SIGHUP where there is one, in the running event loop."""
    handlers: dict[signal.Signals, Callable[[], None]] = {
        signal.SIGTERM: lambda: stop(signal.SIGTERM),
        signal.SIGINT: lambda: stop(signal.SIGINT),
    }
    if hasattr(signal, "SIGHUP"):
        handlers[signal.SIGHUP] = reload
    with contextlib.ExitStack() as stack:
        for number, handler in handlers.items():
            stack.callback(_handle(asyncio.get_running_loop(), number, handler))
        yield


def _handle(loop: asyncio.AbstractEventLoop, number: signal.Signals, handler: Callable[[], None]) -> Callable[[], None]:
    """Handle a signal; return what gives it back to the handler that had it, which an event loop would drop."""
    before = signal.getsignal(number)

    def give_back() -> None:
        if before is not None:  # None: a handler that was not installed from Python
            signal.signal(number, before)

    try:
        loop.add_signal_handler(number, handler)
    except NotImplementedError:  # Windows, whose loops know no signals

        def wake(received: int, frame: FrameType | None) -> None:
            loop.call_soon_threadsafe(handler)

        signal.signal(number, wake)
        return give_back

    def remove_and_give_back() -> None:
        loop.remove_signal_handler(number)
        give_back()

    return remove_and_give_back
