"""Precision of the readout's matrix products. Parameters, optimiser, renderer and loss stay in float32."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from bench.core.protocols import Precision


def linear(inputs: Tensor, weight: Tensor, bias: Tensor, precision: Precision) -> Tensor:
    """`F.linear` (..., out) with its products, forward and backward, in that precision; values and gradients keep their
    type."""
    return F.linear(inputs, weight, bias) if precision == "float32" else _Linear.apply(inputs, weight, bias, precision)


def rounded(tensor: Tensor, precision: Precision) -> Tensor:
    """What enters a product: bfloat16 where that is the precision, else the tensor."""
    return tensor.bfloat16() if precision == "bfloat16" else tensor


@contextlib.contextmanager
def tensor_cores(precision: Precision) -> Iterator[None]:
    """Lets float32 products on CUDA round their inputs to TF32 within the block, where that is the precision. Without effect
    on the CPU."""
    if precision != "tf32":
        yield
        return
    matmul = torch.backends.cuda.matmul
    before, matmul.allow_tf32 = matmul.allow_tf32, True
    try:
        yield
    finally:
        matmul.allow_tf32 = before


class _Linear(torch.autograd.Function):
    """The backward pass enters the precision itself: it runs when the caller's block is over, beside the loss's and the
    renderer's, which are to stay out of it."""

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, weight: Tensor, bias: Tensor, precision: Precision) -> Tensor:
        ctx.save_for_backward(inputs, weight)
        ctx.precision = precision
        return _product(inputs, weight.T, precision) + bias

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        inputs, weight = ctx.saved_tensors
        rows = gradient.flatten(0, -2)
        of_inputs = _product(gradient, weight, ctx.precision) if ctx.needs_input_grad[0] else None
        return of_inputs, _product(rows.T, inputs.flatten(0, -2), ctx.precision), rows.sum(0), None


def _product(left: Tensor, right: Tensor, precision: Precision) -> Tensor:
    with tensor_cores(precision):
        return (rounded(left, precision) @ rounded(right, precision)).to(left.dtype)
