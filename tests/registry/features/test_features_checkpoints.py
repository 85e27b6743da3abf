"""Checkpoints with the publishers' key names and shapes load completely, and nothing but those.

The layouts below are written down from the publishers' code. They and the real architectures live on the meta device, where
tensors have shapes and no values: a ViT-H costs nothing.
"""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from published_layouts import PUBLISHED, TIMM_FILES, Shapes
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.utils import parametrize

from bench.machine import weights
from bench.registry import features
from bench.types import Card, UserError
from registry.features import stable_diffusion
from registry.features.radio import folded
from registry.support.checkpoints import load_strictly, renamed

HERE = Path("checkpoint")


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
        {
            key: torch.randn(shape, generator=generator)
            for key, shape in PUBLISHED["clip"]().items()
            if "token_emb" not in key
        }
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
