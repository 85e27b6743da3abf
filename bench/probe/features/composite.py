"""Names of features on the command line: `dino`, the concatenation `dino+iuvrgb`, the upsampled `dino@jbu`.

`@jbu` is the probe's "+" variant with a classical upsampler in place of a learned one: joint bilateral upsampling (Kopf et
al., "Joint Bilateral Upsampling", SIGGRAPH 2007), guided by the photo. It needs no weights and learns nothing. The learned
ones (`@anyup`, `@naf`, `@loftup`, `@jafar`, `@featup`) are their authors' (bench.probe.features.learned).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import product
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from bench.core.cells import Weights
from bench.core.errors import UserError
from bench.core.interfaces import Card, FeatureInput, FeatureProvider
from bench.core.names import UNTRAINED, ModelName, Part
from bench.core.registry import features
from bench.machine.provenance import Cost, class_identity, measured, provenance
from bench.probe.border import checked_features
from bench.probe.features.cache import Extracted, ExtractionCost, cached_features, feature_key
from bench.probe.features.learned import FACTOR, UPSAMPLERS
from bench.probe.features.map import FeatureMap, feature_map

JOINT_BILATERAL = "jbu"


class Upsampled(FeatureProvider):
    """A patch provider whose map is upsampled, guided by the photo. variant: by what: JOINT_BILATERAL, or of UPSAMPLERS."""

    def __init__(self, provider: FeatureProvider, part: Part, variant: str) -> None:
        self.card = upsampled_card(provider.card, variant)  # type: ignore[misc]
        super().__init__(provider.weights, provider.checkpoint)
        self.weights = provider.weights
        self.provider, self.part, self.variant = provider, part, variant

    def load(self, device: torch.device) -> None:
        self.provider.load(device)
        if self.variant in UPSAMPLERS:
            network = UPSAMPLERS[self.variant].load(self.part, self.card.channels, self.weights != "random")
            self.network = network.to(device)

    def extract(self, images: Tensor) -> Tensor:
        return self.extract_scene(FeatureInput(images))

    def extract_scene(self, scene: FeatureInput) -> Tensor:
        values, guide = self.provider.extract_scene(scene), self.provider.covered(scene.images)
        if self.variant in UPSAMPLERS:
            return UPSAMPLERS[self.variant].upsampled(self.network, values, guide)
        return joint_bilateral(values, guide, FACTOR)

    @property
    def weights_digest(self) -> str:
        return self.provider.weights_digest


def upsampled_card(card: Card, variant: str) -> Card:
    """The card of a provider under an upsampler."""
    by = "with the classical joint bilateral filter, not a learned upsampler"
    license = card.license
    if variant in UPSAMPLERS:
        upsampler = UPSAMPLERS[variant]
        by, license = f"by {upsampler.title} ({upsampler.paper})", f"{license}; {upsampler.title}: {upsampler.license}"
    note = "; ".join(filter(None, (card.note, f"upsampled by {FACTOR} {by}")))
    stride = max(1, card.stride // FACTOR)
    return replace(card, name=f"{card.name}@{variant}", stride=stride, note=note, license=license)


def parse_features(model: str) -> tuple[str, ...]:
    """The parts of a model name: "dino@jbu+iuvrgb" -> ("dino@jbu", "iuvrgb").

    Raises UserError for an empty or repeated part, an unknown provider or an upsampling that does not apply, Unavailable
    where a learned upsampler's code is not on this machine.
    """
    parts = ModelName.parse(model).parts
    for part in parts:
        _provider_class(part)
        if upsampler := UPSAMPLERS.get(_upsampling(part)):
            upsampler.check()
    return tuple(map(str, parts))


def revisions_of(model: str) -> dict[str, str]:
    """The commits that pin the learned upsamplers in a model name, by the upsamplers' names. Raises UserError as
    `parse_features` does for names."""
    named = (_upsampling(part) for part in ModelName.parse(model).parts)
    return {name: UPSAMPLERS[name].commit for name in named if name in UPSAMPLERS}


def card_of(part: str) -> Card:
    """The card of one part of a model name. Raises UserError as `parse_features` does."""
    named = _one(part)
    card = _provider_class(named).card
    variant = _upsampling(named)
    return upsampled_card(card, variant) if variant else card


def build_provider(part: str, weights: Weights = "pretrained", checkpoint: Path | None = None) -> FeatureProvider:
    """The provider of one part of a model name, its network not yet loaded. Raises UserError as `parse_features` does."""
    named = _one(part)
    provider = _provider_class(named)(weights, checkpoint)
    variant = _upsampling(named)
    return Upsampled(provider, named, variant) if variant else provider


def load_provider(provider: FeatureProvider, device: torch.device) -> Cost:
    """Load a provider's network; what that took. Raises Unavailable where its weights or packages cannot be had."""
    with measured(device.type) as cost:
        provider.load(device)
    return cost


