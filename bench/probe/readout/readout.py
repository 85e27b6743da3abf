"""The readout: one two-layer perceptron per Gaussian attribute, from a pixel's feature to the attribute.

Feat2GS (arXiv:2412.09606), section 3. The official code upsamples the patch features to the pixels and evaluates every layer
there. Bilinear upsampling is linear and its weights sum to one, so the first layers commute with it:
W upsample(f) + b = upsample(W f + b). They are applied on the patch grid; what is left for a pixel is to interpolate the
pre-activations, the ReLU and the small second layer (`bench.probe.readout.patches`). Exact up to rounding. Features that
differ from pixel to pixel go through both layers there (`bench.probe.readout.pixels`).
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Sequence

from torch import Tensor, nn

from bench.core.errors import UserError
from bench.core.protocols import Precision
from bench.machine.seeding import seeded_generators
from bench.probe.features.map import FeatureMap
from bench.probe.readout.patches import patch_readout
from bench.probe.readout.pixels import Layer, pixel_readout

#: Outputs per Gaussian of each head: position, logarithm of the scale, quaternion, opacity logit, spherical harmonics.
HEAD_CHANNELS = {"position": 3, "log_scale": 3, "rotation": 4, "opacity": 1, "colour_dc": 3, "colour_rest": 45}


class Readout(nn.Module):
    """One perceptron per head: Linear(channels, hidden), ReLU, Linear(hidden, HEAD_CHANNELS[head]).

    hidden: `channels` by default. Initialised as torch initialises linear layers, from torch's global generator or, where a
    `seed` is given, from that seed (the global generator is then left as it was). precision: of all matrix products.
    threads: of the C++ kernel for patches; they do not change the result. The layers of a head are `heads[head]`. Raises
    UserError for heads that are unknown, repeated or none.
    """

    def __init__(
        self,
        channels: int,
        heads: Sequence[str],
        *,
        hidden: int | None = None,
        seed: int | None = None,
        precision: Precision = "float32",
        threads: int = 1,
    ) -> None:
        super().__init__()
        if not heads or len(set(heads)) < len(heads) or not set(heads) <= set(HEAD_CHANNELS):
            raise UserError(f"heads {list(heads)}: name one or several of {', '.join(HEAD_CHANNELS)}, each once")
        self.channels = channels
        self.precision = precision
        self.threads = threads
        self._spare: list[Tensor] = []
        hidden = hidden or channels
        with contextlib.nullcontext() if seed is None else seeded_generators(seed):
            self.heads = nn.ModuleDict(
                {
                    head: nn.Sequential(nn.Linear(channels, hidden), nn.ReLU(), nn.Linear(hidden, HEAD_CHANNELS[head]))
                    for head in heads
                }
            )

    def forward(
        self, features: FeatureMap, pixels: Tensor | None = None, *, detach_for: Collection[str] = ()
    ) -> dict[str, Tensor]:
        """The attributes (N, HEAD_CHANNELS[head]) of N pixels.

        pixels: (N,) int64, ascending flat indices into (B, height, width); None = all of them. Frozen patch features go the
        fast way; per-pixel ones, and ones that want a gradient, go through `forward_pixels` with `detach_for`.
        """
        if features.channels != self.channels:
            raise UserError(f"the readout takes {self.channels} channels, and the features have {features.channels}")
        if features.per_pixel or features.values.requires_grad:
            flat = features.upsampled().flatten(0, 2)
            return self.forward_pixels(flat if pixels is None else flat[pixels], detach_for=detach_for)
        grid = (features.height, features.width)
        outputs = patch_readout(
            features.values, grid, pixels, self._layers(0), self._layers(2), precision=self.precision, threads=self.threads
        )
        return dict(zip(self.heads, outputs, strict=True))

    def forward_pixels(self, features: Tensor, detach_for: Collection[str] = ()) -> dict[str, Tensor]:
        """The attributes of features (N, C), evaluated per pixel as the paper does.

        A gradient flows into the features, except from the heads named in `detach_for`.
        """
        attached = [head not in detach_for for head in self.heads]
        outputs = pixel_readout(
            features, attached, self._layers(0), self._layers(2), precision=self.precision, spare=self._spare
        )
        return dict(zip(self.heads, outputs, strict=True))

    def _layers(self, number: int) -> list[Layer]:
        """Weight and bias of each head's first (0) or second (2) layer."""
        return [
            (stack.get_parameter(f"{number}.weight"), stack.get_parameter(f"{number}.bias")) for stack in self.heads.values()
        ]
