"""LeReS's depth network (arXiv:2012.09365): a ResNeXt and a decoder that fuses its stages.

Not the authors' code, which is for non-commercial use: written from the paper and checked against theirs
(github.com/aim-uofa/AdelaiDepth, LeReS/Minist_Test).
"""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from registry.support.checkpoints import State, renamed


class LeReSNetwork(nn.Module):
    """Photos to depth. width: of the decoder, twice that at its coarsest. encoder: where it differs from timm's."""

    def __init__(self, width: int = 256, **encoder: Any) -> None:
        import timm

        super().__init__()
        stages: Any = timm.create_model("resnext101_32x8d", features_only=True, out_indices=(1, 2, 3, 4), **encoder)
        *finer, coarsest = stages.feature_info.channels()
        self.encoder = stages
        self.top = _Refinement(coarsest, 2 * width)
        self.reduction = _convolution(2 * width, width)
        self.fusions = nn.ModuleList(_Fusion(channels, width) for channels in finer[::-1])
        half = width // 2
        self.output = nn.Sequential(
            _convolution(width, half), nn.BatchNorm2d(half), nn.ReLU(inplace=True), _convolution(half, 1)
        )

    def forward(self, images: Tensor) -> Tensor:
        """Depth (B, H, W), affine-invariant, of normalised images (B, 3, H, W), H and W multiples of 32."""
        *finer, coarsest = self.encoder(images)
        x = _doubled(self.reduction(self.top(coarsest)))
        for fusion, stage in zip(self.fusions, finer[::-1], strict=True):
            x = _doubled(fusion(stage, x))
        return _doubled(self.output(x))[:, 0]


class _Refinement(nn.Module):
    """A convolution, ReLU, and a residual branch of two convolutions, ReLU.

    The authors write the first ReLU inside the branch alone, but in place: it reaches the sum as well.
    """

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.entry = _convolution(before, after)
        self.branch = nn.Sequential(
            _convolution(after, after), nn.BatchNorm2d(after), nn.ReLU(inplace=True), _convolution(after, after)
        )

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.entry(x))
        return F.relu(x + self.branch(x))


class _Fusion(nn.Module):
    """Joins a stage of the encoder to what comes from the coarser ones."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.skip = _Refinement(channels, width)
        self.joint = _Refinement(width, width)

    def forward(self, stage: Tensor, x: Tensor) -> Tensor:
        joined: Tensor = self.joint(self.skip(stage) + x)
        return joined


def _convolution(before: int, after: int) -> nn.Conv2d:
    return nn.Conv2d(before, after, 3, padding=1)


def _doubled(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True)


def official_names(state: State) -> State:
    """The publisher's keys as the network names them, with or without the prefix of a network trained on several GPUs."""
    rules = [
        (r"^module\.", ""),
        (r"^depth_model\.encoder_modules\.encoder\.", "encoder."),
        (r"^depth_model\.decoder_modules\.conv\.", "top."),
        (r"^depth_model\.decoder_modules\.conv1\.", "reduction."),
        *((rf"^depth_model\.decoder_modules\.ffm{2 - number}\.", f"fusions.{number}.") for number in range(3)),
        (r"^depth_model\.decoder_modules\.outconv\.adapt_conv\.", "output."),
        (r"^(fusions\.\d+)\.ftb1\.", r"\1.skip."),
        (r"^(fusions\.\d+)\.ftb2\.", r"\1.joint."),
        (r"^(top|fusions\.\d+\.\w+)\.conv1\.", r"\1.entry."),
        *((rf"\.conv_branch\.{index}\.", f".branch.{index - 1}.") for index in (1, 2, 4)),
    ]
    return renamed(state, rules)
