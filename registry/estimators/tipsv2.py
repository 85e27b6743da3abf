"""TIPSv2 (arXiv:2604.12012): metric depth from DPT heads on its frozen image encoder, through the transformers library."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

from torch import Tensor

from bench.registry import estimators
from bench.types import Card, Prediction, Size
from registry.support.images import at_size, resized
from registry.support.transformers import TransformersEstimator

SIDE = 448
#: Width, blocks, heads, width of the MLP over the tokens', and whether it is a SwiGLU, by the name of the publisher's file.
_ENCODERS = MappingProxyType(
    {
        "b14": (768, 12, 12, 4.0, False),
        "l14": (1024, 24, 16, 4.0, False),
        "so400m14": (1152, 27, 16, 4304 / 1152, False),
        "g14": (1536, 40, 24, 4.0, True),
    }
)


@estimators.register("tipsv2-depth")
class TIPSv2(TransformersEstimator):
    """The photo in [0, 1], squeezed to a square of 448 pixels; depth as the mean of 256 bins of up to 10 m.

    The heads saw indoor scenes alone: outdoors everything beyond 10 m is wrong in metres.
    """

    card = Card(name="TIPSv2", stride=14, supervision="Depth regression", domain="2.5D", data=("WebLI", "NYUv2"),
                license="Apache-2.0", weights="hf:google/tipsv2-{architecture}-dpt", paper="arXiv:2604.12012",
                note="not yet run on real weights")  # fmt: skip
    sizes = MappingProxyType(
        {
            "B": Size("ViT-B/14", 0, 12, 110.2, "b14"),
            "L": Size("ViT-L/14", 0, 24, 337.9, "l14"),
            "so400m": Size("ViT-So400m/14", 0, 27, 453.3, "so400m14"),
            "g": Size("ViT-g/14", 0, 40, 1197.5, "g14"),
        }
    )
    default_size = "B"
    library_class = "Tipsv2DptForDepthEstimation"

    def config(self, transformers: Any) -> Any:
        width, depth, heads, ratio, gated = _ENCODERS[self.architecture]
        return transformers.Tipsv2DptConfig(
            backbone_config=transformers.Tipsv2VisionConfig(
                hidden_size=width,
                num_hidden_layers=depth,
                num_attention_heads=heads,
                mlp_ratio=ratio,
                use_swiglu_ffn=gated,
                out_indices=[round(depth * quarter / 4) for quarter in (1, 2, 3, 4)],
                reshape_hidden_states=False,
            ),
            neck_hidden_sizes=[width // 8, width // 4, width // 2, width],
        )

    def infer(self, image: Tensor) -> Prediction:
        height, width = image.shape[-2:]
        found = self.model(resized(image, SIDE, SIDE, mode="bilinear").clamp(0, 1)).predicted_depth
        return Prediction(depth_metric=at_size(found, height, width))
