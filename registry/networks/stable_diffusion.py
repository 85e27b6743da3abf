"""Stable Diffusion 2's networks as diffusers and transformers build them, and the keys of their files, old and new."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

from registry.support.checkpoints import State, renamed, without

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
#: The files of a pipeline of it in diffusers' layout.
SD2_PIPELINE_FILES = (
    "model_index.json",
    "scheduler/scheduler_config.json",
    "text_encoder/config.json",
    "text_encoder/model.safetensors",
    "tokenizer/merges.txt",
    "tokenizer/special_tokens_map.json",
    "tokenizer/tokenizer_config.json",
    "tokenizer/vocab.json",
    "unet/config.json",
    "unet/diffusion_pytorch_model.safetensors",
    "vae/config.json",
    "vae/diffusion_pytorch_model.safetensors",
)


def text_encoder() -> Any:
    """The text encoder of version 2.1: OpenCLIP ViT-H without its last layer."""
    from transformers import CLIPTextConfig, CLIPTextModel

    return CLIPTextModel(
        CLIPTextConfig(
            hidden_size=1024,
            intermediate_size=4096,
            num_hidden_layers=23,
            num_attention_heads=16,
            hidden_act="gelu",
            projection_dim=512,
        )
    )


def autoencoder() -> Any:
    """The autoencoder of versions 1 and 2."""
    from diffusers import AutoencoderKL

    return AutoencoderKL(**SD2_AUTOENCODER)


def unet() -> Any:
    """The denoiser of version 2.1."""
    from diffusers import UNet2DConditionModel

    return UNet2DConditionModel(**{**SD2_UNET, "in_channels": 4})


def text_keys(state: State) -> State:
    """Keys as transformers 5 names them, from a file of any version."""
    return renamed(without(state, r".*position_ids$"), [(r"^text_model\.", "")])


def autoencoder_keys(state: State) -> State:
    """The attention layers' present names, from a file that has their first ones."""
    names = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}
    return renamed(state, [(rf"(\.attentions\.\d+)\.{old}\.", rf"\1.{new}.") for old, new in names.items()])
