"""LoRA training of a small Llama on a GPU, where each step is one CUDA graph per padded length.

A decoder of 135 million parameters is bound by kernel launches, not by arithmetic: a step launches thousands of small
kernels. Here they are captured once per length and replayed, layers that read the same input are one product, and all
adapter weights lie in one vector, which the optimizer updates as a whole. On a CPU the same code runs uncaptured, which
tests hold equal to transformers and PEFT. Knows token ids; knows no questions.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional

from subjectwise.types import LanguageModel

LENGTHS = (24, 32, 40, 48, 64, 80, 96, 128, 176, 264)

# Layers that read the same input are one product.
GROUPS = (
    ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    ("self_attn.o_proj",),
    ("mlp.gate_proj", "mlp.up_proj"),
    ("mlp.down_proj",),
)

Factors = dict[str, tuple[Tensor, Tensor]]  # A [r, in] and B [out, r] of each layer, by its name


class FlatAdapter:
    """All adapter weights in one float32 vector, a copy in the model's precision, and one vector of gradients.

    Args:
        shapes: of the weights, one after another.
        device: of the model.
        dtype: of the model.
    """

    def __init__(self, shapes: Sequence[tuple[int, int]], device: torch.device, dtype: torch.dtype) -> None:
        size = sum(rows * columns for rows, columns in shapes)
        self.weights = torch.zeros(size, device=device)
        self.copy = torch.zeros(size, device=device, dtype=dtype)
        self.gradient = torch.zeros(size, device=device, dtype=dtype)
        self.mask = torch.ones(size, device=device, dtype=dtype)  # 0 where a weight stays zero
        self.rate = torch.ones(size, device=device)  # of each weight, relative to the learning rate
        self.mean, self.square = torch.zeros(size, device=device), torch.zeros(size, device=device)
        self.step = torch.zeros((), device=device)
        self.views: list[Tensor] = []
        self.slices: list[slice] = []
        start = 0
        for rows, columns in shapes:
            end = start + rows * columns
            view = self.copy[start:end].view(rows, columns).detach().requires_grad_(True)
            view.grad = self.gradient[start:end].view(rows, columns)
            self.views.append(view)
            self.slices.append(slice(start, end))
            start = end

    def update(self, learning_rate: Tensor, max_norm: float) -> None:
        """Clip the gradient and take a step of Adam (Kingma and Ba 2015)."""
        gradient = (self.gradient * self.mask).float()
        gradient = gradient * (max_norm / (gradient.norm() + 1e-6)).clamp(max=1.0)
        self.step += 1
        self.mean.mul_(0.9).add_(gradient, alpha=0.1)
        self.square.mul_(0.999).addcmul_(gradient, gradient, value=0.001)
        scale = (self.square / (1 - 0.999**self.step)).sqrt_().add_(1e-8)
        self.weights.sub_(self.mean / (1 - 0.9**self.step) / scale * (self.rate * learning_rate))
        self.copy.copy_(self.weights)


class _Product:
    """y = x W' + x A' B', the scale alpha / r being part of B."""

    def __init__(self, weight: Tensor, a: Tensor, b: Tensor) -> None:
        self.weight, self.a, self.b = weight, a, b

    def __call__(self, x: Tensor) -> Tensor:
        rows = x.reshape(-1, x.shape[-1])
        product = torch.addmm(functional.linear(rows, self.weight), functional.linear(rows, self.a), self.b.t())
        return product.view(*x.shape[:-1], -1)


