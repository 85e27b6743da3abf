"""Photos into a network and maps out of it: colour statistics, sizes, padding, batches."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from bench.machine.pictures.images import IMAGENET as IMAGENET
from bench.types import Array

Statistics = tuple[tuple[float, float, float], tuple[float, float, float]]
CLIP: Statistics = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
NONE: Statistics = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)  #: [0, 1] stays as it is
LANCZOS, BICUBIC = Image.Resampling.LANCZOS, Image.Resampling.BICUBIC
HALF: Statistics = (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)  #: [0, 1] to [-1, 1]


def normalised(images: Tensor, statistics: Statistics) -> Tensor:
    """(B, 3, H, W) in [0, 1], less the mean, over the deviation."""
    mean, deviation = (images.new_tensor(values)[:, None, None] for values in statistics)
    return (images - mean) / deviation


def centre_padded(images: Tensor, patch: int) -> Tensor:
    """Zeros around the photos so that both sides become multiples of `patch`, as the official probe pads.

    Where only one side needs it, the other gets a whole extra patch as well; the padding stays in the feature map.
    """
    height, width = images.shape[-2:]
    if height % patch == 0 and width % patch == 0:
        return images
    rows, columns = patch - height % patch, patch - width % patch
    return F.pad(images, (columns // 2, columns - columns // 2, rows // 2, rows - rows // 2))


def in_batches(function: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    """function over the photos: one at a time on the CPU; on a GPU all at once, in halves where memory runs out."""
    size = len(images) if images.is_cuda else 1
    while True:
        try:
            return torch.cat([function(batch) for batch in images.split(size)])
        except torch.cuda.OutOfMemoryError:
            if size == 1:
                raise
            size = (size + 1) // 2
            torch.cuda.empty_cache()


def to_tensor(image: Array, device: torch.device) -> Tensor:
    """(1, 3, H, W) float32 in [0, 1] of an image (H, W, 3) uint8."""
    return torch.from_numpy(np.array(image)).to(device).permute(2, 0, 1)[None].float() / 255


def resized(values: Tensor, height: int, width: int, mode: str = "bicubic", align_corners: bool = False) -> Tensor:
    """(B, C, height, width), antialiased where it shrinks (not with align_corners)."""
    return F.interpolate(values, (height, width), mode=mode, align_corners=align_corners, antialias=not align_corners)


def at_size(values: Tensor, height: int, width: int) -> Array:
    """A predicted map (1, h, w) bilinearly at (height, width), float32."""
    return F.interpolate(values[:, None].float(), (height, width), mode="bilinear", align_corners=False)[0, 0].cpu().numpy()


def short_side_at(image: Tensor, side: int, multiple: int) -> tuple[int, int]:
    """Height and width for an image (B, 3, H, W): the shorter side near `side`, the aspect kept, multiples of `multiple`."""
    scale = side / min(image.shape[-2:])
    height, width = (max(1, round(length * scale / multiple)) * multiple for length in image.shape[-2:])
    return height, width


def long_side_at(height: int, width: int, side: int, multiple: int) -> tuple[int, int]:
    """Height and width of a photo whose longer side becomes `side`: the aspect kept, then the nearest multiples."""
    scale = side / max(height, width)
    rows, columns = (max(1, round(length * scale / multiple)) * multiple for length in (height, width))
    return rows, columns


def resampled(
    images: Sequence[Array],
    height: int,
    width: int,
    shrinking: Image.Resampling = LANCZOS,
    growing: Image.Resampling = BICUBIC,
) -> list[Array]:
    """Photos (H, W, 3) uint8 of one size at (height, width), resampled by Pillow, antialiased.

    By `shrinking` where the longer side becomes shorter, else by `growing`.
    """
    filtering = shrinking if max(height, width) < max(images[0].shape[:2]) else growing
    return [np.asarray(Image.fromarray(image).resize((width, height), filtering)) for image in images]


def to_tensors(images: Sequence[Array], device: torch.device) -> Tensor:
    """(N, 3, H, W) float32 in [0, 1] of photos (H, W, 3) uint8 of one size."""
    return torch.cat([to_tensor(image, device) for image in images])
