"""The forward pass: from token ids to hidden states, behind a cached prefix. Knows no strings and no labels.

Training runs rows through the same functions, so that what is trained is what is scored.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from subjectwise.engines.label_trie import NO_TREE, TokenTree
from subjectwise.engines.pytorch.attention import GROUPED, LONG, Packing
from subjectwise.types import LanguageModel

if TYPE_CHECKING:
    from transformers.cache_utils import DynamicCache

# Below this many tokens a prefix costs less to read with every row than to cache.
SHORT_PREFIX = 16


@dataclass(frozen=True)
class Prefix:
    """The prompt's constant start, and its keys and values where the model can share them.

    Attributes:
        ids: token ids.
        layers: one pair [1, heads, prefix, head size] per layer, never mutated; None where nothing is shared, and each
            row is read with the prefix in front of it.
    """

    ids: list[int]
    layers: list[tuple[Tensor, Tensor]] | None


@dataclass(frozen=True)
class HiddenStates:
    """The hidden states of a batch of rows.

    Attributes:
        last: at each row's last token, [rows, hidden].
        tree: at each token of the tree after it, [rows, tree, hidden].
    """

    last: Tensor
    tree: Tensor


def unwrapped(model: LanguageModel) -> LanguageModel:
    """Return the model inside PEFT's wrapper."""
    inner: LanguageModel = model.get_base_model() if hasattr(model, "get_base_model") else model
    return inner


def decoder_of(model: LanguageModel) -> LanguageModel:
    """Return the model without its output head; under PEFT the adapted layers are inside it."""
    decoder: LanguageModel = unwrapped(model).get_decoder()
    return decoder


def shares_prefix(model: LanguageModel) -> bool:
    """Return whether every layer keeps keys and values for the whole text: no sliding window, no recurrent state."""
    from transformers.cache_utils import DynamicCache, DynamicLayer

    layers = DynamicCache(config=decoder_of(model).config).layers
    return bool(layers) and all(type(layer) is DynamicLayer for layer in layers)


def run_prefix(model: LanguageModel, ids: Sequence[int], share: bool = True) -> Prefix:
    """Run the prefix once. Gradients flow through it where they are enabled."""
    from transformers.cache_utils import DynamicCache

    ids = list(ids)
    if not share or not ids or not shares_prefix(model):
        return Prefix(ids, None)
    decoder = decoder_of(model)
    cache = DynamicCache(config=decoder.config)
    tokens = torch.tensor([ids], device=decoder.device)  # [1, prefix]
    decoder(input_ids=tokens, past_key_values=cache, use_cache=True)
    return Prefix(ids, [(layer.keys, layer.values) for layer in cache.layers])


def run_rows(model: LanguageModel, prefix: Prefix, rows: Sequence[Sequence[int]]) -> Tensor:
    """Return hidden states of right-padded rows, [rows, longest, hidden], without those of the prefix.

    Padding is on the right, where no token of the row sees it.
    """
    decoder = decoder_of(model)
    start = len(prefix.ids)
    if prefix.layers is None:
        tokens = _padded([[*prefix.ids, *row] for row in rows], decoder.device)  # [rows, prefix + longest]
        hidden: Tensor = decoder(input_ids=tokens, use_cache=False).last_hidden_state
        return hidden[:, start:]
    tokens = _padded(rows, decoder.device)  # [rows, longest]
    return _run_after(decoder, prefix, tokens, _positions(tokens, start), torch.ones_like(tokens))


