"""Checkpoints with the publishers' key names and shapes load completely, and nothing but those.

The layouts below are written down from the publishers' code. They and the real architectures live on the meta device, where
tensors have shapes and no values: a ViT-H costs nothing.
"""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.utils import parametrize

from bench.machine import weights
from bench.registry import features
from bench.types import Card, UserError
from registry.features import stable_diffusion
from registry.features.radio import folded
from registry.support.checkpoints import load_strictly, renamed

Shapes = dict[str, tuple[int, ...]]
HERE = Path("checkpoint")


def _linear(name: str, out: int, into: int) -> Shapes:
    return {f"{name}.weight": (out, into), f"{name}.bias": (out,)}


def _norm(name: str, width: int) -> Shapes:
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}


def _blocks(prefix: str, depth: int, width: int, *, scale: str = "", hidden: str = "fc") -> Shapes:
    """Pre-norm transformer blocks as Meta's and timm's code names them."""
    shapes: Shapes = {}
    for i in range(depth):
        block = f"{prefix}.{i}"
        shapes |= _norm(f"{block}.norm1", width) | _norm(f"{block}.norm2", width)
        shapes |= _linear(f"{block}.attn.qkv", 3 * width, width) | _linear(f"{block}.attn.proj", width, width)
        shapes |= _linear(f"{block}.mlp.{hidden}1", 4 * width, width) | _linear(f"{block}.mlp.{hidden}2", width, 4 * width)
        if scale:
            shapes |= {f"{block}.ls1.{scale}": (width,), f"{block}.ls2.{scale}": (width,)}
    return shapes


def _vit(depth: int, width: int, patch: int, tokens: int, **options: Any) -> Shapes:
    return {
        "cls_token": (1, 1, width),
        "pos_embed": (1, tokens, width),
        "patch_embed.proj.weight": (width, 3, patch, patch),
        "patch_embed.proj.bias": (width,),
        **_blocks("blocks", depth, width, **options),
        **_norm("norm", width),
    }


def _under(prefix: str, shapes: Shapes) -> Shapes:
    return {f"{prefix}{key}": shape for key, shape in shapes.items()}


def _dinov2(prefix: str, depth: int, width: int) -> Shapes:
    return _under(prefix, _vit(depth, width, 14, 1370, scale="gamma") | {"mask_token": (1, width)})


def _i_jepa() -> Shapes:
    shapes = _vit(32, 1280, 14, 256)
    del shapes["cls_token"]
    return _under("module.", shapes)


def _sam() -> Shapes:
    shapes = _blocks("blocks", 12, 768, hidden="lin")
    for i in range(12):
        size = 127 if i in (2, 5, 8, 11) else 27
        shapes |= {f"blocks.{i}.attn.rel_pos_h": (size, 64), f"blocks.{i}.attn.rel_pos_w": (size, 64)}
    shapes |= {"pos_embed": (1, 64, 64, 768), "patch_embed.proj.weight": (768, 3, 16, 16), "patch_embed.proj.bias": (768,)}
    shapes |= {"neck.0.weight": (256, 768, 1, 1), "neck.2.weight": (256, 256, 3, 3)}
    shapes |= _norm("neck.1", 256) | _norm("neck.3", 256)
    return _under("image_encoder.", shapes) | {
        "prompt_encoder.not_a_point_embed.weight": (1, 256),
        "mask_decoder.iou_token.weight": (1, 256),
    }


def _clip() -> Shapes:
    shapes: Shapes = {
        "visual.class_embedding": (768,),
        "visual.positional_embedding": (197, 768),
        "visual.proj": (768, 512),
        "visual.conv1.weight": (768, 3, 16, 16),
        "positional_embedding": (77, 512),
        "text_projection": (512, 512),
        "logit_scale": (),
        "token_embedding.weight": (49408, 512),
        "transformer.resblocks.0.attn.in_proj_weight": (1536, 512),
        **_norm("visual.ln_pre", 768),
        **_norm("visual.ln_post", 768),
        **_norm("ln_final", 512),
    }
    for i in range(12):
        block = f"visual.transformer.resblocks.{i}"
        shapes |= _norm(f"{block}.ln_1", 768) | _norm(f"{block}.ln_2", 768)
        shapes |= {f"{block}.attn.in_proj_weight": (2304, 768), f"{block}.attn.in_proj_bias": (2304,)}
        shapes |= _linear(f"{block}.attn.out_proj", 768, 768)
        shapes |= _linear(f"{block}.mlp.c_fc", 3072, 768) | _linear(f"{block}.mlp.c_proj", 768, 3072)
    return shapes


