"""GeoWizard (arXiv:2403.12013): depth and normals in one diffusion of a fine-tuned Stable Diffusion 2; affine-invariant.

Not the authors' code: diffusers' U-Net with their joint attention, checked against theirs (github.com/fuxiao0719/GeoWizard).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from scipy.optimize import minimize
from torch import Tensor

from bench.registry import estimators
from bench.types import Array, Card, GeometryEstimator, Prediction, UserError
from registry.networks.stable_diffusion import SD2_AUTOENCODER, SD2_UNET, autoencoder_keys
from registry.support.checkpoints import State, load_strictly, read_state, without
from registry.support.images import CLIP, Statistics, normalised, resized, to_tensor
from registry.support.packages import LibraryModel
from registry.support.seeding import SEED, seeded

LATENT_SCALE = 0.18215
DEPTH, NORMALS = (0.0, 1.0), (1.0, 0.0)  #: the geometry switcher's classes
INDOOR = (1.0, 0.0, 0.0)  #: the scene decoupler's classes are indoor, outdoor, object
CLIP_SIDE = 224


@estimators.register("geowizard")
class GeoWizard(LibraryModel, GeometryEstimator):
    """GeoWizard's first version. Every denoising step sees depth and normals together, and both are given.

    The domain is "indoor" for every photo, since the photo does not tell it: the authors' default, which they find to suit
    most scenes. `samples` and `steps` are their documented default; for academic comparison they ask for 10 and 50. Normals
    have the axes that the network was trained on, which point right, down and away, and face the camera
    (training/dataloader/file_io.py): the suite's. The authors' pipeline turns its answer round.
    """

    card = Card(
        name="GeoWizard",
        arch="SD 2 U-Net",
        supervision="Denoising, depth and normals",
        domain="3D",
        data=("Hypersim", "Replica", "3D Ken Burns", "GeoWizard's simulation", "Objaverse", "LAION"),
        license="CC BY 4.0; see the model card",
        weights="hf:lemonaddie/Geowizard",
        paper="arXiv:2403.12013",
        note="domain indoor, 3 seeded samples of 10 steps; not yet run on the published weights",
        parameters=1248.8,
    )
    weights_files: ClassVar[tuple[str, ...]] = (
        "model_index.json",
        "feature_extractor/preprocessor_config.json",
        "image_encoder/config.json",
        "image_encoder/model.safetensors",
        "scheduler/scheduler_config.json",
        "unet/config.json",
        "unet/diffusion_pytorch_model.safetensors",
        "vae/config.json",
        "vae/diffusion_pytorch_model.bin",
    )
    needs = MappingProxyType(dict.fromkeys(("diffusers", "transformers"), "pip install 'vfm3d-bench[sd]'"))
    #: what random weights are built from: Stable Diffusion 2's U-Net and autoencoder, CLIP ViT-L/14's image encoder
    unet: ClassVar[Mapping[str, Any]] = {
        **SD2_UNET,
        "cross_attention_dim": 768,
        "class_embed_type": "projection",
        "projection_class_embeddings_input_dim": 10,
    }
    vae: ClassVar[Mapping[str, Any]] = SD2_AUTOENCODER
    image_encoder: ClassVar[Mapping[str, Any]] = {
        "hidden_size": 1024,
        "intermediate_size": 4096,
        "num_hidden_layers": 24,
        "num_attention_heads": 16,
        "patch_size": 14,
        "projection_dim": 768,
    }
    scheduler: ClassVar[Mapping[str, Any]] = {
        "beta_start": 0.00085,
        "beta_end": 0.012,
        "beta_schedule": "scaled_linear",
        "prediction_type": "v_prediction",
        "clip_sample": False,
        "set_alpha_to_one": False,
        "steps_offset": 1,
    }
    resolution: ClassVar[int] = 768  #: of the long side, smaller photos enlarged
    samples: ClassVar[int] = 3
    steps: ClassVar[int] = 10
    denoiser: Any
    autoencoder: Any
    encoder: Any

    def load(self, device: torch.device) -> None:
        diffusers, transformers = self.module("diffusers"), self.module("transformers")
        folder = self._folder() if self.weights == "pretrained" else None
        networks = seeded(lambda: [build() for build in self._networks(diffusers, transformers, folder)])
        if folder is not None:
            files = [folder / file for file in self.weights_files if file.endswith((".safetensors", ".bin"))]
            for network, file in zip(networks, files, strict=True):
                load_strictly(network, present_names(read_state(file)), file)
        self.encoder, self.denoiser, self.autoencoder = (
            network.eval().requires_grad_(False).to(device) for network in networks
        )
        join_attention(self.denoiser)
        self.statistics = CLIP if folder is None else _statistics(folder / "feature_extractor/preprocessor_config.json")
        self._scheduler = diffusers.DDIMScheduler.from_config(
            self.scheduler if folder is None else diffusers.DDIMScheduler.load_config(folder / "scheduler")
        )
        self._device = device

    def _folder(self) -> Path:
        folder = self.weights_folder("diffusers")
        for file in self.weights_files:
            if not (folder / file).is_file():
                raise UserError(f"{folder}: {file} is missing; {self.card.weights} shows the layout that is expected")
        return folder

    @classmethod
    def _networks(cls, diffusers: Any, transformers: Any, folder: Path | None) -> tuple[Callable[[], Any], ...]:
        """Image encoder, denoiser, autoencoder, as the folder configures them, else as published."""
        unet, vae, settings = diffusers.UNet2DConditionModel, diffusers.AutoencoderKL, transformers.CLIPVisionConfig
        if folder is None:
            configs = settings(**cls.image_encoder), cls.unet, {"latent_channels": 4, **cls.vae}
        else:
            encoder = settings.from_pretrained(folder / "image_encoder", local_files_only=True)
            configs = encoder, unet.load_config(folder / "unet"), vae.load_config(folder / "vae")
        return (
            lambda: transformers.CLIPVisionModelWithProjection(configs[0]),
            lambda: unet.from_config(configs[1]),
            lambda: vae.from_config(configs[2]),
        )

    @torch.no_grad()
    def predict(self, image: Array, intrinsics: Array | None = None) -> Prediction:
        height, width = image.shape[:2]
        scale = min(self.resolution / width, self.resolution / height)
        size = int(width * scale), int(height * scale)
        photo = to_tensor(np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BICUBIC)), self._device)
        latent = self.autoencoder.encode(2 * photo - 1).latent_dist.mode() * LATENT_SCALE
        context = self.encoder(normalised(resized(photo, CLIP_SIDE, CLIP_SIDE), self.statistics)).image_embeds[:, None]
        generator = torch.Generator().manual_seed(SEED)
        noise = torch.randn((self.samples, *latent.shape[1:]), generator=generator).to(latent)
        depths, normals = zip(*(self._sample(latent, context, start[None]) for start in noise), strict=True)
        depth = ensembled(torch.cat(depths)).cpu().numpy()
        enlarged = np.asarray(Image.fromarray(depth).resize((width, height), Image.Resampling.BICUBIC))
        normal = F.interpolate(most_central(torch.cat(normals))[None], (height, width), mode="nearest")[0]
        return Prediction(
            depth_affine_invariant=enlarged.clip(depth.min(), depth.max()), normal=normal.permute(1, 2, 0).cpu().numpy()
        )

    def _sample(self, latent: Tensor, context: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Depth (1, h, w) in [0, 1] and normals (1, 3, h, w), denoised from one noise (1, 4, h / 8, w / 8)."""
        photo, geometry, context = (each.expand(2, *each.shape[1:]) for each in (latent, noise, context))
        labels = torch.tensor([_label(DEPTH), _label(NORMALS)], device=latent.device)
        self._scheduler.set_timesteps(self.steps, device=latent.device)
        for step in self._scheduler.timesteps:
            found = self.denoiser(
                torch.cat([photo, geometry], dim=1), step, encoder_hidden_states=context, class_labels=labels
            )
            geometry = self._scheduler.step(found.sample, step, geometry).prev_sample
        depth, normal = (self.autoencoder.decode(each[None] / LATENT_SCALE).sample for each in geometry)
        return (depth.mean(dim=1).clamp(-1, 1) + 1) / 2, F.normalize(normal, dim=1)


