"""From raw dense features to the one vector per pixel that the readout sees.

Feat2GS (arXiv:2412.09606), section 3, and its official code where the paper is silent: PCA over all tokens of all training
photos, bilinear upsampling, concatenation of several models.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from bench.core.errors import UserError

CONCATENATION_STRIDE = 16  #: concatenated features meet on the grid of a patch-16 model
_CHUNK = 1 << 16


@dataclass(frozen=True, eq=False)
class FeatureMap:
    """The features of a scene's training photos, after PCA.

    values: (B, h, w, C) float32 on the patch grid, or (B, height, width, C) where `per_pixel`. height, width: of the
    probe's grid.
    """

    values: Tensor
    height: int
    width: int
    per_pixel: bool

    @property
    def channels(self) -> int:
        return self.values.shape[-1]

    def to(self, device: torch.device) -> FeatureMap:
        """The same features on that device."""
        return replace(self, values=self.values.to(device))

    @property
    def deviation(self) -> float:
        """Root of the mean squared deviation per channel: the unit that the features come in."""
        flat = self.values.flatten(0, 2).double()
        return (flat - flat.mean(dim=0)).square().mean().sqrt().item()

    def with_deviation(self, deviation: float) -> FeatureMap:
        """The features multiplied by one number, so that `deviation` is theirs.

        The directions and the relative sizes of the channels stay (nothing is whitened); a constant feature stays whole.
        """
        own = self.deviation
        return self if own == 0 else replace(self, values=(self.values.double() * (deviation / own)).to(self.values.dtype))

    def upsampled(self) -> Tensor:
        """(B, height, width, C): bilinear, `align_corners=False`; the values themselves where they are per pixel."""
        return self.values if self.per_pixel else resize(self.values, self.height, self.width)


def resize(values: Tensor, height: int, width: int) -> Tensor:
    """(B, height, width, C) from (B, h, w, C): bilinear, `align_corners=False`; the same tensor where the size is right."""
    if values.shape[1:3] == (height, width):
        return values
    resized = F.interpolate(values.permute(0, 3, 1, 2), size=(height, width), mode="bilinear", align_corners=False)
    return resized.permute(0, 2, 3, 1).contiguous()


def reduce(values: Tensor, channels: int) -> Tensor:
    """PCA of features (B, h, w, C), fitted on all tokens of all views together: centred, not whitened.

    Returns (B, h, w, k) float32, k = min(channels, C, number of tokens): where there are fewer channels or tokens than asked
    for, PCA only turns the axes. Components are in order of falling variance; each one's sign makes its largest weight
    positive, so that the result is the same on every run. The exact eigenvectors of the float64 covariance stand in for the
    official randomised decomposition (rank 256, 50 power iterations), which approaches them.
    """
    tokens = values.reshape(-1, values.shape[-1]).float()
    kept = min(channels, *tokens.shape)
    mean = tokens.mean(dim=0, dtype=torch.float64)
    covariance = torch.zeros(len(mean), len(mean), dtype=torch.float64, device=tokens.device)
    for chunk in tokens.split(_CHUNK):
        centred = chunk.double() - mean
        covariance += centred.T @ centred
    components = torch.linalg.eigh(covariance).eigenvectors.flip(1)[:, :kept]
    largest = components.gather(0, components.abs().argmax(dim=0, keepdim=True))
    components = components * largest.sign()
    projected = [((chunk.double() - mean) @ components).float() for chunk in tokens.split(_CHUNK)]
    return torch.cat(projected).reshape(*values.shape[:-1], kept)


def feature_map(
    parts: Sequence[tuple[Tensor, bool]], *, image_size: tuple[int, int], grid: tuple[int, int], channels: int
) -> FeatureMap:
    """The probe's features from the raw features of one or several providers.

    parts: (values, per_pixel) of each provider: values (B, h, w, C), or (B, *grid, C) where per pixel. image_size: (H, W) of
    the photos that the patch features were taken from. grid: (H, W) of the probe. channels: width after PCA.

    One part: PCA; a per-pixel part is used as it is. Several: each patch feature is brought to `channels` by PCA, each
    feature is scaled as a whole to [0, 1], patch features are resized to (H/16, W/16) of the photos, concatenated and
    reduced again; per-pixel features are joined after upsampling to the grid, followed by one more PCA.

    Raises UserError for features that are not finite or not of one scene's shape.
    """
    _check(parts, grid)
    if len(parts) == 1:
        values, per_pixel = parts[0]
        return FeatureMap(values.float() if per_pixel else reduce(values, channels), *grid, per_pixel=per_pixel)
    height, width = (side // CONCATENATION_STRIDE for side in image_size)
    patches = [resize(_unit_range(reduce(values, channels)), height, width) for values, per_pixel in parts if not per_pixel]
    pixels = [_unit_range(values.float()) for values, per_pixel in parts if per_pixel]
    joined = [reduce(torch.cat(patches, dim=-1), channels)] if patches else []
    if not pixels:
        return FeatureMap(joined[0], *grid, per_pixel=False)
    return FeatureMap(
        reduce(torch.cat([resize(values, *grid) for values in joined] + pixels, dim=-1), channels), *grid, per_pixel=True
    )


def _unit_range(values: Tensor) -> Tensor:
    """Scaled as a whole so that the smallest entry is 0 and the largest 1 (all 0 where the feature is constant)."""
    low, high = values.min(), values.max()
    return (values - low) / (high - low) if high > low else torch.zeros_like(values)


def _check(parts: Sequence[tuple[Tensor, bool]], grid: tuple[int, int]) -> None:
    if not parts:
        raise UserError("no features: name at least one provider")
    for number, (values, per_pixel) in enumerate(parts, start=1):
        which = f"feature {number} of {len(parts)}"
        if values.ndim != 4 or values.shape[0] != parts[0][0].shape[0]:
            raise UserError(
                f"{which} has shape {tuple(values.shape)}: expected (views, h, w, channels), the same views in all"
            )
        if per_pixel and values.shape[1:3] != grid:
            raise UserError(f"{which} is per pixel but {tuple(values.shape[1:3])}, and the probe's grid is {grid}")
        broken = values.numel() - int(values.isfinite().sum())
        if broken:
            raise UserError(f"{which} holds {broken} values that are NaN or infinite, of {values.numel()}")