def _croco_encoder(blocks: str = "enc_blocks", norm: str = "enc_norm") -> Shapes:
    encoder: Shapes = {"patch_embed.proj.weight": (1024, 3, 16, 16), "patch_embed.proj.bias": (1024,)}
    return encoder | _blocks(blocks, 24, 1024) | _norm(norm, 1024)


def _croco(*rest: str) -> Shapes:
    encoder = _croco_encoder() | {"mask_token": (1, 1, 768)} | _linear("decoder_embed", 768, 1024)
    return encoder | dict.fromkeys(rest, (1,))


def _cut3r() -> Shapes:
    rays = _blocks("enc_blocks_ray_map", 2, 1024) | {"patch_embed_ray_map.proj.weight": (1024, 6, 16, 16)}
    rest = ("masked_img_token", "masked_ray_map_token", "pose_token", "pose_retriever.mem", "register_tokens.weight")
    rest += ("dec_blocks_state.0.norm1.weight", "dec_norm_state.weight", "decoder_embed_state.weight", "dec_norm.weight")
    rest += ("decoder_embed.weight", "downstream_head.dpt_self.head.0.weight")
    return _croco_encoder() | rays | _norm("enc_norm_ray_map", 1024) | dict.fromkeys(rest, (1,))


def _midas() -> Shapes:
    encoder = _vit(24, 1024, 16, 577) | _linear("head", 1000, 1024)
    rest = {"pretrained.act_postprocess1.3.weight": (256, 1024, 1, 1), "scratch.layer1_rn.weight": (256, 256, 3, 3)}
    return _under("pretrained.model.", encoder) | rest


def _vggt() -> Shapes:
    encoder = _dinov2("aggregator.patch_embed.", 24, 1024) | {"aggregator.patch_embed.register_tokens": (1, 4, 1024)}
    rest = ("camera_token", "register_token", "frame_blocks.0.norm1.weight", "global_blocks.0.norm1.weight")
    return encoder | _under("aggregator.", dict.fromkeys(rest, (1,))) | {"camera_head.token_norm.weight": (2048,)}


def _radio(prefix: str, depth: int, width: int, tokens: int, *rest: str, scale: str = "") -> Shapes:
    encoder: Shapes = {
        "patch_generator.embedder.weight": (width, 768),
        "patch_generator.pos_embed": (1, 128 * 128, width),
        "patch_generator.cls_token.token": (tokens, width),
    }
    return _under(prefix, encoder | _blocks("blocks", depth, width, scale=scale)) | dict.fromkeys(rest, (3, 1, 1))


def _v_jepa2() -> Shapes:
    shapes = _linear("encoder.embeddings.patch_embeddings.proj", 1024, 1)
    shapes["encoder.embeddings.patch_embeddings.proj.weight"] = (1024, 3, 2, 16, 16)
    for i in range(24):
        layer = f"encoder.layer.{i}"
        for part in ("query", "key", "value", "proj"):
            shapes |= _linear(f"{layer}.attention.{part}", 1024, 1024)
        shapes |= _norm(f"{layer}.norm1", 1024) | _norm(f"{layer}.norm2", 1024)
        shapes |= _linear(f"{layer}.mlp.fc1", 4096, 1024) | _linear(f"{layer}.mlp.fc2", 1024, 4096)
    return shapes | _norm("encoder.layernorm", 1024) | {"predictor.embeddings.mask_tokens": (10, 1, 1, 384)}


def _ibot() -> Shapes:
    """The teacher's backbone; where it was trained to see masks, with what stands for a masked patch."""
    return _vit(12, 768, 16, 197) | {"masked_embed": (1, 768)}


