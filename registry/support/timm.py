"""Feature providers with one network, and those of timm: weights, position embeddings, tokens to maps."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from bench.machine.requirements import check_packages
from bench.machine.weights import file_name, locate, sources
from bench.types import Card, FeatureProvider, Setting
from registry.support.checkpoints import State, load_strictly, read_state, without
from registry.support.images import IMAGENET, Statistics, centre_padded, in_batches, normalised
from registry.support.seeding import seeded


def position_by_scale(position: Tensor, grid: tuple[int, int], prefix: int = 1, offset: float = 0.1) -> Tensor:
    """A square learned position embedding (1, prefix + n*n, C) at a grid (h, w), as DINO's and DINOv2's code resizes it.

    Bicubic by the scale factor (side + 0.1) / n, not to the size, and without antialiasing: neither is the same.
    """
    kept, square = position[:, :prefix], position[:, prefix:]
    side = round(square.shape[1] ** 0.5)
    if grid == (side, side):
        return position
    square = square.reshape(1, side, side, -1).permute(0, 3, 1, 2)
    factors = [(length + offset) / side for length in grid]
    resized = F.interpolate(square, scale_factor=factors, mode="bicubic", align_corners=False)
    return torch.cat([kept, resized.flatten(2).transpose(1, 2)], dim=1)


def block_tokens(network: Any, images: Tensor, position: Tensor, blocks: int | None = None, **options: Any) -> Tensor:
    """Patch tokens (B, n, C) after the first `blocks` blocks (by default all) of a timm transformer, before any final norm.

    position: the embedding (1, prefix + n, C) to use in place of the network's own, prefix being how many class tokens and
    registers it has. options: passed to every block.
    """
    x = network.patch_embed(images).flatten(1, 2)
    prefix = [token for token in (network.cls_token, getattr(network, "reg_token", None)) if token is not None]
    x = torch.cat([*(token.expand(len(x), -1, -1) for token in prefix), x], dim=1)
    x = network.norm_pre(x + position)
    for block in network.blocks[:blocks]:
        x = block(x, **options)
    return x[:, sum(token.shape[1] for token in prefix) :]


def position_to_size(position: Tensor, grid: tuple[int, int], mode: str, prefix: int = 1, antialias: bool = False) -> Tensor:
    """A square learned position embedding (1, prefix + n*n, C) at a grid (h, w), by plain interpolation."""
    kept, square = position[:, :prefix], position[:, prefix:]
    side = round(square.shape[1] ** 0.5)
    square = square.reshape(1, side, side, -1).permute(0, 3, 1, 2)
    resized = F.interpolate(square, size=grid, mode=mode, align_corners=False, antialias=antialias)
    return torch.cat([kept, resized.flatten(2).transpose(1, 2)], dim=1)


class NetworkProvider(FeatureProvider):
    """A provider with one network. Subclasses give `build` and `forward`, and `convert` where the publisher's keys differ.

    statistics: mean and deviation of the input. weights_files: under the card's source, where the source names no file.
    """

    statistics: ClassVar[Statistics] = IMAGENET
    weights_files: ClassVar[tuple[str, ...]] = ("model.safetensors",)
    network: Any

    def build(self) -> Any:
        """The network, initialised at random."""
        raise NotImplementedError(f"{type(self).__name__} must implement build()")

    def forward(self, images: Tensor) -> Tensor:
        """(B, h*w, C) or (B, h, w, C) of normalised, padded images."""
        raise NotImplementedError(f"{type(self).__name__} must implement forward(images)")

    def convert(self, state: State) -> State:
        """The publisher's keys as the network names them."""
        return state

    def load(self, device: torch.device) -> None:
        check_packages(self.card.name, type(self))
        path = self._weights_path() if self.weights == "pretrained" else None
        self.network = seeded(self.build)
        if path is not None:
            load_strictly(self.network, self.convert(read_state(path)), path)
        self.network.eval().requires_grad_(False).to(device)

    def _weights_path(self) -> Path:
        """The file of the weights: the publisher's, or a local one, which may lie in a folder under the publisher's name."""
        (source,) = sources(type(self))
        if self.checkpoint is not None and self.checkpoint.is_dir():
            return self.checkpoint / file_name(source)
        return self.checkpoint or locate(source, self.card.name)

    def prepared(self, images: Tensor) -> Tensor:
        """Photos as the network takes them: by default normalised, and padded to whole patches."""
        return centre_padded(normalised(images, self.statistics), self.card.stride)

    def covered(self, images: Tensor) -> Tensor:
        """What the network is given, in [0, 1]: where it pads, the mean colour of its `statistics`."""
        mean, deviation = (images.new_tensor(values)[:, None, None] for values in self.statistics)
        return self.prepared(images) * deviation + mean

    @torch.no_grad()
    def extract(self, images: Tensor) -> Tensor:
        prepared = self.prepared(images)
        values = in_batches(self.forward, prepared)
        rows, columns = (side // self.card.stride for side in prepared.shape[-2:])
        return values.reshape(len(images), rows, columns, -1).float()


class TimmProvider(NetworkProvider):
    """A vision transformer of timm. architecture: its name there. options: what differs from timm's defaults.

    The feature is the patch tokens after a block, the last one where a name sets no other (`layer`, counted from 1), without
    the final norm, the position embedding resized as timm does it. normed: with the final norm.
    """

    options: ClassVar[Mapping[str, Any]] = MappingProxyType({"dynamic_img_size": True})
    normed: ClassVar[bool] = False

    @classmethod
    def offers(cls) -> Mapping[str, Setting]:
        if not cls.size:
            return {}
        depth = cls.sizes[cls.size].depth
        return {"layer": Setting(range(1, depth + 1), depth)}

    def build(self) -> Any:
        import timm

        return timm.create_model(self.architecture, pretrained=False, **{"num_classes": 0, **self.options})

    def forward(self, images: Tensor) -> Tensor:
        blocks = [self.setting("layer") - 1] if "layer" in self.settings else 1
        tokens: list[Tensor] = self.network.forward_intermediates(
            images, indices=blocks, norm=self.normed, output_fmt="NLC", intermediates_only=True, stop_early=not self.normed
        )
        return tokens[-1]

    def convert(self, state: State) -> State:
        """timm's own files, less the heads that the network is built without."""
        return without(state, r"head\.(weight|bias|fc\.)", r"attn_pool\.", "mask_token$")


class ResizedPositionProvider(TimmProvider):
    """A vision transformer whose authors resize its learned positions otherwise than timm (bicubic, antialiased).

    mode, antialias: how, as torch.nn.functional.interpolate names it.
    """

    mode: ClassVar[str] = "bicubic"
    antialias: ClassVar[bool] = False

    def forward(self, images: Tensor) -> Tensor:
        grid = images.shape[-2] // self.card.stride, images.shape[-1] // self.card.stride
        held = self.network.pos_embed
        prefix = held.shape[1] - math.isqrt(held.shape[1]) ** 2
        position = position_to_size(held, grid, self.mode, prefix, self.antialias)
        # Class token and registers that have no position of their own.
        position = F.pad(position, (0, 0, self.network.num_prefix_tokens - prefix, 0))
        return block_tokens(self.network, images, position, self.setting("layer"))


class StageProvider(TimmProvider):
    """A network of timm whose stages halve the photo: by default the stage with one vector for every 16 pixels.

    layer: which of the stages that timm gives, counted from 1. taken: the default, whose width the table of sizes has.
    """

    options = MappingProxyType({})
    taken: ClassVar[int] = 3

    @classmethod
    def offers(cls) -> Mapping[str, Setting]:
        return {"layer": Setting(range(1, cls.sizes[cls.size].depth + 1), cls.taken)}

    @classmethod
    def width(cls, layer: int) -> int:
        """Channels of a stage: as a rule each has twice as many as the one before."""
        return round(cls.sizes[cls.size].channels * 2.0 ** (layer - cls.taken))

    @classmethod
    def tapped(cls, card: Card) -> Card:
        layer = cls.setting("layer")
        return replace(card, channels=cls.width(layer), stride=round(card.stride * 2.0 ** (layer - cls.taken)))

    def forward(self, images: Tensor) -> Tensor:
        stage = self.setting("layer") - 1
        found: list[Tensor] = self.network.forward_intermediates(images, indices=[stage], intermediates_only=True)
        return found[0].permute(0, 2, 3, 1)
