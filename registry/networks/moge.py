"""MoGe-1's network (arXiv:2410.19115, section 3 and appendix A): DINOv2's tokens, a convolutional head with two outputs.

Not the authors' code: written from the paper and checked against theirs (github.com/microsoft/MoGe, moge/model/v1.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.types import UserError
from registry.support.checkpoints import State, renamed, without
from registry.support.images import IMAGENET, normalised
from registry.support.timm import position_by_scale

PATCH = 14


@dataclass(frozen=True)
class Configuration:
    """What a checkpoint says of its network, under the publisher's names; the defaults are those of the published ViT-L.

    encoder: DINOv2's size. intermediate_layers: how many of the last blocks are read. dim_proj: width of the summed tokens.
    dim_upsample: width of each of the three stages. num_res_blocks: residual blocks a stage, inside them
    dim_times_res_block_hidden times as wide. last_conv_channels: width before the outputs. num_tokens_range: what the
    network was trained on.
    """

    encoder: str = "dinov2_vitl14"
    intermediate_layers: int = 4
    dim_proj: int = 512
    dim_upsample: tuple[int, ...] = (256, 128, 64)
    dim_times_res_block_hidden: int = 2
    num_res_blocks: int = 2
    last_conv_channels: int = 32
    num_tokens_range: tuple[int, int] = (1275, 2551)
    mask_threshold: float = 0.5


ENCODERS = {f"dinov2_vit{size[0]}14": f"vit_{size}_patch14_dinov2" for size in ("small", "base", "large")}
#: Other settings that a checkpoint may name, with the one value that this network has.
_FIXED = MappingProxyType(
    {
        "remap_output": "exp",
        "res_block_norm": "group_norm",
        "last_res_blocks": 0,
        "last_conv_size": 1,
        "output_mask": True,
        "split_head": True,
    }
)
_UNUSED = frozenset({"trained_diagonal_size_range"})


def configuration(content: Mapping[str, Any], source: Path) -> Configuration:
    """The configuration that a checkpoint holds. Raises UserError for a network other than MoGe-1's."""
    known = {field.name for field in fields(Configuration)}
    given: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in content.items()}
    if "trained_area_range" in given:  # the first release's term: pixels, not tokens
        low, high = given.pop("trained_area_range")
        given["num_tokens_range"] = (int(low // PATCH**2), int(high // PATCH**2))
    for key, value in given.items():
        if key in _FIXED and value != _FIXED[key]:
            raise UserError(f"{source}: model_config.{key} is {value!r}; this suite's MoGe-1 has {_FIXED[key]!r} only")
        if key not in known and key not in _FIXED and key not in _UNUSED:
            raise UserError(f"{source}: model_config.{key} is no setting of MoGe-1; was it written for another version?")
    found = Configuration(**{key: value for key, value in given.items() if key in known})
    if found.encoder not in ENCODERS or not isinstance(found.intermediate_layers, int):
        raise UserError(
            f"{source}: model_config names the encoder {found.encoder!r} and the layers {found.intermediate_layers!r}; "
            f"MoGe-1 reads the last blocks of one of {', '.join(ENCODERS)}"
        )
    return found


def official_names(state: State) -> State:
    """The publisher's keys as the network names them. The mask token, which only pre-training uses, and the colour
    statistics, which are constants here, are left out."""
    rules = [
        (r"^backbone\.", "encoder."),
        (r"^head\.projects\.", "projections."),
        (r"^head\.upsample_blocks\.(\d+)\.0\.", r"stages.\1.0."),
        (r"^head\.upsample_blocks\.", "stages."),
        (r"^head\.output_block\.0\.", "points."),
        (r"^head\.output_block\.1\.", "mask."),
    ]
    return renamed(without(state, r"backbone\.mask_token$", r"image_(mean|std)$"), rules)


def view_plane(height: int, width: int, aspect: float, like: Tensor) -> Tensor:
    """(2, height, width) positions of the pixel centres on the view plane; the photo's corners are at distance 1.

    aspect: width / height of the photo, which may differ a little from the map's.
    """
    diagonal = (1 + aspect**2) ** 0.5
    across, down = (
        (2 * torch.arange(count, device=like.device, dtype=like.dtype) + 1) / count - 1 for count in (width, height)
    )
    return torch.stack(torch.meshgrid(across * aspect / diagonal, down / diagonal, indexing="xy"))


class _Residual(nn.Module):
    """Norm, ReLU, convolution, twice, added to the input. hidden: the width in between."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.GroupNorm(1, channels),
            nn.ReLU(),
            _convolution(channels, hidden),
            nn.GroupNorm(hidden // 32, hidden),
            nn.ReLU(),
            _convolution(hidden, channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x)


class MoGeNetwork(nn.Module):
    """Photos to affine-invariant point maps and masks. The encoder is timm's DINOv2, or one given that has its interface."""

    def __init__(self, configuration: Configuration, encoder: Any = None) -> None:
        super().__init__()
        c = configuration
        self.configuration = c
        self.encoder = encoder or _dinov2(c.encoder)
        self.projections = nn.ModuleList(
            nn.Conv2d(self.encoder.embed_dim, c.dim_proj, 1) for _ in range(c.intermediate_layers)
        )
        inputs = (c.dim_proj, *c.dim_upsample[:-1])
        self.stages = nn.ModuleList(
            nn.Sequential(
                nn.Sequential(nn.ConvTranspose2d(before + 2, after, 2, stride=2), _convolution(after, after)),
                *(_Residual(after, c.dim_times_res_block_hidden * after) for _ in range(c.num_res_blocks)),
            )
            for before, after in zip(inputs, c.dim_upsample, strict=True)
        )
        self.points, self.mask = (
            nn.Sequential(
                _convolution(c.dim_upsample[-1] + 2, c.last_conv_channels),
                nn.ReLU(),
                nn.Conv2d(c.last_conv_channels, channels, 1),
            )
            for channels in (3, 1)
        )

    def forward(self, images: Tensor, tokens: int) -> tuple[Tensor, Tensor]:
        """Points (B, H, W, 3), right up to a scale and a shift, and mask values (B, H, W), of images (B, 3, H, W) in [0, 1].

        tokens: about how many patches the photo is resized to. Above the mask threshold is a surface, below it is none.
        """
        height, width = images.shape[-2:]
        raw, mask = self.outputs(images, tokens)
        raw, mask = (F.interpolate(each, (height, width), mode="bilinear", align_corners=False) for each in (raw, mask))
        depth = raw[:, 2:].exp()
        return torch.cat([raw[:, :2] * depth, depth], dim=1).permute(0, 2, 3, 1), mask[:, 0]

    def outputs(self, images: Tensor, tokens: int) -> tuple[Tensor, Tensor]:
        """What the heads give, at the size of `tokens` patches: (B, 3, h, w) before remapping, and (B, 1, h, w)."""
        height, width = images.shape[-2:]
        scale = (tokens * PATCH**2 / (height * width)) ** 0.5
        size = int(height * scale), int(width * scale)
        aspect = size[1] / size[0]
        images = normalised(F.interpolate(images, size, mode="bicubic", align_corners=False, antialias=True), IMAGENET)
        x = self._projected(images)
        for stage in self.stages:
            x = stage(_with_view_plane(x, aspect))
        x = _with_view_plane(F.interpolate(x, size, mode="bilinear", align_corners=False), aspect)
        return self.points(x), self.mask(x)

    def _projected(self, images: Tensor) -> Tensor:
        """(B, dim_proj, rows, columns): the sum of the last blocks' patch tokens, each normalised and projected."""
        rows, columns = (side // PATCH for side in images.shape[-2:])
        images = F.interpolate(images, (rows * PATCH, columns * PATCH), mode="bilinear", align_corners=False, antialias=True)
        encoder, skipped = self.encoder, len(self.encoder.blocks) - len(self.projections)
        x = encoder.patch_embed(images).flatten(1, 2)
        x = torch.cat([encoder.cls_token.expand(len(x), -1, -1), x], dim=1)
        x = x + position_by_scale(encoder.pos_embed, (rows, columns))
        for block in encoder.blocks[:skipped]:
            x = block(x)
        total: Any = 0
        for block, projection in zip(encoder.blocks[skipped:], self.projections, strict=True):
            x = block(x)
            total = total + projection(encoder.norm(x)[:, 1:].transpose(1, 2).unflatten(2, (rows, columns)))
        found: Tensor = total
        return found


def _dinov2(name: str) -> Any:
    import timm

    # init_values: DINOv2's layer scale starts at 1, timm's at 1e-5.
    return timm.create_model(ENCODERS[name], pretrained=False, num_classes=0, dynamic_img_size=True, init_values=1.0)


def _convolution(before: int, after: int) -> nn.Conv2d:
    return nn.Conv2d(before, after, 3, padding=1, padding_mode="replicate")


def _with_view_plane(x: Tensor, aspect: float) -> Tensor:
    height, width = x.shape[-2:]
    plane = view_plane(height, width, aspect, like=x)
    return torch.cat([x, plane.expand(len(x), -1, -1, -1)], dim=1)
