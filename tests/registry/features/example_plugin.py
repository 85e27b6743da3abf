"""Add your model in one class: `bench run --plugin example_plugin.py --models example-resnet --weights random`."""

import timm
import torch

from bench.registry import features
from bench.types import Card, FeatureProvider


@features.register("example-resnet")
class ResNet(FeatureProvider):
    """ResNet-18, the stage with one vector for every 16 pixels."""

    card = Card(name="ResNet-18", channels=256, stride=16, supervision="Classification", weights="timm:resnet18.a1_in1k")

    def load(self, device: torch.device) -> None:
        torch.manual_seed(0)  # for --weights random
        options = {"pretrained": self.weights == "pretrained", "features_only": True, "out_indices": (3,)}
        self.network = timm.create_model("resnet18.a1_in1k", **options).eval().to(device)

    @torch.no_grad()
    def extract(self, images: torch.Tensor) -> torch.Tensor:  # (B, 3, H, W) in [0, 1] -> (B, h, w, C)
        return self.network((images - 0.45) / 0.23)[0].permute(0, 2, 3, 1)
