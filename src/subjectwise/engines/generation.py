"""Greedy continuation of a text, token by token, with the rules that transformers' `generate` has. Knows no model."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Protocol

# From tokens that continue those given before to the most likely next token that is not excluded.
NextToken = Callable[[Sequence[int], Collection[int]], int]


class Generator(Protocol):
    """A loaded model that continues a text."""

    def next_token(self) -> NextToken:
        """Return a function that reads a text in pieces and returns the next token after each."""
        ...


def continue_greedily(
    generator: Generator,
    ids: Sequence[int],
    max_new_tokens: int,
    stop: Callable[[list[int]], bool],
    banned: Sequence[Sequence[int]] = (),
    no_repeat: int = 0,
) -> list[int]:
    """Return the most likely continuation, token by token, without `ids` themselves.

    Args:
        generator: a loaded model.
        ids: the text so far, not empty.
        max_new_tokens: how many tokens are added at most.
        stop: whether to stop after these new tokens, the last of which stays.
        banned: sequences of tokens that must not be written.
        no_repeat: sequences of so many tokens occur once in the whole text; 0 for any number of times.
    """
    following = generator.next_token()
    unread, text = list(ids), list(ids)
    written: list[int] = []
    while len(written) < max_new_tokens:
        token = following(unread, excluded_tokens(text, banned, no_repeat))
        unread = [token]
        text.append(token)
        written.append(token)
        if stop(written):
            break
    return written


def excluded_tokens(text: Sequence[int], banned: Sequence[Sequence[int]], no_repeat: int) -> set[int]:
    """Return the tokens that must not come next: they would complete a banned or a repeated sequence."""
    text = list(text)
    excluded = {words[-1] for words in banned if len(words) == 1 or text[-len(words) + 1 :] == list(words[:-1])}
    if no_repeat and len(text) >= no_repeat:
        start = text[len(text) - no_repeat + 1 :]
        excluded.update(
            text[i + no_repeat - 1] for i in range(len(text) - no_repeat + 1) if text[i : i + no_repeat - 1] == start
        )
    return excluded
