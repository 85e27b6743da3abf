"""The readout's perceptrons on features that differ from pixel to pixel: per-pixel and fine-tuned ones.

On the CPU a C++ kernel takes both layers of all heads for a block of pixels at a time, in cache, and skips pixels that no
gradient reaches; everywhere else it is plain torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from bench import native
from bench.core.protocols import Precision
from bench.native.signatures import addresses, numbers
from bench.probe.readout.patches import UNITS, serves
from bench.probe.readout.precision import linear

Layer = tuple[Tensor, Tensor]


def pixel_readout(
    features: Tensor,
    attached: Sequence[bool],
    first: Sequence[Layer],
    second: Sequence[Layer],
    *,
    precision: Precision = "float32",
    spare: list[Tensor] | None = None,
) -> tuple[Tensor, ...]:
    """The outputs (N, out) of each head, second(relu(first(features))); differentiable by all tensors.

    features: (N, C). attached: for each head whether it sends a gradient to the features. first, second: weight and bias of
    each head's layers: (hidden, C) and (hidden,), (out, hidden) and (out,), the same `hidden` in all heads. precision: of
    all products. spare: where the room for hidden activations is kept from one pass to the next.
    """
    if serves(precision, features, *(tensor for layer in (*first, *second) for tensor in layer)):
        channels, hidden = -features.shape[1] % UNITS, -len(first[0][1]) % UNITS
        weight = torch.cat([F.pad(weight, (0, channels, 0, hidden)) for weight, _ in first])
        bias = torch.cat([F.pad(bias, (0, hidden)) for _, bias in first])
        padded = F.pad(features, (0, channels)) if channels else features
        layers = [tensor for weight, bias in second for tensor in (F.pad(weight, (0, hidden)), bias)]
        return _Native.apply(padded, tuple(attached), [] if spare is None else spare, weight, bias, *layers)
    frozen = features.detach()
    return tuple(
        linear(linear(features if own else frozen, *before, precision).relu(), *after, precision)
        for own, before, after in zip(attached, first, second, strict=True)
    )


class _Hidden:
    """Room for the hidden activations of one pass. What a pass has done with serves the next one of its size: to get fresh
    pages from the system takes a fifth of the pass."""

    def __init__(self, features: Tensor, units: int, spare: list[Tensor]) -> None:
        kept = spare.pop() if spare else None
        size = (len(features), units)
        self._spare = spare
        self.values = kept if kept is not None and kept.shape == size else features.new_empty(size)

    def __del__(self) -> None:
        if hasattr(self, "values"):  # not where the memory ran out
            self._spare[:] = [self.values]


class _Native(torch.autograd.Function):
    """weight, bias: of all first layers. parameters: weight, bias of each head's second layer in turn."""

    @staticmethod
    def forward(
        ctx: Any,
        features: Tensor,
        attached: tuple[bool, ...],
        spare: list[Tensor],
        weight: Tensor,
        bias: Tensor,
        *parameters: Tensor,
    ) -> tuple[Tensor, ...]:
        inputs = tuple(tensor.contiguous() for tensor in (features, weight, bias, *parameters))
        hidden = _Hidden(features, len(weight), spare)
        outputs = tuple(features.new_empty(len(features), len(each)) for each in parameters[1::2])
        _call("pixels_forward", inputs, hidden.values.data_ptr(), addresses(outputs))
        ctx.save_for_backward(*inputs)
        ctx.hidden, ctx.attached = hidden, attached
        return outputs

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        inputs = ctx.saved_tensors
        features, weight, bias, *parameters = inputs
        gradients = tuple(gradient.contiguous() for gradient in gradients)
        of_features = torch.zeros_like(features) if ctx.needs_input_grad[0] and any(ctx.attached) else None
        of_weight, of_bias = torch.zeros_like(weight), torch.zeros_like(bias)
        rows = [len(each) for each in parameters[1::2]]
        of_second = weight.new_zeros(sum(rows), parameters[0].shape[1])
        places = [None if each is None else each.data_ptr() for each in (of_features, of_weight, of_bias, of_second)]
        results = (addresses(gradients), numbers([int(each) for each in ctx.attached]), *places)
        _call("pixels_backward", inputs, ctx.hidden.values.data_ptr(), *results)
        second = zip(of_second.split(rows), gradients, strict=True)
        return (of_features, None, None, of_weight, of_bias, *(each for own, g in second for each in (own, g.sum(0))))


def _call(function: str, inputs: Sequence[Tensor], *results: Any) -> None:
    features, weight, bias, *parameters = inputs
    weights, biases = parameters[::2], parameters[1::2]
    status = getattr(native.load("readout"), function)(
        numbers([*features.shape, len(weights), weights[0].shape[1]]),
        *(tensor.data_ptr() for tensor in (features, weight, bias)),
        numbers([len(weight) for weight in weights]),
        addresses(weights),
        addresses(biases),
        *results,
    )
    if status != 0:
        raise MemoryError(f"{function}: out of memory")
