from __future__ import annotations

import asyncio
import signal

from subjectwise.serving.signals import handled_signals


def test_signals_reach_their_handlers() -> None:
    received: list[str] = []

    async def scenario() -> None:
        before = signal.getsignal(signal.SIGHUP)
        with handled_signals(lambda number: received.append(number.name), lambda: received.append("reload")):
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                signal.raise_signal(number)
                await asyncio.sleep(0.01)
        assert signal.getsignal(signal.SIGHUP) == before

    asyncio.run(scenario())
    assert received == ["SIGTERM", "SIGINT", "reload"]