def run_rows_with_tree(
    model: LanguageModel, prefix: Prefix, rows: Sequence[Sequence[int]], tree: TokenTree = NO_TREE
) -> HiddenStates:
    """Return the hidden states that scoring reads: each row's last, and those of a tree of tokens after the row.

    All branches of the tree are read in the same pass; the mask lets each token see the row and its own ancestors.
    """
    alone = prefix.layers is None and not tree.ids  # the model's own causal mask will do, which fused kernels know
    if alone or not shares_prefix(model):
        # One mask cannot serve layers with windows and layers without; each branch becomes a row of its own.
        last, *nodes = [_last_states(model, prefix, [[*row, *path] for row in rows]) for path in [[], *tree.paths()]]
        return HiddenStates(last, torch.stack(nodes, dim=1) if nodes else last[:, None][:, :0])
    decoder = decoder_of(model)
    inputs = arrange(prefix, rows, tree, decoder.dtype)
    shared = prefix if prefix.layers is not None else Prefix([], None)
    on_device = (part.to(decoder.device) for part in (inputs.tokens, inputs.positions, inputs.mask))
    return inputs.pick(_run_after(decoder, shared, *on_device))


def can_pack(model: LanguageModel, prefix: Prefix) -> bool:
    """Return whether `run_packed` works for this model: its layers pass the packing on to attention of our own."""
    decoder = decoder_of(model)
    if decoder.config._attn_implementation != GROUPED or not shares_prefix(model):
        return False
    packing = _packing(decoder, prefix, [1, 2])
    _run_packing(decoder, prefix, [1, 1, 1], packing)
    return packing.layers == int(decoder.config.num_hidden_layers)


def is_short(prefix: Prefix, longest: int) -> bool:
    """Return whether rows of up to `longest` tokens may be packed; of longer ones the fused kernel reads half."""
    return longest + (len(prefix.ids) if prefix.layers is None else 0) <= LONG


def pays_to_pack(prefix: Prefix, rows: Sequence[Sequence[int]]) -> bool:
    """Return whether packing is faster: for short rows of different lengths, or behind a shared prefix."""
    lengths = [len(row) for row in rows]
    differ = prefix.layers is not None or min(lengths) < max(lengths)
    return len(rows) > 1 and differ and is_short(prefix, max(lengths))


def run_packed(model: LanguageModel, prefix: Prefix, rows: Sequence[Sequence[int]]) -> HiddenStates:
    """Return what `run_rows_with_tree` does without a tree, by one pass over a single row that holds all rows."""
    decoder = decoder_of(model)
    own = rows if prefix.layers is not None else [[*prefix.ids, *row] for row in rows]
    packing = _packing(decoder, prefix, [len(row) for row in own])
    hidden = _run_packing(decoder, prefix, [token for row in own for token in row], packing)
    last = hidden[packing.lengths.cumsum(0) - 1]
    return HiddenStates(last, last[:, None][:, :0])


def _packing(decoder: LanguageModel, prefix: Prefix, lengths: Sequence[int]) -> Packing:
    return Packing.of(lengths, len(prefix.ids) if prefix.layers is not None else 0, decoder.dtype)


def _run_packing(decoder: LanguageModel, prefix: Prefix, tokens: Sequence[int], packing: Packing) -> Tensor:
    """Return hidden states, [tokens, hidden]."""
    cache = None if prefix.layers is None else prefix_cache(decoder.config, prefix.layers, 1)
    hidden: Tensor = decoder(
        input_ids=torch.tensor([tokens]),
        attention_mask=torch.zeros(1, 1, 1, 1, dtype=decoder.dtype),  # of four dimensions, so that none is built
        position_ids=packing.column[None] + packing.start,
        past_key_values=cache,
        use_cache=cache is not None,
        packing=packing,
    ).last_hidden_state
    return hidden[0]


@dataclass(frozen=True)
class Inputs:
    """A batch of rows, and a tree of tokens after each, as one pass reads them.

    Attributes:
        tokens: padded rows and the tree, [rows, tokens].
        positions: of each token in its text, [rows, tokens].
        mask: added to attention scores, [rows, 1, tokens, keys], the prefix's keys first; one mask for all rows
            where there is no tree, [1, 1, tokens, keys].
        lengths: of the rows, [rows].
        longest: the longest row.
    """

    tokens: Tensor
    positions: Tensor
    mask: Tensor
    lengths: Tensor
    longest: int

    def pick(self, hidden: Tensor) -> HiddenStates:
        """Return those of all hidden states, [rows, tokens, hidden], that scoring reads."""
        return HiddenStates(hidden[torch.arange(len(self.lengths)), self.lengths - 1], hidden[:, self.longest :])