def _pixio() -> Shapes:
    return _vit(32, 1280, 16, 256 + 8) | {"cls_token": (1, 8, 1280)}


def _videomae() -> Shapes:
    shapes: Shapes = {"embeddings.patch_embeddings.projection.weight": (768, 3, 2, 16, 16)}
    shapes |= {"embeddings.patch_embeddings.projection.bias": (768,)} | _norm("layernorm", 768)
    for i in range(12):
        layer = f"encoder.layer.{i}"
        shapes |= {f"{layer}.attention.attention.{part}.weight": (768, 768) for part in ("query", "key", "value")}
        shapes |= {f"{layer}.attention.attention.{part}_bias": (768,) for part in "qv"}
        shapes |= _linear(f"{layer}.attention.output.dense", 768, 768)
        shapes |= _linear(f"{layer}.intermediate.dense", 3072, 768) | _linear(f"{layer}.output.dense", 768, 3072)
        shapes |= _norm(f"{layer}.layernorm_before", 768) | _norm(f"{layer}.layernorm_after", 768)
    rest: Shapes = {"encoder_to_decoder.weight": (384, 768), "mask_token": (1, 1, 384), "decoder.norm.weight": (384,)}
    return _under("videomae.", shapes) | rest


def _sam3() -> Shapes:
    shapes: Shapes = {"embeddings.position_embeddings": (1, 24 * 24, 1024)} | _norm("layer_norm", 1024)
    shapes |= {"embeddings.patch_embeddings.projection.weight": (1024, 3, 14, 14)}
    for i in range(32):
        layer = f"layers.{i}"
        for part in "qkvo":
            shapes |= _linear(f"{layer}.attention.{part}_proj", 1024, 1024)
        shapes |= _norm(f"{layer}.layer_norm1", 1024) | _norm(f"{layer}.layer_norm2", 1024)
        shapes |= _linear(f"{layer}.mlp.fc1", 4736, 1024) | _linear(f"{layer}.mlp.fc2", 1024, 4736)
    rest: Shapes = {"detector_model.text_projection.weight": (256, 1024), "tracker_neck.fpn_layers.0.proj1.bias": (256,)}
    return _under("detector_model.vision_encoder.backbone.", shapes) | rest


PUBLISHED: dict[str, Callable[[], Shapes]] = {
    "dino": lambda: _vit(12, 768, 16, 197),
    "dinov2": lambda: _dinov2("", 12, 768),
    "mae": lambda: _vit(12, 768, 16, 197),
    "i-jepa": _i_jepa,
    "sam": _sam,
    "clip": _clip,
    "croco": lambda: _croco("dec_blocks.0.norm1.weight", "dec_norm.weight", "prediction_head.weight"),
    "dust3r": lambda: _croco("dec_blocks2.0.norm1.weight", "downstream_head1.dpt.head.0.weight"),
    "mast3r": lambda: _croco("dec_blocks2.0.norm1.weight", "downstream_head2.head_local_features.fc1.weight"),
    "must3r": lambda: _croco_encoder("blocks_enc", "norm_enc"),
    "fast3r": lambda: (
        _under("encoder.", _croco_encoder())
        | {"decoder.dec_norm.weight": (1024,), "downstream_head_local.dpt.head.0.weight": (1,)}
    ),
    "cut3r": _cut3r,
    "midas": _midas,
    "depth-anything-v2": lambda: (
        _dinov2("pretrained.", 12, 768) | {"depth_head.scratch.output_conv1.weight": (64, 128, 3, 3)}
    ),
    "vggt": _vggt,
    "radio": lambda: _radio("base_model.", 32, 1280, 16, "input_conditioner.norm_mean", "_heads.0.mlp.fc1.weight"),
    "c-radio": lambda: _radio("radio_model.model.", 12, 768, 8, "radio_model.input_conditioner.norm_mean", scale="grandma"),
    "v-jepa2": _v_jepa2,
    "ibot": _ibot,
    "pixio": _pixio,
    "videomae": _videomae,
    "sam3": _sam3,
}
#: Providers whose source is timm's own file: its keys are the network's, less what is named here.
TIMM_FILES: dict[str, Shapes] = {
    "dinov3": {},
    "pe-spatial": {},
    "siglip2": {"attn_pool.latent": (1, 1, 768)},
    "clip": {},
    "sam": {},
    "c-radio": {},
}


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*meta parameter.*")
        yield


