"""The readout's perceptrons on per-pixel features: the first layers of all heads as one product, block by block in cache.

The same mathematics as one head after the other (`Readout.forward_pixels`), but the hidden activations are written once and
their gradients never leave the cache.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

_BLOCK_FLOATS = {"cpu": 1 << 18, "cuda": 1 << 26}  # hidden activations of a block


def pixel_readout(
    features: Tensor, attached: int, first: Sequence[tuple[Tensor, Tensor]], second: Sequence[tuple[Tensor, Tensor]]
) -> tuple[Tensor, ...]:
    """The outputs (N, out) of each head, second(relu(first(features))); differentiable by all tensors.

    features: (N, C). first, second: weight and bias of each head's layers, the same hidden width in all heads. attached: so
    many heads, the first ones, send a gradient to the features.
    """
    weight = torch.cat([weight for weight, _ in first])
    bias = torch.cat([bias for _, bias in first])
    parameters = [tensor for layer in second for tensor in layer]
    return _Pixels.apply(features, attached, weight, bias, *parameters)


class _Pixels(torch.autograd.Function):
    """weight, bias: of all first layers. parameters: weight, bias of each head's second layer in turn."""

    @staticmethod
    def forward(
        ctx: Any, features: Tensor, attached: int, weight: Tensor, bias: Tensor, *parameters: Tensor
    ) -> tuple[Tensor, ...]:
        hidden = features.new_empty(len(features), len(weight))
        outputs = tuple(features.new_empty(len(features), len(each)) for each in parameters[1::2])
        width = len(weight) // len(outputs)
        for rows in _blocks(hidden):
            block = torch.addmm(bias, features[rows], weight.T, out=hidden[rows]).relu_()
            for head, output in enumerate(outputs):
                own = block[:, head * width : (head + 1) * width]
                torch.addmm(parameters[2 * head + 1], own, parameters[2 * head].T, out=output[rows])
        ctx.save_for_backward(features, weight, hidden, *parameters[::2])
        ctx.attached = attached
        return outputs

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        features, weight, hidden, *second = ctx.saved_tensors
        width = len(weight) // len(second)
        of_features = torch.empty_like(features) if ctx.needs_input_grad[0] else None
        of_weight, of_bias = torch.zeros_like(weight), weight.new_zeros(len(weight))
        of_second = [torch.zeros_like(each) for each in second]
        followed = weight[: ctx.attached * width]
        buffer = torch.empty_like(hidden[next(_blocks(hidden), slice(0))])
        for rows in _blocks(hidden):
            block = hidden[rows]
            of_hidden = buffer[: len(block)]
            for head, (own, gradient) in enumerate(zip(second, gradients, strict=True)):
                part = slice(head * width, (head + 1) * width)
                of_second[head].addmm_(gradient[rows].T, block[:, part])
                torch.mm(gradient[rows], own, out=of_hidden[:, part])
            torch.ops.aten.threshold_backward(of_hidden, block, 0, grad_input=of_hidden)
            of_weight.addmm_(of_hidden.T, features[rows])
            of_bias += of_hidden.sum(0)
            if of_features is not None:
                torch.mm(of_hidden[:, : len(followed)], followed, out=of_features[rows])
        layers = zip(of_second, gradients, strict=True)
        return (of_features, None, of_weight, of_bias, *(each for own, g in layers for each in (own, g.sum(0))))


def _blocks(hidden: Tensor) -> Iterator[slice]:
    step = max(1, _BLOCK_FLOATS.get(hidden.device.type, 1 << 18) // max(1, hidden.shape[1]))
    return (slice(start, start + step) for start in range(0, len(hidden), step))
