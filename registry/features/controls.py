"""Features that need no download: coordinates and colours, a hand-crafted descriptor, random weights, the truth.

They are the probe's controls: what a foundation model has to beat, and what reads the truth.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from bench.registry import features
from bench.types import Card, FeatureInput, FeatureProvider, UserError
from registry.support.timm import TimmProvider


def _index_and_position(images: Tensor) -> Tensor:
    """(B, H, W, 3) of images (B, 3, H, W): view index i / (B - 1), column u and row v, each in [0, 1]."""
    views, _, height, width = images.shape
    index, rows, columns = torch.meshgrid(
        *(torch.linspace(0, 1, n, device=images.device) for n in (views, height, width)), indexing="ij"
    )
    return torch.stack([index, columns, rows], dim=-1)


@features.register("constant")
class Constant(FeatureProvider):
    """The same number everywhere: no information, so that the readout can give all Gaussians but one look. The floor."""

    card = Card(name="Constant", channels=1, supervision="None", license="Apache-2.0", role="floor")
    per_pixel = True

    def extract(self, images: Tensor) -> Tensor:
        return torch.ones_like(images[:, :1]).permute(0, 2, 3, 1)


@features.register("iuv")
class IUV(FeatureProvider):
    """View index and pixel position."""

    holds_scales = True
    card = Card(name="IUV", channels=3, supervision="None", license="Apache-2.0", paper="arXiv:2412.09606")  # fmt: skip
    per_pixel = True

    def extract(self, images: Tensor) -> Tensor:
        return _index_and_position(images)


@features.register("rgb")
class RGB(FeatureProvider):
    """The pixel's colour, in [-1, 1]."""

    card = Card(name="RGB", channels=3, supervision="None", license="Apache-2.0")  # fmt: skip
    per_pixel = True

    def extract(self, images: Tensor) -> Tensor:
        return images.permute(0, 2, 3, 1) * 2 - 1


@features.register("iuvrgb")
class IUVRGB(FeatureProvider):
    """The paper's baseline: view index, pixel position and colour."""

    holds_scales = True
    card = Card(name="IUVRGB", channels=6, supervision="None", license="Apache-2.0", paper="arXiv:2412.09606")  # fmt: skip
    per_pixel = True

    def extract(self, images: Tensor) -> Tensor:
        return torch.cat([_index_and_position(images), images.permute(0, 2, 3, 1) * 2 - 1], dim=-1)


@features.register("daisy")
class DAISY(FeatureProvider):
    """DAISY histograms of the grey photo's gradients, one at the centre of every patch of 16 pixels."""

    card = Card(name="DAISY", arch="hand-crafted", channels=200, stride=16, supervision="None", domain="2D",
                license="BSD-3-Clause", paper="doi:10.1109/TPAMI.2009.77")  # fmt: skip

    def extract(self, images: Tensor) -> Tensor:
        from skimage.feature import daisy

        radius, half = 15, self.card.stride // 2
        grey = (images * images.new_tensor([0.299, 0.587, 0.114])[:, None, None]).sum(dim=1).cpu().numpy()
        # scikit-image describes pixels radius, radius + step, …: padding puts them just right below the patches' centres.
        padded = np.pad(grey, ((0, 0), (radius - half, radius), (radius - half, radius)), mode="reflect")
        rows, columns = (side // self.card.stride for side in grey.shape[1:])
        described = [
            daisy(photo, step=self.card.stride, radius=radius, normalization="off")[:rows, :columns] for photo in padded
        ]
        histograms = torch.from_numpy(np.stack(described)).float().to(images.device)
        # L1 normalisation to a mean bin of 1 (a readout learns little from inputs of 1/200), safe without gradients.
        return histograms / histograms.mean(dim=-1, keepdim=True).clamp_min(1e-6)


@features.register("random-vit")
class RandomViT(TimmProvider):
    """A ViT-B/16 that was never trained: what the architecture gives away without any learning."""

    card = Card(name="Random ViT", arch="ViT-B/16", channels=768, stride=16, supervision="None", license="Apache-2.0",
                note="seeded random weights by design; nothing is downloaded", role="control", parameters=85.8)  # fmt: skip
    architecture = "vit_base_patch16_224"


@features.register("oracle-xyz")
class OracleXYZ(FeatureProvider):
    """The ground-truth position of every pixel, scaled to [-1, 1] by the scene's box (one scale for all axes), with sines
    and cosines of ten octaves, since the readout is only as wide as its input. Sky gets the centre of the box."""

    card = Card(name="Oracle XYZ", channels=63, supervision="Ground truth", domain="3D", license="Apache-2.0",
                note="reads the ground truth: no model, and a bound only if readouts can use it", role="oracle")  # fmt: skip
    per_pixel = True
    octaves = 10

    def extract(self, images: Tensor) -> Tensor:
        raise UserError("oracle-xyz reads ground-truth points: it needs a scene, not photos alone")

    def extract_scene(self, scene: FeatureInput) -> Tensor:
        if scene.points is None or not scene.points.isfinite().all(dim=-1).any():
            raise UserError("oracle-xyz needs ground-truth points, and this scene has none: use a data set with depth")
        known = scene.points.isfinite().all(dim=-1, keepdim=True)
        positions = scene.points[known.squeeze(-1)]
        low, high = positions.amin(dim=0), positions.amax(dim=0)
        half_side = (high - low).max().clamp_min(torch.finfo(positions.dtype).tiny) / 2
        unit = torch.where(known, (scene.points - (low + high) / 2) / half_side, torch.zeros_like(scene.points))
        angles = unit[..., None] * (math.pi * 2.0 ** torch.arange(self.octaves, device=unit.device))
        waves = torch.cat([angles.sin(), angles.cos()], dim=-1).flatten(-2)
        return torch.cat([unit, waves], dim=-1).float()
