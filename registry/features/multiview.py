"""Networks that see all photos of a scene at once: VGGT's image encoder, and the tokens of decoders over all photos."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import MappingProxyType
from typing import Any, ClassVar

import torch
from torch import Tensor

from bench.registry import features
from bench.types import Size
from registry.networks.multiview import cut3r, mapanything, pi3, vggt
from registry.networks.multiview import depth_anything_3 as da3
from registry.support.checkpoints import State, renamed, without
from registry.support.images import HALF
from registry.support.packages import LibraryModel
from registry.support.timm import NetworkProvider, TimmProvider

#: What DA3's package calls a size, and the width of its features.
_DA3 = MappingProxyType(
    {"S": ("da3-small", 768), "B": ("da3-base", 1536), "L": ("da3-large", 2048), "g": ("da3-giant", 3072)}
)
_REST = (r"aggregator\.(frame_blocks|global_blocks)\.", r"aggregator\.(camera|register)_token$", r"\w+_head\.")


@features.register("vggt")
class VGGT(TimmProvider):
    """VGGT's encoder, a fine-tuned DINOv2 ViT-L/14 with registers: the patch tokens after the final norm."""

    card = replace(vggt.VGGT.card, note="")
    sizes = MappingProxyType({"L": Size("ViT-L/14", 1024, 24, 304.4, "vit_large_patch14_reg4_dinov2")})
    default_size = "L"
    normed = True
    options = MappingProxyType({"dynamic_img_size": True, "init_values": 1.0})

    def convert(self, state: State) -> State:
        encoder = without(state, *_REST, r"aggregator\.patch_embed\.mask_token$")
        encoder = renamed(encoder, [(r"^aggregator\.patch_embed\.", ""), (r"^register_tokens$", "reg_token")])
        # The official class token has a position of its own; timm's stands without one.
        position = encoder["pos_embed"]
        return encoder | {"cls_token": encoder["cls_token"] + position[:, :1], "pos_embed": position[:, 1:]}


