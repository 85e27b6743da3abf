"""Stable Diffusion as a feature extractor, with networks of the same kinds a hundred times smaller."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from bench.registry import features
from registry.features import stable_diffusion
from registry.networks.stable_diffusion import autoencoder, unet
from registry.support import images
from registry.support.seeding import SEED

CPU = torch.device("cpu")


def _photos(height: int = 96, width: int = 128, views: int = 1) -> Tensor:
    return torch.rand(views, 3, height, width, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def tiny_diffusion(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The provider with networks of the same kinds, a hundred times smaller."""
    pytest.importorskip("diffusers")
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    text = CLIPTextConfig(hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2)
    latents = {"down_block_types": ("DownEncoderBlock2D",) * 4, "up_block_types": ("UpDecoderBlock2D",) * 4}
    tiny: dict[str, Callable[[], Any]] = {
        "text_encoder": lambda: CLIPTextModel(text),
        "autoencoder": lambda: AutoencoderKL(block_out_channels=(8, 8, 16, 16), norm_num_groups=4, **latents),
        "unet": lambda: UNet2DConditionModel(
            block_out_channels=(8, 16, 32, 32), norm_num_groups=4, cross_attention_dim=32, attention_head_dim=4
        ),
    }
    for name, build in tiny.items():
        monkeypatch.setattr(stable_diffusion, name, build)
    provider = features["sd"]("random")
    provider.load(CPU)
    return provider


@pytest.mark.parametrize(("block", "channels", "stride"), [(0, 32, 32), (2, 16, 8), (3, 8, 8)])
def test_another_block_and_step_of_stable_diffusion(tiny_diffusion: Any, block: int, channels: int, stride: int) -> None:
    member: Any = features[f"sd@block={block},t=261"]
    assert member.card.stride == stride
    provider = member("random")
    provider.load(CPU)
    photos = _photos(96, 128)
    ours = provider.extract(photos)
    assert ours.shape == (1, 96 // stride, 128 // stride, channels)
    unet, seen = provider.network, []
    unet.up_blocks[block]._forward_hooks.clear()
    unet.up_blocks[block].register_forward_hook(lambda module, inputs, output: seen.append(output))
    with torch.no_grad():
        encoded = provider.autoencoder.encode(images.normalised(photos, images.IMAGENET)).latent_dist.mode()
        noise = torch.randn(encoded.shape, generator=torch.Generator().manual_seed(SEED))
        kept = (1 - torch.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2)[:262].prod()
        noisy = kept.sqrt() * encoded * 0.18215 + (1 - kept).sqrt() * noise
        unet(noisy, torch.tensor(261), encoder_hidden_states=provider.prompt)
    assert torch.allclose(ours[0], seen[0][0].permute(1, 2, 0), atol=1e-5)


@pytest.mark.parametrize("size", [(64, 128), (144, 112)])
def test_stable_diffusion_gives_the_second_up_block_of_a_whole_pass(tiny_diffusion: Any, size: tuple[int, int]) -> None:
    photos = _photos(*size, views=2)
    ours = tiny_diffusion.extract(photos)
    assert ours.shape == (2, size[0] // 16, size[1] // 16, 32)
    unet = tiny_diffusion.network
    hooks = unet.up_blocks[1]._forward_hooks
    hooks.clear()
    seen: list[Tensor] = []
    unet.up_blocks[1].register_forward_hook(lambda module, inputs, output: seen.append(output))
    with torch.no_grad():
        encoded = tiny_diffusion.autoencoder.encode(images.normalised(photos[1:], images.IMAGENET)).latent_dist.mode()
        noise = torch.randn(encoded.shape, generator=torch.Generator().manual_seed(SEED))
        beta = torch.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2
        kept = (1 - beta[:2]).prod()  # time step 1: two steps of noise
        noisy = kept.sqrt() * encoded * 0.18215 + (1 - kept).sqrt() * noise
        unet(noisy, torch.tensor(1), encoder_hidden_states=tiny_diffusion.prompt)
    assert torch.allclose(ours[1], seen[0][0].permute(1, 2, 0), atol=1e-5)


def test_the_networks_have_the_channels_of_version_2_1() -> None:
    """Beside the number of parameters, which test_families counts: the denoiser sees the noise alone, in 4 channels."""
    pytest.importorskip("diffusers")
    with torch.device("meta"):
        denoiser, coder = unet(), autoencoder()
    assert (denoiser.conv_in.in_channels, denoiser.conv_out.out_channels) == (4, 4)
    assert [block.attentions[0].transformer_blocks[0].attn1.heads for block in denoiser.down_blocks[:3]] == [5, 10, 20]
    assert isinstance(denoiser.mid_block.attentions[0].proj_in, torch.nn.Linear)
    assert denoiser.mid_block.attentions[0].transformer_blocks[0].attn2.to_k.in_features == 1024
    assert (coder.encoder.conv_in.in_channels, coder.decoder.conv_in.in_channels) == (3, 4)
