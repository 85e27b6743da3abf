"""Tokens over all photos of a scene against stand-ins that follow the packages' signatures."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from bench.registry import features
from registry.support import images

CPU = torch.device("cpu")


def _photos(height: int = 96, width: int = 128, views: int = 1) -> Tensor:
    return torch.rand(views, 3, height, width, generator=torch.Generator().manual_seed(0))


class _Patches(torch.nn.Module):
    """Every 14 or 16 pixels' mean colour, repeated to the width."""

    def __init__(self, patch: int, special: int, width: int) -> None:
        super().__init__()
        self.patch, self.special, self.width = patch, special, width

    def tokens(self, photos: Tensor) -> Tensor:
        patches = F.avg_pool2d(photos, self.patch).flatten(2).transpose(1, 2)  # (S, n, 3)
        special = torch.full((len(patches), self.special, 3), -1.0)
        return torch.cat([special, patches], dim=1).repeat(1, 1, self.width // 3 + 1)[..., : self.width]


class _Aggregated(_Patches):
    """vggt/models/aggregator.py, and vggt_omega/models/aggregator.py at facebookresearch/vggt-omega 39a0cb8:
    aggregator(images (1, S, 3, H, W)) -> per layer (1, S, special + patches, 2048) or None, and the first patch."""

    def forward(self, images: Tensor) -> tuple[list[Tensor | None], int]:
        assert images.shape[0] == 1
        assert images.min() >= 0
        return [None, self.tokens(images[0])[None]], self.special


class _Pi3(_Patches):
    """pi3/models/pi3.py at yyfz/Pi3 9fa3ddb: encoder(images (S, 3, H, W), is_training=True)["x_norm_patchtokens"];
    decode(hidden, S, H, W) -> (S, 5 + patches, 2048), positions. The photos are normalised before."""

    patch_start_idx = 5

    def encoder(self, images: Tensor, is_training: bool = False) -> dict[str, Tensor]:
        assert is_training
        return {"x_norm_patchtokens": self.tokens(images)}

    def decode(self, hidden: Tensor, count: int, height: int, width: int) -> tuple[Tensor, Tensor]:
        assert len(hidden) == count
        assert hidden.shape[1] == 5 + height * width // 14**2
        return hidden, torch.zeros(0)


class _Pi3X(_Pi3):
    """pi3/models/pi3x.py at the same commit: branches for cameras and depth can be thrown away."""

    use_multimodal = True

    def disable_multimodal(self, free_cuda_cache: bool = True) -> None:
        self.use_multimodal = False

    def decode(  # type: ignore[override]
        self, hidden: Tensor, N: int, H: int, W: int, poses: Tensor | None, use_pose_mask: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        assert not self.use_multimodal
        assert poses is None
        assert use_pose_mask is None
        return super().decode(hidden, N, H, W)


class _DepthAnything3(torch.nn.Module):
    """depth_anything_3/api.py, model/da3.py and model/dinov2/vision_transformer.py, 0.1.1: model.backbone(x (1, S, 3, H, W))
    -> per layer (patches (1, S, n, 2 C), camera tokens), and what else was asked for. The photos are normalised before."""

    class Net(_Patches):
        def backbone(self, x: Tensor, **kwargs: Any) -> tuple[tuple[tuple[Tensor, Tensor], ...], list[Tensor]]:
            assert not kwargs
            return (((torch.zeros(1), torch.zeros(1))), (self.tokens(x[0])[None], torch.zeros(1))), []

    def __init__(self, model_name: str = "da3-large") -> None:
        super().__init__()
        self.model = self.Net(14, 0, {"da3-small": 768, "da3-large": 2048}[model_name])


def _holding(name: str, part: torch.nn.Module) -> torch.nn.Module:
    network = torch.nn.Module()
    network.add_module(name, part)
    return network


SCENE_TOKENS: dict[str, tuple[str, str, Callable[..., torch.nn.Module]]] = {
    "vggt-decoder": ("vggt.models.vggt", "VGGT", lambda: _holding("aggregator", _Aggregated(14, 5, 2048))),
    "vggt-omega-decoder": ("vggt_omega.models", "VGGTOmega", lambda: _holding("aggregator", _Aggregated(16, 17, 2048))),
    "pi3-decoder": ("pi3.models.pi3", "Pi3", lambda: _Pi3(14, 5, 2048)),
    "pi3x-decoder": ("pi3.models.pi3x", "Pi3X", lambda: _Pi3X(14, 5, 2048)),
    "depth-anything-3": ("depth_anything_3.api", "DepthAnything3", _DepthAnything3),
    "depth-anything-3:S": ("depth_anything_3.api", "DepthAnything3", _DepthAnything3),
}


@pytest.mark.parametrize("name", SCENE_TOKENS)
def test_tokens_of_a_whole_scene_against_a_stand_in_of_the_package(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Special tokens are left out, photos are given as the package takes them, padding is of the mean colour."""
    module, network, build = SCENE_TOKENS[name]
    parts = module.split(".")
    for count in range(1, len(parts) + 1):
        monkeypatch.setitem(sys.modules, ".".join(parts[:count]), types.ModuleType(".".join(parts[:count])))
    setattr(sys.modules[module], network, build)
    provider: Any = features[name]("random")
    provider.load(CPU)
    stride, channels = provider.card.stride, provider.card.channels
    photos = _photos(stride * 7, stride * 9, views=2)
    values = provider.extract(photos)
    assert values.shape == (2, 7, 9, channels)
    assert channels == (768 if name.endswith(":S") else 2048)
    given = photos if provider.raw else images.normalised(photos, images.IMAGENET)
    assert torch.allclose(values[..., :3].permute(0, 3, 1, 2), F.avg_pool2d(given, stride), atol=1e-5)
    assert provider.extract(_photos(96, 128)).shape[1:3] == ((6, 8) if stride == 16 else (7, 10))
