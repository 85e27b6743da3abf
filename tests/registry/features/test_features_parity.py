"""DINOv2 with registers and DINOv3 against the transformers library's models, its makers' releases, on the same weights."""

from __future__ import annotations

import re
from types import MappingProxyType
from typing import Any

import pytest
import torch
from torch import Tensor

from bench.registry import features
from registry.support.checkpoints import renamed

transformers = pytest.importorskip("transformers")
CPU = torch.device("cpu")
WIDTH, HEADS, DEPTH = 384, 6, 2


def _provider(name: str) -> Any:
    """The small size cut to two blocks, its weights spread so that no zero and no tiny scale hides anything."""
    cls: Any = features[name]
    provider = type("Shallow", (cls,), {"options": MappingProxyType({**cls.options, "depth": DEPTH})})("random")
    provider.load(CPU)
    generator = torch.Generator().manual_seed(1)
    for parameter in provider.network.parameters():
        parameter.add_(torch.randn(parameter.shape, generator=generator) * (0.1 if parameter.ndim == 1 else 0.03))
    return provider


def _renamed(state: dict[str, Tensor], rules: list[tuple[str, str]]) -> dict[str, Tensor]:
    """timm's keys as the library names them; fused projections in their three parts."""
    result: dict[str, Tensor] = {}
    for key, value in renamed(state, rules).items():
        if ".attn.qkv." in key:
            for part, piece in zip("qkv", value.chunk(3), strict=True):
                result[key.replace(".attn.qkv.", f".attention.{part}_proj.")] = piece
        else:
            result[key.replace(".attn.proj.", ".attention.o_proj.")] = value
    return result


def _last_block(model: Any, blocks: Any, photos: Tensor) -> Tensor:
    """The patch tokens (1, n, C) after the last block, before the final norm; a class token and four registers go first."""
    seen: list[Any] = []
    blocks[-1].register_forward_hook(lambda module, inputs, output: seen.append(output))
    with torch.no_grad():
        model(photos)
    tokens: Tensor = seen[0][0] if isinstance(seen[0], tuple) else seen[0]
    return tokens[:, 5:]


def test_dinov2_with_registers_is_the_librarys() -> None:
    provider = _provider("dinov2-reg:S")
    config = transformers.Dinov2WithRegistersConfig(
        hidden_size=WIDTH, num_hidden_layers=DEPTH, num_attention_heads=HEADS, image_size=518, patch_size=14
    )
    model = transformers.Dinov2WithRegistersModel(config).eval()
    rules = [
        (r"^cls_token$", "embeddings.cls_token"),
        (r"^reg_token$", "embeddings.register_tokens"),
        (r"^patch_embed\.proj\.", "embeddings.patch_embeddings.projection."),
        (r"^blocks\.", "encoder.layer."),
        (r"\.ls([12])\.gamma$", r".layer_scale\1.lambda1"),
        (r"^norm\.", "layernorm."),
    ]
    state = _renamed(provider.network.state_dict(), rules)
    position = state.pop("pos_embed")  # timm's has none for the class token
    state["embeddings.position_embeddings"] = torch.cat([torch.zeros(1, 1, WIDTH), position], dim=1)
    unused = model.load_state_dict(state, strict=False)
    assert set(unused.missing_keys) <= {"embeddings.mask_token"}
    assert not unused.unexpected_keys
    photos = torch.rand(1, 3, 98, 140, generator=torch.Generator().manual_seed(0))
    ours = provider.extract(photos)
    theirs = _last_block(model, model.encoder.layer, provider.prepared(photos))
    assert ours.shape == (1, 7, 10, WIDTH)
    assert torch.allclose(ours.flatten(1, 2), theirs, atol=1e-4)


def test_dinov3_is_the_librarys() -> None:
    provider = _provider("dinov3:S")
    config = transformers.DINOv3ViTConfig(
        hidden_size=WIDTH, num_hidden_layers=DEPTH, num_attention_heads=HEADS, intermediate_size=1536, num_register_tokens=4
    )
    model = transformers.DINOv3ViTModel(config).eval()
    rules = [
        (r"^cls_token$", "embeddings.cls_token"),
        (r"^reg_token$", "embeddings.register_tokens"),
        (r"^patch_embed\.proj\.", "embeddings.patch_embeddings."),
        (r"^blocks\.", "model.layer."),
        (r"\.gamma_([12])$", r".layer_scale\1.lambda1"),
        (r"\.mlp\.fc1\.", ".mlp.up_proj."),
        (r"\.mlp\.fc2\.", ".mlp.down_proj."),
    ]
    missing = model.load_state_dict(_renamed(provider.network.state_dict(), rules), strict=False)
    assert not missing.unexpected_keys
    assert all(re.search(r"(q|v)_proj\.bias$|mask_token$", key) for key in missing.missing_keys), missing.missing_keys
    for key, value in model.named_parameters():
        if re.search(r"(q|v)_proj\.bias$", key):
            value.data.zero_()  # timm's network has none
    photos = torch.rand(1, 3, 96, 128, generator=torch.Generator().manual_seed(0))
    ours = provider.extract(photos)
    theirs = _last_block(model, model.model.layer, provider.prepared(photos))
    assert ours.shape == (1, 6, 8, WIDTH)
    assert torch.allclose(ours.flatten(1, 2), theirs, atol=1e-4)
