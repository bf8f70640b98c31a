"""Progress of long work on standard error: a bar where there is a terminal, a line a minute in a log."""

from __future__ import annotations

import sys
from typing import Any

from tqdm import tqdm

SECONDS = 60.0  # between two lines of a log
_LINE = "{desc}: {n_fmt} of {total_fmt}{unit} in {elapsed}, {remaining} to go{postfix}"


def progress_bar(description: str, total: int | None, unit: str, *, done: int = 0, hidden: bool = False) -> Any:
    """A tqdm bar of `total` units, `done` of which are done; None where nobody knows how many.

    Without a terminal it writes whole lines, the first after a minute, so that short work leaves nothing in a log.
    """
    shared: dict[str, Any] = {
        "desc": description, "total": total, "unit": f" {unit}", "initial": done, "disable": hidden,
    }  # fmt: skip
    if sys.stderr.isatty():
        return tqdm(**shared, leave=None)  # a bar within another goes when it is done
    return tqdm(
        **shared, file=_Lines(), bar_format=_LINE, mininterval=SECONDS, delay=SECONDS, miniters=1, leave=False
    )  # fmt: skip


class _Lines:
    """Standard error for a tqdm bar that redraws itself: each drawing is a line of its own."""

    def write(self, text: str) -> None:
        if line := text.strip():
            print(line, file=sys.stderr, flush=True)

    def flush(self) -> None: ...
