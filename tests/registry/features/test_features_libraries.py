"""Families against another library's model on the same weights, and the settings that each must not have.

The truth is the transformers library, in which these models' makers or its own maintainers publish them; timm is what is
under test. Networks are cut to a few blocks and carry seeded random weights.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

import pytest
import timm
import torch
import torch.nn.functional as F
from torch import Tensor

from bench.registry import features
from registry.features.mae import counted_position
from registry.features.sam import stretched_positions
from registry.support import images
from registry.support.checkpoints import renamed

transformers = pytest.importorskip("transformers")
CPU = torch.device("cpu")


def _photos(height: int = 96, width: int = 128) -> Tensor:
    return torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(0))


def _loaded(name: str, **options: Any) -> Any:
    """The provider with other options of its network, its weights spread so that no zero or tiny scale hides anything."""
    cls: Any = features[name]
    provider = type("Cut", (cls,), {"options": MappingProxyType({**cls.options, **options})})("random")
    provider.load(CPU)
    _spread(provider.network)
    return provider


def _spread(network: Any) -> None:
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * (0.1 if parameter.ndim == 1 else 0.03))


def _difference(first: Tensor, second: Tensor) -> float:
    return float((first - second).norm() / first.norm())


@pytest.mark.parametrize(("name", "model"), [("convnext:T", "ConvNext"), ("convnextv2:A", "ConvNextV2")])
def test_convnext_is_the_librarys(name: str, model: str) -> None:
    provider = _loaded(name, depths=(1, 1, 2, 1))
    widths = [provider.card.channels * 2**stage // 4 for stage in range(4)]
    config = getattr(transformers, f"{model}Config")(depths=[1, 1, 2, 1], hidden_sizes=widths)
    theirs = getattr(transformers, f"{model}Model")(config).eval()
    rules = [
        (r"^stem\.0\.", "embeddings.patch_embeddings."),
        (r"^stem\.1\.", "embeddings.layernorm."),
        (r"^stages\.", "encoder.stages."),
        (r"\.downsample\.", ".downsampling_layer."),
        (r"\.blocks\.", ".layers."),
        (r"\.conv_dw\.", ".dwconv."),
        (r"\.norm\.", ".layernorm."),
        (r"\.mlp\.fc([12])\.", r".pwconv\1."),
        (r"\.mlp\.grn\.", ".grn."),
        (r"\.gamma$", ".layer_scale_parameter"),
        (r"^head\.layernorm\.", "layernorm."),
    ]
    state = renamed(provider.network.state_dict(), rules)
    expected = theirs.state_dict()
    theirs.load_state_dict({key: value.reshape(expected[key].shape) for key, value in state.items()})
    with torch.no_grad():
        stages = theirs(provider.prepared(_photos()), output_hidden_states=True).hidden_states
    for layer in (1, 2, 3, 4):
        tapped: Any = features[f"{name}@layer={layer}"]("random")
        tapped.network = provider.network
        assert torch.allclose(tapped.extract(_photos()).permute(0, 3, 1, 2), stages[layer], atol=1e-4)


def test_pixio_is_the_librarys_with_a_position_for_each_of_its_eight_class_tokens() -> None:
    provider = _loaded("pixio:B", depth=2)
    config = transformers.PixioConfig(hidden_size=768, num_hidden_layers=2, num_attention_heads=12)
    theirs = transformers.PixioModel(config).eval()
    rules = [
        (r"^patch_embed\.proj\.", "embeddings.patch_embeddings.projection."),
        (r"^pos_embed$", "embeddings.position_embeddings"),
        (r"^blocks\.", "layers."),
        (r"\.attn\.proj\.", ".attention.o_proj."),
        (r"\.norm1\.", ".layernorm_before."),
        (r"\.norm2\.", ".layernorm_after."),
        (r"^norm\.", "layernorm."),
    ]
    state = renamed(provider.network.state_dict(), rules)
    state["embeddings.cls_token"] = torch.cat([state.pop("cls_token"), state.pop("reg_token")], dim=1)
    for key in [key for key in state if ".attn.qkv." in key]:
        for part, piece in zip("qkv", state.pop(key).chunk(3), strict=True):
            state[key.replace(".attn.qkv.", f".attention.{part}_proj.")] = piece
    theirs.load_state_dict(state)
    photos = provider.prepared(_photos())
    with torch.no_grad():
        _, first, last = theirs(photos, output_hidden_states=True).hidden_states
    ours = provider.extract(_photos())
    assert ours.shape == (1, 6, 8, 768)
    assert torch.allclose(ours.flatten(1, 2), last[:, 8:], atol=1e-4)
    provider.setting = {"layer": 1}.__getitem__
    assert torch.allclose(provider.extract(_photos()).flatten(1, 2), first[:, 8:], atol=1e-4)
    antialiased = provider.network.forward_intermediates(photos, 1, output_fmt="NLC", intermediates_only=True)[-1]
    assert _difference(ours.flatten(1, 2), antialiased) > 1e-3, "timm resizes positions antialiased"


def _projections(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Fused projections in their three parts, as the library has them."""
    result = {}
    for key, value in state.items():
        parts = value.chunk(3) if ".attn.qkv." in key else ()
        named = {key.replace(".attn.qkv.", f".attention.{part}_proj."): piece for part, piece in zip("qkv", parts)}  # noqa: B905
        result |= named or {key: value}
    return result


