"""A family in one class: `bench run --plugin example_family.py --models 'example-deit:*' --weights random`."""

from types import MappingProxyType

import timm
import torch

from bench.registry import features
from bench.types import Card, FeatureProvider, Setting, Size


@features.register("example-deit")
class DeiT(FeatureProvider):
    """DeiT in two sizes; `example-deit:S@layer=6` is the sixth block of the larger one."""

    card = Card(name="DeiT", stride=16, supervision="Classification", weights="timm:{architecture}")
    sizes = MappingProxyType({"Ti": Size("ViT-Ti/16", 192, 12, 5.5, "deit_tiny_patch16_224.fb_in1k"),
                              "S": Size("ViT-S/16", 384, 12, 21.7, "deit_small_patch16_224.fb_in1k")})  # fmt: skip
    default_size = "Ti"

    @classmethod
    def offers(cls) -> dict[str, Setting]:
        return {"layer": Setting(range(1, 13), default=12)}

    def load(self, device: torch.device) -> None:
        torch.manual_seed(0)  # for --weights random
        options = {"pretrained": self.weights == "pretrained", "dynamic_img_size": True}
        self.network = timm.create_model(self.architecture, **options).eval().to(device)

    @torch.no_grad()
    def extract(self, images: torch.Tensor) -> torch.Tensor:  # (B, 3, H, W) in [0, 1] -> (B, h, w, C)
        blocks, photos = [self.setting("layer") - 1], (images - 0.45) / 0.23
        (found,) = self.network.forward_intermediates(photos, blocks, norm=False, intermediates_only=True)
        return found.permute(0, 2, 3, 1)