def arrange(prefix: Prefix, rows: Sequence[Sequence[int]], tree: TokenTree, dtype: torch.dtype) -> Inputs:
    """Arrange rows, and a tree after each, for one pass; behind the prefix, or with it where it is not shared."""
    own = rows if prefix.layers is not None else [[*prefix.ids, *row] for row in rows]
    start = len(prefix.ids) if prefix.layers is not None else 0
    lengths = torch.tensor([len(row) for row in own])
    text = _padded(own, torch.device("cpu"))  # [rows, longest]
    longest, size = text.shape[1], len(tree.ids)
    tokens = torch.cat([text, torch.tensor([tree.ids], dtype=torch.long).expand(len(own), -1)], dim=1)
    tree_positions = lengths[:, None] + torch.tensor(tree.depths(), dtype=torch.long)[None]  # [rows, tree]
    positions = torch.cat([torch.arange(longest).expand(len(own), -1), tree_positions], dim=1) + start
    seen = torch.zeros(len(own) if size else 1, longest + size, start + longest + size, dtype=torch.bool)
    seen[:, :, :start] = True
    seen[:, :longest, start : start + longest] = torch.ones(longest, longest, dtype=torch.bool).tril()
    if size:
        seen[:, longest:, start : start + longest] = (torch.arange(longest)[None] < lengths[:, None])[:, None]
        seen[:, longest:, start + longest :] = torch.from_numpy(tree.visible())
    mask = torch.zeros(seen.shape, dtype=dtype).masked_fill(~seen, torch.finfo(dtype).min)
    return Inputs(tokens, positions, mask[:, None], lengths, longest)


def _last_states(model: LanguageModel, prefix: Prefix, rows: Sequence[Sequence[int]]) -> Tensor:
    """Return the hidden state of each row's last token, [rows, hidden]."""
    hidden = run_rows(model, prefix, rows)
    return hidden[torch.arange(len(rows)), torch.tensor([len(row) for row in rows]) - 1]


def _run_after(decoder: LanguageModel, prefix: Prefix, tokens: Tensor, positions: Tensor, mask: Tensor) -> Tensor:
    """Run `tokens` with the prefix's keys and values in front. `mask` is [rows, tokens] or 4-dimensional."""
    cache = None
    if prefix.layers is not None:
        cache = prefix_cache(decoder.config, prefix.layers, len(tokens))
        if mask.ndim == 2:
            mask = torch.cat([mask.new_ones(len(tokens), len(prefix.ids)), mask], dim=1)
    hidden: Tensor = decoder(
        input_ids=tokens,
        attention_mask=mask,
        position_ids=positions,
        past_key_values=cache,
        use_cache=cache is not None,
    ).last_hidden_state
    return hidden


def prefix_cache(config: object, layers: Sequence[tuple[Tensor, Tensor]], rows: int) -> DynamicCache:
    """Return a cache in which each of `rows` rows has the prefix's keys and values: views, which no row changes.

    What a row adds is appended to a copy.
    """
    from transformers.cache_utils import DynamicCache

    cache = DynamicCache(config=config)
    for layer, (keys, values) in zip(cache.layers, layers, strict=True):
        layer.lazy_initialization(keys, values)
        layer.keys, layer.values = keys.expand(rows, -1, -1, -1), values.expand(rows, -1, -1, -1)
    return cache


def _padded(rows: Sequence[Sequence[int]], device: torch.device) -> Tensor:
    """Return [rows, longest], padded with 0, which no token of a row sees."""
    return torch.nn.utils.rnn.pad_sequence([torch.tensor(row) for row in rows], batch_first=True).to(device)


def _positions(tokens: Tensor, start: int) -> Tensor:
    return (torch.arange(tokens.shape[1], device=tokens.device) + start).expand(len(tokens), -1)