def join_attention(unet: Any) -> None:
    """Let depth and normals, the two halves of a batch, attend to each other in every self-attention layer.

    Keys and values are linear in the tokens, so those of both maps, one after the other, stand in for a map's own. The
    authors' code (models/attention.py) does so with xformers only; without it, it falls back to two maps each on its own.
    """

    def joined(layer: Any, arguments: tuple[Tensor], options: dict[str, Any]) -> tuple[tuple[Tensor], dict[str, Any]]:
        both = torch.cat(arguments[0].chunk(2), dim=1)
        return arguments, {**options, "encoder_hidden_states": both.repeat(2, 1, 1)}

    for name, layer in unet.named_modules():
        if name.endswith(".attn1"):
            layer.register_forward_pre_hook(joined, with_kwargs=True)


def ensembled(depths: Tensor) -> Tensor:
    """The median (h, w) of depth maps (n, h, w) after bringing them together, each by a scale and a shift.

    As the authors do it (utils/depth_ensemble.py, after Marigold): from each map stretched to [0, 1], two steps of BFGS on
    the root of the mean squared distance between all pairs, plus 0.02 times how far the median's range is from [0, 1].
    The gradient here is exact. Theirs comes from differences of 1.5e-8 in single precision: rounding decides where it leads.
    """
    if len(depths) == 1:
        return depths[0]
    low, high = depths.flatten(1).amin(dim=1), depths.flatten(1).amax(dim=1)
    scale = 1 / (high - low).clamp_min(1e-6)  # a constant map has no scale to bring it to
    first, second = torch.combinations(torch.arange(len(depths), device=depths.device)).unbind(dim=1)

    def aligned(variables: Tensor) -> Tensor:
        scale, shift = variables.to(depths).chunk(2)
        return depths * scale[:, None, None] + shift[:, None, None]

    @torch.enable_grad()
    def cost(variables: Array) -> tuple[float, Array]:
        leaf = torch.from_numpy(variables).requires_grad_()
        maps = aligned(leaf)
        middle = maps.median(dim=0).values
        apart = (maps[first] - maps[second]).square().mean().clamp_min(1e-12).sqrt()
        value = apart + 0.02 * (middle.min().abs() + (1 - middle.max()).abs())
        (gradient,) = torch.autograd.grad(value, leaf)
        return value.item(), gradient.numpy()

    start = torch.cat([scale, -scale * low]).double().cpu().numpy()
    found = minimize(cost, start, jac=True, method="BFGS", tol=1e-3, options={"maxiter": 2})
    return aligned(torch.from_numpy(found.x)).median(dim=0).values