class SceneTokens(NetworkProvider, LibraryModel):
    """Tokens over all photos of a scene at once, from a network of its authors' package. A subclass gives `build`, `tokens`.

    raw: Whether the network normalises for itself: it is given photos in [0, 1], with the mean colour where padding is.
    """

    raw: ClassVar[bool] = True

    def tokens(self, photos: Tensor) -> Tensor:
        """(N, patches, C) of photos (N, 3, H, W), normalised unless `raw`, both sides whole patches."""
        raise NotImplementedError(f"{type(self).__name__} must implement tokens(photos)")

    @torch.no_grad()
    def extract(self, images: Tensor) -> Tensor:
        photos = self.covered(images) if self.raw else self.prepared(images)
        tokens = self.tokens(photos)
        rows, columns = (side // self.card.stride for side in photos.shape[-2:])
        return tokens.reshape(len(images), rows, columns, -1).float()


class _Aggregator(SceneTokens):
    def tokens(self, photos: Tensor) -> Tensor:
        layers, first_patch = self.network.aggregator(photos[None])
        tokens: Tensor = layers[-1][0, :, first_patch:]
        return tokens


@features.register("vggt-decoder")
class VGGTDecoder(_Aggregator):
    """The last layer of VGGT's aggregator, frame and global attention side by side."""

    card = replace(vggt.VGGT.card, name="VGGT decoder", channels=2048, note="through its authors' package")
    needs = vggt.VGGT.needs

    def build(self) -> Any:
        return self.module("vggt.models.vggt").VGGT()


@features.register("vggt-omega-decoder")
class VGGTOmegaDecoder(_Aggregator):
    """The last layer of VGGT-Omega's aggregator, frame and inter-frame attention side by side."""

    card = replace(vggt.VGGTOmega.card, name="VGGT-Omega decoder", channels=2048)
    needs = vggt.VGGTOmega.needs

    def build(self) -> Any:
        return self.module("vggt_omega.models").VGGTOmega()


@features.register("pi3-decoder")
class Pi3Decoder(SceneTokens):
    """The last two blocks of Pi3's decoder, one within the photos and one over all of them, side by side, as its heads see
    them. Its encoder is VGGT's, frozen in training (`vggt`)."""

    card = replace(pi3.Pi3.card, name="Pi3 decoder", channels=2048)
    needs = pi3.Pi3.needs
    raw = False

    def build(self) -> Any:
        return self.module("pi3.models.pi3").Pi3()

    def tokens(self, photos: Tensor) -> Tensor:
        hidden = self.network.encoder(photos, is_training=True)["x_norm_patchtokens"]
        return self.decoded(hidden, photos)[:, self.network.patch_start_idx :]

    def decoded(self, hidden: Tensor, photos: Tensor) -> Tensor:
        """(N, tokens, C), registers first, of the encoder's tokens (N, patches, C)."""
        tokens: Tensor = self.network.decode(hidden, len(photos), *photos.shape[-2:])[0]
        return tokens


@features.register("pi3x-decoder")
class Pi3XDecoder(Pi3Decoder):
    """The same of Pi3X, from photos alone: what takes cameras and depth is off."""

    card = replace(pi3.Pi3X.card, name="Pi3X decoder", channels=2048)

    def build(self) -> Any:
        return self.module("pi3.models.pi3x").Pi3X()

    def load(self, device: torch.device) -> None:
        super().load(device)
        self.network.disable_multimodal()

    def decoded(self, hidden: Tensor, photos: Tensor) -> Tensor:
        tokens: Tensor = self.network.decode(hidden, len(photos), *photos.shape[-2:], None, None)[0]
        return tokens


@features.register("cut3r-decoder")
class CUT3RDecoder(SceneTokens):
    """What CUT3R's decoder makes of each photo and of the state that the photos before it left, after its final norm."""

    card = replace(cut3r.CARD, name="CUT3R decoder", channels=768)
    needs = cut3r.NEEDS
    statistics = HALF
    raw = False

    def build(self) -> Any:
        return cut3r.build()

    def convert(self, state: State) -> State:
        return cut3r.weights_of(state)

    def tokens(self, photos: Tensor) -> Tensor:
        seen = _given_by(self.network.dec_norm, lambda: self.network(cut3r.views_of(photos)))
        return torch.cat(seen)[:, 1:]  # the first is the pose's


@features.register("mapanything-decoder")
class MapAnythingDecoder(mapanything.MapAnything, SceneTokens):
    """The last layer of MapAnything's transformer over all photos, after its final norm, as its heads see it."""

    card = replace(mapanything.MapAnything.card, name="MapAnything decoder", channels=1536)
    weights_files = LibraryModel.weights_files
    raw = False

    def tokens(self, photos: Tensor) -> Tensor:
        ((last, _),) = _given_by(self.network.info_sharing, lambda: self.answers(photos))
        return torch.cat(last.features).flatten(2).transpose(1, 2)


def _given_by(part: Any, run: Callable[[], Any]) -> list[Any]:
    """What a part of a network gives in a run, each time that it is called."""
    seen: list[Any] = []
    with part.register_forward_hook(lambda module, inputs, output: seen.append(output)):
        run()
    return seen


@features.register("depth-anything-3")
class DepthAnything3(SceneTokens):
    """The last layer of DA3's backbone, a DINOv2 whose later blocks see within and over the photos in turn: the last block
    within and the last over all of them, this one normed, side by side, as its heads see them."""

    card, needs = da3.CARD, da3.NEEDS
    sizes = MappingProxyType({name: replace(size, channels=_DA3[name][1]) for name, size in da3.SIZES.items()})
    default_size = "L"
    raw = False

    def build(self) -> Any:
        return self.module("depth_anything_3.api").DepthAnything3(model_name=_DA3[self.size][0])

    def tokens(self, photos: Tensor) -> Tensor:
        layers, _ = self.network.model.backbone(photos[None])
        patches: Tensor = layers[-1][0][0]
        return patches
