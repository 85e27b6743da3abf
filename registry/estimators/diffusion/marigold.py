"""Marigold (arXiv:2312.02145, arXiv:2505.09358): affine-invariant depth, or normals, from a fine-tuned Stable Diffusion."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np
import torch

from bench.registry import estimators
from bench.types import Array, Card, GeometryEstimator, Prediction
from registry.networks.stable_diffusion import SD2_AUTOENCODER, SD2_PIPELINE_FILES, SD2_UNET
from registry.support.images import to_tensor
from registry.support.packages import LibraryModel
from registry.support.pipelines import pipeline_networks
from registry.support.seeding import SEED, seeded


@estimators.register("marigold")
class Marigold(LibraryModel, GeometryEstimator):
    """The library's pipeline with its published default steps, one seeded sample a photo (the paper averages ten)."""

    card = Card(
        name="Marigold",
        arch="SD 2 U-Net",
        supervision="Denoising, depth",
        domain="3D",
        data=("Hypersim", "Virtual KITTI", "LAION"),
        license="see the model card",
        weights="hf:prs-eth/marigold-depth-v1-1",
        paper="arXiv:2312.02145",
        note="one seeded sample, no ensemble",
        parameters=949.6,
    )
    weights_files = SD2_PIPELINE_FILES
    needs = MappingProxyType(dict.fromkeys(("diffusers", "transformers"), "pip install 'vfm3d-bench[sd]'"))
    #: what random weights are built from: Stable Diffusion 2's U-Net with twice the input channels, and its autoencoder
    unet: ClassVar[Mapping[str, Any]] = SD2_UNET
    vae: ClassVar[Mapping[str, Any]] = SD2_AUTOENCODER
    resolution: ClassVar[int] = 768
    #: the library's pipeline, and what its random twin is told of its output
    library_class: ClassVar[str] = "MarigoldDepthPipeline"
    output: ClassVar[Mapping[str, Any]] = MappingProxyType(
        {"prediction_type": "depth", "scale_invariant": True, "shift_invariant": True}
    )
    pipeline: Any

    def load(self, device: torch.device) -> None:
        diffusers = self.module("diffusers")
        self.module("transformers")
        if self.weights == "pretrained":
            folder = self.weights_folder("diffusers")
            networks = pipeline_networks(folder, self.module)
            pipeline = getattr(diffusers, self.library_class).from_pretrained(folder, local_files_only=True, **networks)
        else:
            pipeline = self._random(diffusers)
        self.pipeline, self._device = pipeline.to(device), device
        self.pipeline.set_progress_bar_config(disable=True)

    def sample(self, image: Array) -> Array:
        """(H, W, C) one seeded sample of what the pipeline predicts."""
        generator = torch.Generator(self._device).manual_seed(SEED)
        found = self.pipeline(to_tensor(image, self._device), generator=generator, output_type="np")
        prediction: Array = found.prediction[0]
        return prediction

    def predict(self, image: Array, intrinsics: Array | None = None) -> Prediction:
        return Prediction(depth_affine_invariant=self.sample(image)[..., 0])

    @classmethod
    def _networks(cls, diffusers: Any) -> tuple[Callable[[], Any], Callable[[], Any]]:
        return (
            lambda: diffusers.UNet2DConditionModel(**cls.unet),
            lambda: diffusers.AutoencoderKL(latent_channels=4, **cls.vae),
        )

    def _random(self, diffusers: Any) -> Any:
        unet, autoencoder = seeded(lambda: [build().eval() for build in self._networks(diffusers)])
        pipeline = getattr(diffusers, self.library_class)(
            unet=unet,
            vae=autoencoder,
            scheduler=diffusers.DDIMScheduler(prediction_type="v_prediction", timestep_spacing="trailing"),
            text_encoder=None,
            tokenizer=None,
            default_denoising_steps=4,
            default_processing_resolution=self.resolution,
            **self.output,
        )
        # The text is always empty: its two tokens' embedding is a constant, zero where there is no text encoder.
        pipeline.empty_text_embedding = torch.zeros(1, 2, self.unet["cross_attention_dim"])
        return pipeline


@estimators.register("marigold-normals")
class MarigoldNormals(Marigold):
    """The library's pipeline for normals, of which only normals are measured. Its axes point right, up and to the observer
    (diffusers, pipelines/marigold/marigold_image_processing.py, `visualize_normals`); here they point right, down and away.
    """

    card = replace(
        Marigold.card,
        name="Marigold normals",
        supervision="Denoising, normals",
        domain="2.5D",
        data=("Hypersim", "InteriorVerse", "Sintel", "LAION"),
        weights="hf:prs-eth/marigold-normals-v1-1",
        paper="arXiv:2505.09358",
    )
    library_class = "MarigoldNormalsPipeline"
    output = MappingProxyType({"prediction_type": "normals", "use_full_z_range": True})

    def predict(self, image: Array, intrinsics: Array | None = None) -> Prediction:
        return Prediction(normal=self.sample(image) * np.array([1, -1, -1], np.float32))