class LoraLlama:
    """A Llama decoder with LoRA on its seven projections, on causal rows without a mask.

    Args:
        weights: of the base, by transformers' names, in the precision to compute in.
        config: of the base, as in config.json.
        rank: of the adapter.
        alpha: its scale is alpha / rank.
    """

    def __init__(self, weights: Mapping[str, Tensor], config: Mapping[str, float], rank: int, alpha: float) -> None:
        self.rank, self.scale, self.layers = rank, alpha / rank, int(config["num_hidden_layers"])
        self.heads, self.key_heads = int(config["num_attention_heads"]), int(config["num_key_value_heads"])
        self.size = int(config["hidden_size"]) // self.heads
        self.epsilon = float(config["rms_norm_eps"])
        self._weights = weights
        self._embedding = weights["model.embed_tokens.weight"]
        frequency = 1 / float(config["rope_theta"]) ** (torch.arange(0, self.size, 2, dtype=torch.float64) / self.size)
        angles = torch.outer(torch.arange(LENGTHS[-1], dtype=torch.float64), frequency).repeat(1, 2)
        self._cos, self._sin = angles.cos().to(self._embedding), angles.sin().to(self._embedding)

        # 1) One product per group of layers, with rank for each layer in it
        joined, shapes = [], []
        for number in range(self.layers):
            for group in GROUPS:
                weight = torch.cat([weights[f"model.layers.{number}.{name}.weight"] for name in group])
                joined.append(weight)
                shapes += [(rank * len(group), weight.shape[1]), (weight.shape[0], rank * len(group))]
        self.adapter = FlatAdapter(shapes, self._embedding.device, self._embedding.dtype)
        views = self.adapter.views
        self._products = [_Product(weight, views[2 * i], views[2 * i + 1]) for i, weight in enumerate(joined)]

        # 2) Which part of each product is which layer's; B has zeros between them
        self._parts: list[tuple[str, int, slice, slice]] = []
        for index in range(len(joined)):
            number, group = index // len(GROUPS), GROUPS[index % len(GROUPS)]
            mask, start = torch.zeros_like(views[2 * index + 1]), 0
            for place, name in enumerate(group):
                layer = f"model.layers.{number}.{name}"
                rows = slice(start, start + weights[f"{layer}.weight"].shape[0])
                ranks = slice(place * rank, (place + 1) * rank)
                mask[rows, ranks] = 1
                self._parts.append((layer, index, ranks, rows))
                start = rows.stop
            self.adapter.mask[self.adapter.slices[2 * index + 1]] = mask.detach().flatten()
            self.adapter.rate[self.adapter.slices[2 * index + 1]] = self.scale

    def fresh(self, seed: int) -> Factors:
        """Draw first weights as PEFT does: A uniform, B zero."""
        generator = torch.Generator().manual_seed(seed)
        factors = {}
        for layer, *_ in self._parts:
            rows, columns = self._weights[f"{layer}.weight"].shape
            bound = math.sqrt(1 / columns)
            a = torch.rand(self.rank, columns, generator=generator) * 2 * bound - bound
            factors[layer] = a, torch.zeros(rows, self.rank)
        return factors

    def set_factors(self, factors: Factors) -> None:
        """Set the adapter and start the optimizer afresh."""
        flat = self.adapter
        with torch.no_grad():
            for part in (flat.weights, flat.mean, flat.square, flat.step, flat.gradient):
                part.zero_()
            for layer, index, ranks, rows in self._parts:
                a, b = self._views(index)
                a[ranks].copy_(factors[layer][0])
                b[rows, ranks].copy_(factors[layer][1] * self.scale)
            flat.copy.copy_(flat.weights)

    def factors(self) -> Factors:
        """Return the adapter's factors, as PEFT saves them."""
        found = {}
        for layer, index, ranks, rows in self._parts:
            a, b = self._views(index)
            found[layer] = a[ranks].clone(), b[rows, ranks].clone() / self.scale
        return found

    def _views(self, index: int) -> tuple[Tensor, Tensor]:
        flat = self.adapter
        a, b = (flat.weights[flat.slices[i]].view(flat.views[i].shape) for i in (2 * index, 2 * index + 1))
        return a, b

    def hidden(self, ids: Tensor) -> Tensor:
        """Return the hidden states of right-padded rows, [rows, tokens, hidden], before the last norm."""
        x = functional.embedding(ids, self._embedding)
        cos, sin = self._cos[: ids.shape[1]], self._sin[: ids.shape[1]]
        for number in range(self.layers):
            x = self._layer(number, x, cos, sin)
        return x

    def _layer(self, number: int, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        rows, tokens, width = x.shape
        qkv, output, gate_up, down = self._products[number * len(GROUPS) : (number + 1) * len(GROUPS)]
        normed = self._norm(x, f"model.layers.{number}.input_layernorm.weight")
        states = qkv(normed).view(rows, tokens, self.heads + 2 * self.key_heads, self.size).transpose(1, 2)
        turned = _rotated(states[:, : self.heads + self.key_heads], cos, sin)
        attended = functional.scaled_dot_product_attention(
            turned[:, : self.heads], turned[:, self.heads :], states[:, self.heads + self.key_heads :],
            is_causal=True, enable_gqa=True,
        )  # fmt: skip
        x = x + output(attended.transpose(1, 2).reshape(rows, tokens, width))
        gate, up = gate_up(self._norm(x, f"model.layers.{number}.post_attention_layernorm.weight")).chunk(2, -1)
        return x + down(functional.silu(gate) * up)

    def _norm(self, x: Tensor, name: str) -> Tensor:
        return functional.rms_norm(x, (x.shape[-1],), self._weights[name], self.epsilon)

    def logits(self, hidden: Tensor) -> Tensor:
        """Return float32 logits of the vocabulary for hidden states, [..., vocabulary]."""
        return functional.linear(self._norm(hidden, "model.norm.weight"), self._embedding).float()

    def last_logits(self, ids: Tensor, last: Tensor) -> Tensor:
        """Return the logits after each row's last token, [rows, vocabulary]."""
        return self.logits(self.hidden(ids)[torch.arange(len(ids), device=ids.device), last])


def _rotated(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    half = x.shape[-1] // 2
    return x * cos + torch.cat([-x[..., half:], x[..., :half]], -1) * sin


Loss = Callable[[LoraLlama, Tensor, Tensor, Tensor, Tensor], Tensor]


def label_loss(label_tokens: Tensor) -> Loss:
    """Return cross-entropy over the vocabulary against a distribution over the labels' first tokens.

    The loss takes ids [rows, tokens], each row's last position [rows], the distribution [rows, labels] and the rows'
    weights [rows].
    """

    def loss(model: LoraLlama, ids: Tensor, last: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
        logits = model.last_logits(ids, last)
        log_probs = logits.index_select(1, label_tokens) - logits.logsumexp(-1, keepdim=True)
        return -((log_probs * targets).sum(1) * weights).sum() / weights.sum()

    return loss


class Steps:
    """Training steps on batches of a fixed number of rows, captured once per length where there is a GPU.

    Args:
        model: to train.
        rows: of a batch.
        targets: columns of the targets.
        loss: as `label_loss`.
        max_norm: of the gradient.
    """

    def __init__(self, model: LoraLlama, rows: int, targets: int, loss: Loss, max_norm: float = 1.0) -> None:
        device = model.adapter.weights.device
        self._model, self._loss, self._max_norm, self._captures = model, loss, max_norm, device.type == "cuda"
        self._ids = {length: torch.zeros(rows, length, dtype=torch.long, device=device) for length in LENGTHS}
        self._last = torch.zeros(rows, dtype=torch.long, device=device)
        self._targets = torch.full((rows, targets), 1 / targets, device=device)
        self._weights = torch.ones(rows, device=device)
        self._learning_rate = torch.zeros((), device=device)
        self.total_loss = torch.zeros((), device=device)
        self._graphs: dict[int, torch.cuda.CUDAGraph] = {}
        if self._captures:
            self._capture()

    def _capture(self) -> None:
        stream, pool = torch.cuda.Stream(), None  # type: ignore[no-untyped-call]
        for length in reversed(LENGTHS):
            stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(stream):
                self._step(length)
            torch.cuda.current_stream().wait_stream(stream)
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph, pool=pool):
                self._step(length)
            pool = pool or graph.pool()
            self._graphs[length] = graph

    def _step(self, length: int) -> None:
        self._model.adapter.gradient.zero_()
        loss = self._loss(self._model, self._ids[length], self._last, self._targets, self._weights)
        loss.backward()  # type: ignore[no-untyped-call]
        with torch.no_grad():
            self._model.adapter.update(self._learning_rate, self._max_norm)
            self.total_loss += loss.detach()

    def run(
        self,
        rows: Sequence[npt.NDArray[np.int64]],
        targets: npt.NDArray[np.float32],
        weights: npt.NDArray[np.float32],
        learning_rate: float,
    ) -> None:
        """Take one step on `rows`, at most as many as the batch has; missing ones count nothing."""
        length = next(length for length in LENGTHS if length >= max(map(len, rows)))
        size = len(self._last)
        ids, last = np.zeros((size, length), np.int64), np.zeros(size, np.int64)
        for i, row in enumerate(rows):
            ids[i, : len(row)], last[i] = row, len(row) - 1
        whole_targets = np.full(self._targets.shape, 1 / self._targets.shape[1], np.float32)
        whole_targets[: len(rows)] = targets
        whole_weights = np.zeros(size, np.float32)
        whole_weights[: len(rows)] = weights
        buffers = (self._ids[length], self._last, self._targets, self._weights)
        for buffer, values in zip(buffers, (ids, last, whole_targets, whole_weights), strict=True):
            tensor = torch.from_numpy(values)
            buffer.copy_(tensor.pin_memory() if self._captures else tensor, non_blocking=True)
        self._learning_rate.fill_(learning_rate)
        if self._captures:
            self._graphs[length].replay()
        else:
            self._step(length)


def load_weights(model: LanguageModel, device: torch.device) -> tuple[dict[str, Tensor], dict[str, float]]:
    """Return a base's weights on the device (bf16 on a GPU, else float32) and the numbers of its configuration."""
    config = model.config.to_dict()
    config["rope_theta"] = config.get("rope_theta") or config["rope_parameters"]["rope_theta"]
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    numbers = {key: float(value) for key, value in config.items() if isinstance(value, (int, float))}
    return {name: tensor.detach().to(device, dtype) for name, tensor in model.state_dict().items()}, numbers


def save_factors(factors: Factors, path: Path) -> None:
    """Write an adapter's weights under PEFT's names, in bf16."""
    tensors = {
        f"base_model.model.{layer}.lora_{name}.weight": tensor.to("cpu", torch.bfloat16).contiguous()
        for layer, pair in factors.items()
        for name, tensor in zip("AB", pair, strict=True)
    }
    save_file(tensors, path, metadata={"format": "pt"})