def _meta(shapes: Shapes) -> dict[str, Tensor]:
    return {key: torch.empty(shape, device="meta") for key, shape in shapes.items()}


def _provider(name: str) -> tuple[Any, Any]:
    """The provider and its real network, without values."""
    for package in features[name].needs:
        pytest.importorskip(package)
    provider: Any = features[name]("random")
    with torch.device("meta"):
        return provider, provider.build()


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_publishers_layout_loads_whole_and_each_fault_is_refused(name: str) -> None:
    provider, network = _provider(name)
    shapes = PUBLISHED[name]()
    load_strictly(network, provider.convert(_meta(shapes)), HERE)
    projection = re.compile(
        r".*(blocks(?:_enc)?\.3\..*(qkv\.|in_proj_)|layer\.3\.(attention\.key|intermediate\.dense)\.|layers\.3\.attention\.k_proj\.)weight"
    )
    wanted = next(key for key in shapes if projection.fullmatch(key))

    missing = {key: shape for key, shape in shapes.items() if key != wanted}
    with pytest.raises(UserError, match=r"checkpoint.*1 missing: \S+"):
        load_strictly(network, provider.convert(_meta(missing)), HERE)
    with pytest.raises(UserError, match=r"1 unknown: \S*surplus"):
        load_strictly(network, provider.convert(_meta(shapes | {"surplus.weight": (3,)})), HERE)
    rows, columns = shapes[wanted]
    with pytest.raises(
        UserError, match=rf"1 of another shape: \S+ is \({rows}, {columns + 1}\), expected \({rows}, {columns}\)"
    ):
        load_strictly(network, provider.convert(_meta(shapes | {wanted: (rows, columns + 1)})), HERE)


@pytest.mark.parametrize("name", TIMM_FILES)
def test_timms_own_files_load_whole(name: str) -> None:
    provider, network = _provider(name)
    state = {key: torch.empty_like(value) for key, value in network.state_dict().items()} | _meta(TIMM_FILES[name])
    load_strictly(network, provider.convert(state), HERE)
    with pytest.raises(UserError, match="1 unknown: surplus"):
        load_strictly(network, provider.convert(state | {"surplus": torch.empty(1)}), HERE)


def test_every_network_provider_has_its_layout_tested() -> None:
    from registry.features.multiview import SceneTokens
    from registry.support.timm import NetworkProvider

    sources = {name: features[name].card.weights for name in features if issubclass(features[name], NetworkProvider)}
    networks = {name for name, source in sources.items() if source and not source.startswith("package:")}
    # Files of timm in sizes: test_families compares them with what timm builds.
    networks -= {name for name in features if (features[name].family_card or Card("")).weights.endswith("/{architecture}")}
    # Their packages' own networks have their packages' own keys.
    networks -= {name for name in features if issubclass(features[name], SceneTokens)}
    assert networks - {"sd"} <= set(PUBLISHED) | set(TIMM_FILES)


def test_stable_diffusion_files_of_every_age_load_whole() -> None:
    pytest.importorskip("diffusers")
    with torch.device("meta"):
        text, autoencoder = stable_diffusion.text_encoder(), stable_diffusion.autoencoder()
        denoiser = stable_diffusion.unet()
    state = {f"text_model.{key}": value for key, value in text.state_dict().items()}
    state["text_model.embeddings.position_ids"] = torch.empty(1, 77)
    load_strictly(text, stable_diffusion.text_keys(state), HERE)
    first_names = [("to_q", "query"), ("to_k", "key"), ("to_v", "value"), (r"to_out\.0", "proj_attn")]
    old = renamed(autoencoder.state_dict(), [(rf"\.{new}\.", f".{name}.") for new, name in first_names])
    assert set(old) != set(autoencoder.state_dict())
    load_strictly(autoencoder, stable_diffusion.autoencoder_keys(old), HERE)
    # The published denoiser: 686 tensors, 866 million parameters.
    assert len(denoiser.state_dict()) == 686
    assert sum(value.numel() for value in denoiser.state_dict().values()) == 865_910_724


