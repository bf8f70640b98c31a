from __future__ import annotations

import asyncio
import signal
from types import FrameType

import pytest

from subjectwise.serving.signals import handled_signals

HANDLED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


@pytest.mark.parametrize("windows", [False, True])
def test_signals_reach_their_handlers(windows: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    received: list[str] = []

    def missing(*arguments: object) -> None:
        raise NotImplementedError

    def of_another_library(number: int, frame: FrameType | None) -> None:
        received.append("another library's")

    async def scenario() -> None:
        before = [signal.getsignal(number) for number in HANDLED]
        if windows:
            monkeypatch.setattr(asyncio.get_running_loop(), "add_signal_handler", missing)
        with handled_signals(lambda number: received.append(number.name), lambda: received.append("reload")):
            for number in HANDLED:
                signal.raise_signal(number)
                await asyncio.sleep(0.01)
        assert [signal.getsignal(number) for number in HANDLED] == before

    had_it = signal.signal(signal.SIGTERM, of_another_library)
    try:
        asyncio.run(scenario())
    finally:
        signal.signal(signal.SIGTERM, had_it)
    assert received == ["SIGTERM", "SIGINT", "reload"]


def test_a_system_without_sighup_has_no_reload(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(signal, "SIGHUP")
    received: list[str] = []

    async def scenario() -> None:
        with handled_signals(lambda number: received.append(number.name), lambda: received.append("reload")):
            signal.raise_signal(signal.SIGTERM)
            await asyncio.sleep(0.01)

    asyncio.run(scenario())
    assert received == ["SIGTERM"]
