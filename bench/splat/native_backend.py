"""The C++ rasterizer (bench/native/raster.cpp): CPU, float32, called through ctypes."""

from __future__ import annotations

import ctypes
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from bench import native
from bench.native.signatures import RasterScene
from bench.splat.gaussians import COEFFICIENTS, Gaussians
from bench.splat.settings import Settings


def _library() -> ctypes.CDLL:
    library = native.load("raster")
    assert library is not None, native.missing("raster")
    return library


class _Pass:
    """What the forward pass keeps for the backward pass of the same call; freed with this object."""

    def __init__(self, handle: int) -> None:
        self.handle = handle
        self._free = _library().raster_free

    def __del__(self) -> None:
        self._free(self.handle)


def _address(tensor: Tensor | None) -> int | None:
    return None if tensor is None else tensor.data_ptr()


def _scene(inputs: tuple[Tensor, ...], settings: Settings, threads: int) -> RasterScene:
    count, stored = inputs[4].shape[:2]
    return RasterScene(
        *(tensor.data_ptr() for tensor in inputs),
        *(count, stored, COEFFICIENTS[settings.degree], settings.width, settings.height, threads),
        *(settings.alpha_max, settings.near, settings.low_pass),
    )


class _Rasterize(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, settings: Settings, threads: int, *tensors: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        inputs = tuple(tensor.contiguous() for tensor in tensors)
        rgb = torch.empty(settings.height, settings.width, 3)
        depth, alpha = torch.empty(settings.height, settings.width), torch.empty(settings.height, settings.width)
        scene = _scene(inputs, settings, threads)
        handle = _library().raster_forward(scene, rgb.data_ptr(), depth.data_ptr(), alpha.data_ptr())
        if not handle:
            raise MemoryError("the native rasterizer ran out of memory in the forward pass")
        ctx.save_for_backward(*inputs)
        ctx.set_materialize_grads(False)
        ctx.kept, ctx.settings, ctx.threads = _Pass(handle), settings, threads
        return rgb, depth, alpha

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *outputs: Tensor | None) -> tuple[Tensor | None, ...]:
        inputs = ctx.saved_tensors
        incoming = [None if gradient is None else gradient.contiguous() for gradient in outputs]
        gradients = [torch.empty_like(tensor) for tensor in inputs[:6]]
        scene = _scene(inputs, ctx.settings, ctx.threads)
        addresses = [_address(tensor) for tensor in (*incoming, *gradients)]
        if _library().raster_backward(scene, ctx.kept.handle, *addresses) != 0:
            raise MemoryError("the native rasterizer ran out of memory in the backward pass")
        return (None, None, *gradients, None)


def render(
    gaussians: Gaussians, world_to_camera: Tensor, intrinsics: Tensor, settings: Settings, threads: int
) -> tuple[Tensor, Tensor, Tensor]:
    """rgb (H, W, 3), accumulated depth (H, W) and alpha (H, W), differentiable by the Gaussians and the pose."""
    fields = (getattr(gaussians, name) for name in Gaussians.__dataclass_fields__)
    rgb, depth, alpha = _Rasterize.apply(settings, threads, *fields, world_to_camera, intrinsics)
    return rgb, depth, alpha