def scene_features(
    providers: Mapping[str, FeatureProvider],
    photos: FeatureInput,
    pixels: FeatureInput,
    *,
    channels: int,
    load: Callable[[FeatureProvider], Cost],
    cache: Path | None = None,
) -> FeatureMap:
    """The probe's features of a scene from its providers, by part of the model's name, in the order of the concatenation.

    photos: what patch providers see (long side 512). pixels: the same views on the probe's grid, which per-pixel providers
    describe. load: makes a provider ready and says what that took; called only where the cache does not hold its features.
    cache: the folder of raw patch features (per-pixel ones cost less than reading them). Raises UserError naming a provider
    whose features are not finite.
    """
    parts = []
    for part, provider in providers.items():
        if provider.per_pixel:
            load(provider)
            values = checked_features(part, provider.extract_scene(pixels), pixels.images, provider.card, per_pixel=True)
        else:
            values = patch_features(part, provider, photos, load=load, cache=cache).values.to(photos.images.device)
        parts.append((values, provider.per_pixel))
    (height, width), (rows, columns) = photos.images.shape[-2:], pixels.images.shape[-2:]
    return feature_map(parts, image_size=(height, width), grid=(rows, columns), channels=channels)


def patch_features(
    part: str,
    provider: FeatureProvider,
    photos: FeatureInput,
    *,
    load: Callable[[FeatureProvider], Cost],
    cache: Path | None = None,
) -> Extracted:
    """The raw features of a patch provider, from the cache where it holds them; arguments as for `scene_features`.

    They are kept under the code of the class that is registered under the part's name, too.
    """

    def compute() -> tuple[Tensor, ExtractionCost]:
        device = photos.images.device.type
        loading = load(provider)
        with measured(device) as extraction:
            given = provider.extract_scene(photos)
            if device == "cuda":
                torch.cuda.synchronize()
        values = checked_features(part, given, photos.images, provider.card, per_pixel=False)
        peak = max(loading.peak_memory_mb, extraction.peak_memory_mb)
        read = loading.read_mb + extraction.read_mb
        origin = {**provenance(device), "read_mb": None if math.isnan(read) else round(read, 1)}
        return values, ExtractionCost(loading.seconds, extraction.seconds, peak, device, origin)

    named = _one(part)
    upsampler = UPSAMPLERS.get(_upsampling(named))
    weights = f"{provider.weights_digest}, {upsampler.commit}" if upsampler else provider.weights_digest
    key = feature_key(part, class_identity(_provider_class(named)), weights, photos)
    return Extracted(key, *compute()) if cache is None else cached_features(cache, key, compute)


def joint_bilateral(values: Tensor, photos: Tensor, factor: int, range_sigma: float = 0.1) -> Tensor:
    """Features (B, h, w, C) at (B, h*factor, w*factor, C), guided by the photos (B, 3, H, W) in [0, 1].

    Each output is the mean of the 5x5 nearest features, weighted by a Gaussian of their distance (deviation: 1 feature cell)
    and a Gaussian of their colour's difference in the photo (Kopf et al. 2007, equation 3). Borders repeat the outermost
    feature.
    """
    height, width = values.shape[1:3]
    fine = F.interpolate(
        photos, size=(height * factor, width * factor), mode="bilinear", antialias=True, align_corners=False
    )
    coarse = F.avg_pool2d(fine, factor)
    return torch.cat([_joint_bilateral_one(*one, factor, range_sigma) for one in zip(values, fine, coarse, strict=True)])


def _joint_bilateral_one(values: Tensor, fine: Tensor, coarse: Tensor, factor: int, range_sigma: float) -> Tensor:
    radius = 2
    features_padded = F.pad(values.permute(2, 0, 1)[None], [radius] * 4, mode="replicate")
    coarse_padded = F.pad(coarse[None], [radius] * 4, mode="replicate")
    height, width = values.shape[:2]
    # Where an output pixel lies in its cell, from the cell's centre, in cells.
    inside = (torch.arange(factor, device=values.device) + 0.5) / factor - 0.5
    total = weights = torch.zeros((), device=values.device)
    for row, column in product(range(-radius, radius + 1), repeat=2):
        window = slice(radius + row, radius + row + height), slice(radius + column, radius + column + width)
        colour = (fine - _repeated(coarse_padded[(..., *window)], factor)).square().sum(dim=1, keepdim=True)
        squared = (row - inside).square()[:, None] + (column - inside).square()
        weight = torch.exp(-squared.repeat(height, width) / 2 - colour / (2 * range_sigma**2))
        total = total + weight * _repeated(features_padded[(..., *window)], factor)
        weights = weights + weight
    return (total / weights).permute(0, 2, 3, 1)


def _repeated(cells: Tensor, factor: int) -> Tensor:
    return cells.repeat_interleave(factor, dim=-2).repeat_interleave(factor, dim=-1)


def _one(part: str) -> Part:
    (named,) = ModelName.parse(part).parts
    return named


def _upsampling(part: Part) -> str:
    """The upsampler that a part names; "" for none. Raises UserError for two."""
    named = [variant for variant in part.variants if variant in (JOINT_BILATERAL, *UPSAMPLERS)]
    if len(named) > 1:
        raise UserError(f"{part}: upsampled by {' and '.join(named)}; name one")
    return named[0] if named else ""


def _provider_class(part: Part) -> type[FeatureProvider]:
    provider = features[str(part.model)]
    known = (JOINT_BILATERAL, *UPSAMPLERS, UNTRAINED)
    for variant in part.variants:
        if variant not in known:
            raise UserError(f"{part}: no variant is named {variant!r}; there are {', '.join(known)}")
    upsampling = _upsampling(part)
    if upsampling and provider.per_pixel:
        raise UserError(f"{part}: {part.base} has one vector a pixel already; there is nothing to upsample")
    if upsampling in UPSAMPLERS:
        UPSAMPLERS[upsampling].entry(part)
    return provider
