"""Progress of long work on standard error: a bar in a terminal, one line per minute in a log."""

from __future__ import annotations

import sys
from typing import Any, Protocol, cast

SECONDS = 60.0  # between two lines of a log
_LINE = "{desc}: {n_fmt} of {total_fmt}{unit} in {elapsed}, {remaining} to go{postfix}"


class ProgressBar(Protocol):
    """The part of a tqdm bar that this package uses."""

    def __enter__(self) -> ProgressBar: ...

    def __exit__(self, *error: object) -> None: ...

    def update(self, count: int = 1) -> object:
        """Count `count` more units as done."""
        ...

    def set_postfix(self, *, refresh: bool = True, **values: object) -> None:
        """Show `values` at the end of the bar."""
        ...

    def close(self) -> None:
        """Finish the bar."""
        ...


def progress_bar(description: str, total: int | None, unit: str, *, done: int = 0, hidden: bool = False) -> ProgressBar:
    """Return a tqdm bar of `total` units (None where the number is unknown), of which `done` are done.

    Without a terminal it writes whole lines, the first after a minute, so that short work leaves no lines in a log.
    """
    from tqdm import tqdm

    shared: dict[str, Any] = {
        "desc": description, "total": total, "unit": f" {unit}", "initial": done, "disable": hidden,
    }  # fmt: skip
    if sys.stderr.isatty():
        return cast(ProgressBar, tqdm(**shared, leave=None))  # a bar within another goes when it is done
    log: dict[str, Any] = {"file": _Lines(), "bar_format": _LINE, "mininterval": SECONDS, "delay": SECONDS}
    return cast(ProgressBar, tqdm(**shared, **log, miniters=1, leave=False))


class _Lines:
    """Standard error for a tqdm bar that redraws itself: each drawing becomes a line of its own."""

    def write(self, text: str) -> None:
        if line := text.strip():
            print(line, file=sys.stderr, flush=True)

    def flush(self) -> None: ...
