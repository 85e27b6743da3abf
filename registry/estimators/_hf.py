"""What the estimators share that come from a library: lazy imports, weights from the hub or seeded random ones, images
in and out."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from bench.machine.weights import locate, sources
from bench.types import Array, GeometryEstimator, Prediction, Unavailable, UserError
from registry.features._timm import HALF, IMAGENET, bytes_of, normalised, seeded

__all__ = ["HALF", "IMAGENET", "normalised"]  # what the point-map initialisers, too, take from here

#: Stable Diffusion 2's U-Net, with twice the input channels for an image beside the noise, and its autoencoder, as diffusers
#: configures them.
SD2_UNET = MappingProxyType(
    {
        "sample_size": 96,
        "in_channels": 8,
        "cross_attention_dim": 1024,
        "attention_head_dim": [5, 10, 20, 20],
        "use_linear_projection": True,
    }
)
SD2_AUTOENCODER = MappingProxyType(
    {
        "block_out_channels": [128, 256, 512, 512],
        "down_block_types": ["DownEncoderBlock2D"] * 4,
        "up_block_types": ["UpDecoderBlock2D"] * 4,
        "layers_per_block": 2,
        "sample_size": 768,
    }
)


def required(module: str, name: str, remedy: str) -> Any:
    """An optional module. Raises Unavailable, saying which estimator needs it and what to install."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        raise Unavailable(f"{name}: needs the package {package} ({error}); {remedy}") from error


def to_tensor(image: Array, device: torch.device) -> Tensor:
    """(1, 3, H, W) float32 in [0, 1] of an image (H, W, 3) uint8."""
    return torch.from_numpy(np.array(image)).to(device).permute(2, 0, 1)[None].float() / 255


def resized(values: Tensor, height: int, width: int, mode: str = "bicubic", align_corners: bool = False) -> Tensor:
    """(B, C, height, width), antialiased where it shrinks (not with align_corners)."""
    return F.interpolate(values, (height, width), mode=mode, align_corners=align_corners, antialias=not align_corners)


def at_size(values: Tensor, height: int, width: int) -> Array:
    """A predicted map (1, h, w) bilinearly at (height, width), float32."""
    return F.interpolate(values[:, None].float(), (height, width), mode="bilinear", align_corners=False)[0, 0].cpu().numpy()


def short_side_at(image: Tensor, side: int, multiple: int) -> tuple[int, int]:
    """Height and width for an image (B, 3, H, W): the shorter side near `side`, the aspect kept, multiples of `multiple`."""
    scale = side / min(image.shape[-2:])
    height, width = (max(1, round(length * scale / multiple)) * multiple for length in image.shape[-2:])
    return height, width


class LibraryEstimator(GeometryEstimator):
    """An estimator with weights in files. weights_files: under the card's source, where the source names no file."""

    weights_files: ClassVar[tuple[str, ...]] = ("config.json", "model.safetensors")

    def module(self, name: str) -> Any:
        """A module of one of the packages that the estimator `needs`. Raises Unavailable where it cannot be imported."""
        return required(name, self.card.name, self.needs[name.partition(".")[0]])

    def weights_file(self) -> Path:
        """The file of the weights: --checkpoint, or the publisher's. Raises Unavailable where it cannot be had."""
        self._must_be_pretrained()
        (source,) = sources(type(self))
        return self.checkpoint or locate(source, self.card.name)

    def weights_folder(self, library: str) -> Path:
        """The folder of configuration and weights, as `library` saves it: --checkpoint, or the publisher's.

        Raises Unavailable where it cannot be had, UserError where --checkpoint is no such folder.
        """
        self._must_be_pretrained()
        first = self.weights_files[0]
        if self.checkpoint is None:
            found, *_ = (locate(source, self.card.name) for source in sources(type(self)))
            return found.parent
        if not (self.checkpoint / first).is_file():
            raise UserError(f"{self.checkpoint}: expected a folder as {library} saves it: {first} and weights")
        return self.checkpoint

    def _must_be_pretrained(self) -> None:
        if self.weights == "random":
            raise Unavailable(f"{self.card.name}: its package builds no network without its checkpoint; run it with weights")


class TransformersEstimator(LibraryEstimator):
    """A depth model of the transformers library. Subclasses give `architecture`, `config` and `infer`.

    architecture: the model's class there. --checkpoint is a folder as that library saves it.
    """

    architecture: ClassVar[str]
    needs = MappingProxyType({"transformers": "pip install 'vfm3d-bench[hf]'"})
    model: Any

    def config(self, transformers: Any) -> Any:
        """The configuration that random weights are built from: the published model's."""
        raise NotImplementedError(f"{type(self).__name__} must implement config(transformers)")

    def infer(self, image: Tensor) -> Prediction:
        """The prediction for an image (1, 3, H, W) in [0, 1], on the model's device."""
        raise NotImplementedError(f"{type(self).__name__} must implement infer(image)")

    def load(self, device: torch.device) -> None:
        transformers = self.module("transformers")
        network = getattr(transformers, self.architecture)
        if self.weights == "pretrained":
            model = _pretrained(network, self.weights_folder("transformers"))
        else:
            model = seeded(lambda: network(self.config(transformers)))
        self.model, self._device = model.eval().requires_grad_(False).to(device), device

    @classmethod
    def parameter_bytes(cls) -> int | None:
        transformers = importlib.import_module("transformers")
        return bytes_of(lambda: getattr(transformers, cls.architecture)(cls("random").config(transformers)))

    @torch.no_grad()
    def predict(self, image: Array, intrinsics: Array | None = None) -> Prediction:
        return self.infer(to_tensor(image, self._device))


def _pretrained(network: Any, folder: Path) -> Any:
    """All weights of a folder. The library would fill what is missing with random numbers: that is refused here."""
    try:
        model, report = network.from_pretrained(folder, local_files_only=True, dtype=torch.float32, output_loading_info=True)
    except (OSError, ValueError, RuntimeError) as error:
        raise UserError(f"{folder}: the weights cannot be loaded: {error}") from error
    missing = [*report["missing_keys"], *(str(key) for key in report["mismatched_keys"])]
    if missing:
        raise UserError(f"{folder}: the weights do not fit: {len(missing)} missing or misshapen, first {missing[0]}")
    return model