def test_values_reach_the_right_places() -> None:
    """CLIP and RADIO change layouts on the way: followed through with numbers."""
    generator = torch.Generator().manual_seed(0)
    clip: Any = features["clip"]("random")
    state = clip.convert(
        {key: torch.randn(shape, generator=generator) for key, shape in _clip().items() if "token_emb" not in key}
    )
    assert state["head.weight"].shape == (512, 768)
    assert state["head.bias"].abs().max() == 0
    radio: Any = features["c-radio"]("random")
    embedder = torch.randn(768, 768, generator=generator)
    official = {"patch_generator.embedder.weight": embedder, "patch_generator.pos_embed": torch.zeros(1, 16, 768)}
    state = radio.convert(
        {f"radio_model.model.{key}": value for key, value in official.items()}
        | {"radio_model.model.patch_generator.cls_token.token": torch.arange(8.0)[:, None].expand(8, 768)}
    )
    patch = torch.randn(3, 16, 16, generator=generator)
    expected = embedder @ patch.flatten()  # NVIDIA's order: channel, row, column
    assert torch.allclose(state["embeds.proj.weight"] @ patch.permute(1, 2, 0).flatten(), expected, atol=1e-4)
    assert state["embeds.cls_token"].unique().tolist() == [0]
    assert state["embeds.reg_token"][0, :, 0].tolist() == [1, 2, 3, 4, 5, 6, 7]


class _Spectral(nn.Module):
    """The reparametrisation that RADIO was trained with, from its definition: a weight W becomes W s / sigma, sigma its
    spectral norm, here the exact one."""

    def __init__(self, weight: Tensor, scale: float, version: int) -> None:
        super().__init__()
        u, _, v = torch.linalg.svd(weight.double())
        self.register_buffer("_u", u[:, 0].to(weight.dtype))
        self.register_buffer("_v", v[0].to(weight.dtype))
        self.scale = nn.Parameter(torch.tensor([[scale]]))
        if version == 2:
            self.register_buffer("_sn_version", torch.tensor(2))
        self.factor = scale if version == 1 else math.log1p(math.exp(scale)) + 0.05

    def forward(self, weight: Tensor) -> Tensor:
        return weight * (self.factor / torch.linalg.matrix_norm(weight, 2))


class _SpectralParts(nn.Module):
    """The same for each of the three parts of a fused projection; the values may be left out."""

    def __init__(self, weight: Tensor, version: int, values: bool) -> None:
        super().__init__()
        self.parts = nn.ModuleList(_Spectral(part, 0.3 + i, version) for i, part in enumerate(weight.chunk(3)))
        if not values:
            self.parts[2] = nn.Identity()

    def forward(self, weight: Tensor) -> Tensor:
        return torch.cat([spectral(part) for spectral, part in zip(self.parts, weight.chunk(3), strict=True)])


def _spectral_network(version: int, values: bool) -> nn.Module:
    torch.manual_seed(version)
    attention = nn.ModuleDict({"qkv": nn.Linear(8, 24), "proj": nn.Linear(8, 8)}).double()
    network = nn.ModuleDict({"attn": attention, "fc1": nn.Linear(8, 20).double(), "norm": nn.LayerNorm(8).double()})
    fused = _SpectralParts(attention["qkv"].weight, version, values)  # type: ignore[arg-type]
    parametrize.register_parametrization(attention["qkv"], "weight", fused)
    for layer in (attention["proj"], network["fc1"]):
        parametrize.register_parametrization(layer, "weight", _Spectral(layer.weight, 1.7, version))  # type: ignore[arg-type]
    return network