def _tipsv2(state: dict[str, Tensor]) -> tuple[Any, Any]:
    from transformers.models.tipsv2.modeling_tipsv2 import Tipsv2VisionModel

    config = transformers.Tipsv2VisionConfig(hidden_size=768, num_hidden_layers=2, num_attention_heads=12)
    position = state.pop("embeddings.position_embeddings")  # timm's has none for the class token
    state["embeddings.position_embeddings"] = torch.cat([torch.zeros(1, 1, 768), position], dim=1)
    state["embeddings.mask_token"] = torch.zeros(1, 768)
    model = Tipsv2VisionModel(config)
    return model, model.encoder.layer


def _internvit(state: dict[str, Tensor]) -> tuple[Any, Any]:
    sides = {"patch_size": [14, 14], "image_size": [448, 448]}
    config = transformers.InternVLVisionConfig(num_hidden_layers=2, attention_bias=True, **sides)
    model = transformers.InternVLVisionModel(config)
    return model, model.encoder.layer


def _i_jepa(state: dict[str, Tensor]) -> tuple[Any, Any]:
    shape = {"hidden_size": 384, "num_attention_heads": 6, "intermediate_size": 1536}
    config = transformers.IJepaConfig(num_hidden_layers=2, patch_size=14, image_size=224, **shape)
    model = transformers.IJepaModel(config, add_pooling_layer=False)
    return model, model.layers


_COMMON = [
    (r"^cls_token$", "embeddings.cls_token"),
    (r"^pos_embed$", "embeddings.position_embeddings"),
    (r"^patch_embed\.proj\.", "embeddings.patch_embeddings.projection."),
    (r"^norm\.", "layernorm."),
]


@pytest.mark.parametrize(
    ("name", "options", "build", "prefix", "rules"),
    [
        ("tipsv2", {}, _tipsv2, 2, [
            (r"^reg_token$", "embeddings.register_tokens"), (r"^blocks\.", "encoder.layer."),
            (r"\.attn\.proj\.", ".attention.o_proj."), (r"\.ls([12])\.gamma$", r".layer_scale\1.lambda1"),
        ]),
        ("internvit", {}, _internvit, 1, [
            (r"^blocks\.", "encoder.layer."), (r"\.attn\.proj\.", ".attention.projection_layer."),
            (r"\.norm1\.", ".layernorm_before."), (r"\.norm2\.", ".layernorm_after."),
            (r"\.ls([12])\.gamma$", r".lambda_\1"),
        ]),
        ("i-jepa", {"embed_dim": 384, "num_heads": 6}, _i_jepa, 0, [
            (r"^blocks\.", "layers."), (r"\.attn\.proj\.", ".attention.o_proj."),
            (r"\.norm1\.", ".layernorm_before."), (r"\.norm2\.", ".layernorm_after."),
        ]),
    ],
)  # fmt: skip
def test_positions_at_other_sizes_are_the_librarys_not_timms(
    name: str, options: dict[str, Any], build: Any, prefix: int, rules: list[tuple[str, str]]
) -> None:
    provider = _loaded(name, depth=2, **options)
    state = _projections(renamed(provider.network.state_dict(), [*_COMMON, *rules]))
    model, blocks = build(state)
    model.load_state_dict(state, strict=True)
    seen: list[Any] = []
    blocks[-1].register_forward_hook(lambda module, inputs, output: seen.append(output))
    photos = _photos(98, 154)
    resizing = {"interpolate_pos_encoding": True} if name == "i-jepa" else {}
    with torch.no_grad():
        model.eval()(provider.prepared(photos), **resizing)
        as_timm = provider.network.forward_intermediates(
            provider.prepared(photos), indices=1, norm=False, output_fmt="NLC", intermediates_only=True
        )[-1]
    theirs = (seen[0][0] if isinstance(seen[0], tuple) else seen[0])[:, prefix:]
    ours = provider.extract(photos).flatten(1, 2)
    assert _difference(theirs, ours) < 1e-5
    assert _difference(theirs, as_timm) > 1e-4