def most_central(normals: Tensor) -> Tensor:
    """The one (3, h, w) of unit normals (n, 3, h, w) that is nearest to the directions of their mean angles.

    As the authors choose it (utils/normal_ensemble.py): the mean of azimuths and that of angles to the optical axis, which
    they take of normals turned round; then the map whose angles to these directions are the smallest in all.
    """
    x, y, z = -normals.movedim(1, 0)
    azimuth, polar = torch.atan2(y, x).mean(dim=0), torch.atan2(torch.hypot(x, y), z).mean(dim=0)
    middle = -torch.stack([polar.sin() * azimuth.cos(), polar.sin() * azimuth.sin(), polar.cos()])
    apart = (normals * middle).sum(dim=1).clamp(-0.999, 0.999).acos()
    return normals[int(apart.flatten(1).sum(dim=1).argmin())]


def _label(geometry: tuple[float, ...]) -> list[float]:
    """The ten numbers of a map's class embedding: sines, then cosines, of its geometry's class and of the domain's."""
    return [float(wave(value)) for classes in (geometry, INDOOR) for wave in (np.sin, np.cos) for value in classes]


def present_names(state: State) -> State:
    """Keys as diffusers and transformers name them now, from a file of any version."""
    return autoencoder_keys(without(state, r".*position_ids$"))


def _statistics(path: Path) -> Statistics:
    content = json.loads(path.read_text())
    return tuple(content["image_mean"]), tuple(content["image_std"])