@pytest.mark.parametrize("values", [True, False])
@pytest.mark.parametrize("version", [1, 2])
def test_spectrally_reparametrised_weights_are_folded(version: int, values: bool) -> None:
    network = _spectral_network(version, values)
    state = {key: value.clone() for key, value in network.state_dict().items()}
    assert "attn.qkv.parametrizations.weight.0.parts.0.scale" in state
    assert "fc1.parametrizations.weight.0._u" in state
    found = folded(state)
    for layer in (network["attn"]["qkv"], network["attn"]["proj"], network["fc1"]):  # type: ignore[index]
        parametrize.remove_parametrizations(layer, "weight")
    expected = network.state_dict()
    assert set(found) == set(expected)
    for key, value in expected.items():
        assert torch.allclose(found[key], value, rtol=1e-5, atol=0), key
    assert folded(expected).keys() == expected.keys(), "plain weights stay as they are"


def test_a_reparametrised_layer_that_is_not_complete_is_refused_by_name() -> None:
    radio: Any = features["radio"]("random")
    layer = {"weight.original": torch.eye(4), "weight.0._u": torch.ones(4), "weight.0.scale": torch.ones(1, 1)}
    state = radio.convert({f"base_model.fc.parametrizations.{name}": value for name, value in layer.items()})
    with pytest.raises(UserError, match=r"2 missing: weight, bias; 3 unknown: fc\.parametrizations\.weight"):
        load_strictly(nn.Linear(4, 4), state, HERE)


def test_the_published_radio_layout_with_its_reparametrisation_loads_whole() -> None:
    provider, network = _provider("radio")
    shapes = PUBLISHED["radio"]()
    for key, shape in list(shapes.items()):
        if re.search(r"blocks\.\d+\.(attn|mlp)\.\w+\.weight$", key):
            layer = key.removesuffix("weight") + "parametrizations.weight."
            del shapes[key]
            shapes[f"{layer}original"] = shape
            parts = [f"{layer}0.parts.{i}." for i in range(3)] if "qkv" in key else [f"{layer}0."]
            for part in parts:
                rows = shape[0] // len(parts)
                shapes |= {f"{part}_u": (rows,), f"{part}_v": (shape[1],), f"{part}scale": (1, 1), f"{part}_sn_version": ()}
    load_strictly(network, provider.convert(_meta(shapes)), HERE)


def test_a_refused_checkpoint_leaves_the_network_untouched() -> None:
    network = torch.nn.Linear(3, 2)
    before = network.weight.clone()
    with pytest.raises(UserError, match="1 missing: bias"):
        load_strictly(network, {"weight": torch.zeros(2, 3)}, HERE)
    assert torch.equal(network.weight, before)


def test_many_faults_are_counted_and_the_first_named() -> None:
    network = torch.nn.Sequential(*(torch.nn.Linear(2, 2) for _ in range(8)))
    with pytest.raises(UserError, match=r"16 missing: 0.weight, 0.bias, 1.weight, 1.bias, 2.weight and 11 more"):
        load_strictly(network, {}, HERE)


def test_a_local_file_loads_through_the_same_conversion_and_is_named_by_its_content(tmp_path: Path) -> None:
    cls: Any = features["dino"]
    shallow = type("Shallow", (cls,), {"options": {**cls.options, "depth": 1}})
    source = shallow("random")
    source.load(torch.device("cpu"))
    first, second = tmp_path / "one.pth", tmp_path / "two.safetensors"
    torch.save(source.network.state_dict(), first)
    save_file({key: value + 0 for key, value in source.network.state_dict().items()}, second)
    loaded = shallow("pretrained", first)
    loaded.load(torch.device("cpu"))
    photos = torch.rand(1, 3, 32, 48, generator=torch.Generator().manual_seed(0))
    assert torch.equal(loaded.extract(photos), source.extract(photos))
    assert loaded.weights == "pretrained"
    assert weights.identity(loaded) == f"pretrained:sha256:{weights.digest(first)}"
    assert weights.identity(loaded) != weights.identity(shallow("pretrained", second))
    del (broken := dict(source.network.state_dict()))["cls_token"]
    torch.save(broken, first)
    with pytest.raises(UserError, match=r"one.pth: .*1 missing: cls_token"):
        shallow("pretrained", first).load(torch.device("cpu"))