def test_videomae_is_the_librarys_for_a_photo_that_is_repeated() -> None:
    config = transformers.VideoMAEConfig(num_hidden_layers=2, num_frames=2, use_mean_pooling=False, layer_norm_eps=1e-6)
    theirs = transformers.VideoMAEModel(config).eval()
    _spread(theirs)
    provider = _loaded("videomae", depth=2)
    # The published files have the older names of the two biases.
    older = [(r"\.(query|value)\.bias$", lambda found: f".{found[1][0]}_bias")]
    provider.network.load_state_dict(provider.convert(renamed(theirs.state_dict(), older)))  # type: ignore[arg-type]
    photos = _photos(224, 224)
    clip = provider.prepared(photos)[:, None].expand(-1, 2, -1, -1, -1)
    with torch.no_grad():
        last = theirs(clip, output_hidden_states=True).hidden_states[-1]
    assert torch.allclose(provider.extract(photos).flatten(1, 2), last, atol=1e-4)
    assert provider.extract(_photos()).shape == (1, 6, 8, 768)
    assert torch.allclose(counted_position(196, 768), theirs.embeddings.position_embeddings, atol=1e-5)


@pytest.mark.parametrize("side", [56, 112])
def test_sam3_is_the_librarys_on_square_photos_and_stretches_others(side: int) -> None:
    small = {"num_hidden_layers": 3, "global_attn_indexes": [1], "hidden_size": 64, "num_attention_heads": 2}
    small |= {"intermediate_size": 96, "window_size": 3, "pretrain_image_size": 42}
    provider = _loaded("sam3", **small)
    provider.setting = {"layer": 3}.__getitem__
    published = transformers.models.sam3.modeling_sam3.Sam3ViTModel(
        transformers.models.sam3.configuration_sam3.Sam3ViTConfig(**small, image_size=side)
    ).eval()
    published.load_state_dict(provider.network.state_dict())
    photos = _photos(side, side)
    with torch.no_grad():
        expected = published(provider.prepared(photos)).last_hidden_state
    assert torch.allclose(provider.extract(photos).flatten(1, 2), expected, atol=1e-4)
    wide = provider.extract(_photos(56, 84))
    assert wide.shape == (1, 4, 6, 64)
    columns, rows = stretched_positions(4, 6, 3).T
    assert (columns[:6].tolist(), rows[::6].tolist()) == ([0, 0.5, 1, 1.5, 2, 2.5], [0, 0.5, 1, 1.5])
    as_built = _loaded("sam3", **small, image_size=126).network  # nine patches a side, six of which the photo has
    with torch.no_grad(), pytest.raises(RuntimeError):
        as_built(provider.prepared(_photos(56, 84)))


def test_hiera_at_another_size_is_timms_that_was_built_for_it() -> None:
    provider = _loaded("hiera:T")
    learned = provider.network.pos_embed.clone()
    photos = _photos(96, 128)
    ours = provider.extract(photos)
    built = timm.create_model("hiera_tiny_224.mae", pretrained=False, img_size=(96, 128), num_classes=0).eval()
    grid = learned.reshape(1, 56, 56, -1).permute(0, 3, 1, 2)
    position = F.interpolate(grid, size=(24, 32), mode="bicubic").flatten(2).transpose(1, 2)
    built.load_state_dict({**provider.network.state_dict(), "pos_embed": position})
    with torch.no_grad():
        expected = built.forward_intermediates(
            images.normalised(photos, images.IMAGENET), indices=[2], intermediates_only=True
        )
    assert torch.allclose(ours.permute(0, 3, 1, 2), expected[0], atol=1e-4)
    square = provider.extract(_photos(224, 224))
    assert torch.equal(provider.network.pos_embed, learned), "nothing is resized twice"
    assert square.shape == (1, 14, 14, 384)
    assert torch.allclose(provider.extract(photos), ours), "whatever came before"


def test_metaclip2_needs_the_quick_gelu_in_one_of_its_sizes() -> None:
    provider = _loaded("metaclip2", depth=1)
    ours = provider.extract(_photos(98, 126))
    plain = timm.create_model("vit_huge_patch14_clip_224.metaclip2_worldwide", num_classes=0, dynamic_img_size=True, depth=1)
    plain.load_state_dict(provider.network.state_dict())
    provider.network = plain.eval()
    assert _difference(ours, provider.extract(_photos(98, 126))) > 1e-3
    assert "quickgelu" not in features["metaclip2:G"].architecture


def test_ibot_resizes_positions_as_dino_does() -> None:
    provider, dino = _loaded("ibot:S", depth=2), _loaded("dino:S", depth=2)
    dino.network.load_state_dict(provider.network.state_dict())
    assert torch.equal(provider.extract(_photos()), dino.extract(_photos()))
    as_timm = provider.network.forward_intermediates(
        provider.prepared(_photos()), 1, norm=False, output_fmt="NLC", intermediates_only=True
    )
    assert _difference(provider.extract(_photos()).flatten(1, 2), as_timm[-1]) > 1e-3
