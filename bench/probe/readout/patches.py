"""Second layers of the readout on bilinearly interpolated pre-activations of the first: hidden activations live in a small
block at a time, and the backward pass computes them anew. A C++ kernel on the CPU, plain torch everywhere else.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from bench import native
from bench.core.errors import UserError
from bench.core.protocols import Precision
from bench.native.signatures import addresses, numbers
from bench.probe.readout.precision import linear, rounded, tensor_cores

UNITS = 16  #: the kernels' granularity of channels and hidden width; what is added to reach it is zero
_BLOCK_FLOATS = {"cpu": 1 << 20, "cuda": 1 << 26}  # hidden activations alive at once in plain torch


def patch_readout(
    values: Tensor,
    size: tuple[int, int],
    pixels: Tensor | None,
    first: Sequence[tuple[Tensor, Tensor]],
    second: Sequence[tuple[Tensor, Tensor]],
    *,
    precision: Precision = "float32",
    threads: int = 1,
) -> tuple[Tensor, ...]:
    """The outputs (N, out) of each head, second(relu(first(upsampled values))), with the first layers evaluated on patches.

    values: (B, h, w, C) patch features. size: (height, width) of the grid that they are upsampled to, bilinear,
    `align_corners=False`. pixels: (N,) int64 flat indices into (B, height, width); None = all. first, second: weight and
    bias of each head's layers: (hidden, C) and (hidden,), (out, hidden) and (out,), the same `hidden` in all heads.
    precision: of all products. threads: of the C++ kernel; they do not change the result. Raises UserError for pixels that
    are not of the grid.
    """
    padding = -len(first[0][1]) % UNITS
    weight = torch.cat([F.pad(weight, (0, 0, 0, padding)) for weight, _ in first])
    bias = torch.cat([F.pad(bias, (0, padding)) for _, bias in first])
    patches = linear(values, weight, bias, precision)
    parameters = [tensor for weight, bias in second for tensor in (F.pad(weight, (0, padding)), bias)]
    if pixels is not None and pixels.dtype != torch.int64:
        raise UserError(f"pixels must be flat int64 indices, not {pixels.dtype}")
    if serves(precision, patches, *parameters):
        return _Native.apply(patches, size, pixels, threads, *parameters)
    outputs = _Blockwise.apply(patches, size, precision, *parameters)
    try:
        return outputs if pixels is None else tuple(output.index_select(0, pixels) for output in outputs)
    except IndexError as error:
        raise _outside(patches, size) from error


def serves(precision: Precision, *tensors: Tensor) -> bool:
    """Whether the C++ kernel takes these tensors."""
    served = all(tensor.device.type == "cpu" and tensor.dtype == torch.float32 for tensor in tensors)
    return served and precision != "bfloat16" and native.load("readout") is not None


def _outside(patches: Tensor, size: tuple[int, int]) -> UserError:
    return UserError(f"pixels must be flat indices into the grid {(len(patches), *size)}: one of them lies outside it")


def _interleaved(of_weights: Sequence[Tensor], gradients: Sequence[Tensor]) -> Iterator[Tensor]:
    """The gradients of each head's weight and bias in turn."""
    for of_weight, gradient in zip(of_weights, gradients, strict=True):
        yield of_weight
        yield gradient.sum(0)


# ------------------------------------------------------------------------------------------------------------- C++ kernel


class _Native(torch.autograd.Function):
    """patches: (B, h, w, heads * hidden) pre-activations. parameters: weight, bias of each head's second layer in turn."""

    @staticmethod
    def forward(
        ctx: Any, patches: Tensor, size: tuple[int, int], pixels: Tensor | None, threads: int, *parameters: Tensor
    ) -> tuple[Tensor, ...]:
        parameters = tuple(parameter.contiguous() for parameter in parameters)
        pixels = pixels if pixels is None else pixels.contiguous()
        count = len(patches) * size[0] * size[1] if pixels is None else len(pixels)
        outputs = tuple(patches.new_empty(count, len(bias)) for bias in parameters[1::2])
        _call("readout_forward", patches, size, pixels, count, parameters, [addresses(outputs)], threads)
        ctx.save_for_backward(patches, pixels, *parameters)
        ctx.size, ctx.threads, ctx.count = size, threads, count
        return outputs

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        patches, pixels, *parameters = ctx.saved_tensors
        gradients = tuple(gradient.contiguous() for gradient in gradients)
        weights = parameters[::2]
        of_patches = torch.zeros_like(patches)
        of_weights = patches.new_zeros(sum(map(len, weights)), weights[0].shape[1])
        results = [addresses(gradients), of_patches.data_ptr(), of_weights.data_ptr()]
        _call("readout_backward", patches, ctx.size, pixels, ctx.count, parameters, results, ctx.threads)
        return (of_patches, None, None, None, *_interleaved(of_weights.split([len(w) for w in weights]), gradients))


