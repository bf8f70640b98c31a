"""Limits of oneDNN's caches, to be set before PyTorch computes anything.

oneDNN, and PyTorch's bridge to it, keep what they prepared for matrix products of up to 1,024 shapes. Questions come in
ever new shapes, for which a server would grow by a sixth; one forward pass needs about twenty.

The limits are environment variables of the whole process. The command sets them when it starts, and `load_base` before
it loads a model; importing the package sets none. A value that the user has set stays.
"""

from __future__ import annotations

import os


def limit_caches(shapes: int = 64) -> None:
    """Keep what is prepared for `shapes` shapes, unless the environment says otherwise."""
    for variable in ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY"):
        os.environ.setdefault(variable, str(shapes))