def _call(
    function: str,
    patches: Tensor,
    size: tuple[int, int],
    pixels: Tensor | None,
    count: int,
    parameters: Sequence[Tensor],
    results: Sequence[Any],
    threads: int,
) -> None:
    weights, biases = parameters[::2], parameters[1::2]
    status = getattr(native.load("readout"), function)(
        numbers([*patches.shape[:3], *size, len(weights), weights[0].shape[1]]),
        patches.data_ptr(),
        numbers([len(weight) for weight in weights]),
        addresses(weights),
        addresses(biases),
        None if pixels is None else pixels.data_ptr(),
        count,
        *results,
        threads,
    )
    if status == 1:
        raise _outside(patches, size)
    if status != 0:
        raise MemoryError(f"{function}: out of memory")


# ------------------------------------------------------------------------------------------------------------- plain torch


class _Blockwise(torch.autograd.Function):
    """The same for all pixels in plain torch, a few rows of pixels at a time.

    Interpolation and its transpose are matrix products: gradients are summed in a fixed order on a GPU too.
    """

    @staticmethod
    def forward(
        ctx: Any, patches: Tensor, size: tuple[int, int], precision: Precision, *parameters: Tensor
    ) -> tuple[Tensor, ...]:
        ctx.save_for_backward(patches, *parameters)
        ctx.size, ctx.precision = size, precision
        weights, biases = parameters[::2], parameters[1::2]
        outputs = tuple(patches.new_empty(len(patches) * size[0] * size[1], len(bias)) for bias in biases)
        with tensor_cores(precision):
            for block, hidden, _ in _blocks(patches, size, len(weights), precision):
                for head, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
                    torch.add(hidden[:, head] @ rounded(weight, precision).T, bias, out=outputs[head][block])
        return outputs

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        patches, *parameters = ctx.saved_tensors
        precision, weights = ctx.precision, parameters[::2]
        of_patches, of_weights = torch.zeros_like(patches), [torch.zeros_like(weight) for weight in weights]
        with tensor_cores(precision):
            for block, hidden, (image, rows, columns) in _blocks(patches, ctx.size, len(weights), precision):
                of_hidden = torch.empty_like(hidden)
                for head, (weight, gradient) in enumerate(zip(weights, gradients, strict=True)):
                    share = rounded(gradient[block], precision)
                    of_weights[head] += share.T @ hidden[:, head]
                    of_hidden[:, head] = share @ rounded(weight, precision)
                of_hidden *= hidden > 0
                of_rows = columns.T @ of_hidden.view(len(rows), len(columns), -1)
                of_patches[image] += (rows.T @ of_rows.flatten(1)).view_as(patches[image])
        return (of_patches, None, None, *_interleaved(of_weights, gradients))


def _blocks(
    patches: Tensor, size: tuple[int, int], heads: int, precision: Precision
) -> Iterator[tuple[slice, Tensor, tuple[int, Tensor, Tensor]]]:
    """Blocks of whole pixel rows: where they lie among all pixels, their hidden activations (pixels, heads, hidden), and the
    image and the two interpolation matrices that they come from."""
    images, h, w, channels = patches.shape
    vertical = rounded(_interpolation(size[0], h, patches.dtype, patches.device), precision)
    columns = rounded(_interpolation(size[1], w, patches.dtype, patches.device), precision)
    step = max(1, _BLOCK_FLOATS.get(patches.device.type, 1 << 20) // (size[1] * channels))
    for image in range(images):
        corners = rounded(patches[image], precision).view(h, w * channels)
        for top in range(0, size[0], step):
            rows = vertical[top : top + step]
            narrow = (rows @ corners).view(len(rows), w, channels)
            hidden = (columns @ narrow).relu_().view(len(rows) * size[1], heads, channels // heads)
            first = (image * size[0] + top) * size[1]
            yield slice(first, first + len(hidden)), hidden, (image, rows, columns)


@functools.lru_cache(maxsize=32)
def _interpolation(size: int, patches: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """(size, patches): bilinear interpolation along one axis as a matrix, `align_corners=False`."""
    pixel = torch.arange(size, dtype=dtype, device=device)
    source = ((pixel + 0.5) * (patches / size) - 0.5).clamp(0, patches - 1)
    return (1 - (source[:, None] - torch.arange(patches, dtype=dtype, device=device)).abs()).clamp(min=0)
