"""Families: sizes and layers of a name, the tables against timm's own, taps against hooks on the blocks."""

from __future__ import annotations

from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
import timm
import torch
from hypothesis import given
from hypothesis import strategies as st
from parameter_counts import millions
from torch import Tensor

from bench.commands.checkpoints import checkpoints
from bench.core.families import canonical, expanded, member
from bench.core.names import ModelName, Part
from bench.core.track import Settings
from bench.registry import features
from bench.types import UserError
from registry.networks import stable_diffusion
from registry.support.checkpoints import load_strictly
from registry.support.timm import StageProvider, TimmProvider

CPU = torch.device("cpu")
FAMILIES = [name for name in features if features[name].sizes]
#: Where the file is timm's own: the rest are the authors', whose layouts test_features_checkpoints has.
OF_TIMM = [
    name
    for name in FAMILIES
    if issubclass(features[name], TimmProvider) and features[name].family_card.weights.endswith("/{architecture}")
]
#: What the probe of the Feat2GS paper gives them, in place of their own statistics.
NORMALISED_AS_PROBED = {"clip", "c-radio", "c-radio-v4"}


def _part(name: str) -> Part:
    return ModelName.parse(name).parts[0]


def _photos(height: int, width: int) -> Tensor:
    return torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(0))


def test_a_size_changes_the_card_and_nothing_of_the_plain_name() -> None:
    plain, large = features["dinov2"], features["dinov2:L"]
    assert plain.card.name == "DINOv2"
    assert (plain.card.arch, plain.card.channels) == ("ViT-B/14", 768)
    assert (large.card.name, large.card.arch, large.card.channels) == ("DINOv2 L", "ViT-L/14", 1024)
    assert large.card.weights == "hf:timm/vit_large_patch14_dinov2.lvd142m"
    assert issubclass(large, plain)
    assert features["dinov2:L"] is large
    assert features["dinov2:B"] is plain, "the default size is the plain name"
    assert features["dinov2@layer=12"] is plain, "so is the default layer"
    assert features["dinov2:L@layer=18"].card.name == "DINOv2 L, layer 18"
    assert "dinov2:L@layer=18" in features
    assert "dinov2:XXL" not in features
    assert "dinov2@jbu" not in features
    assert list(features).count("dinov2") == 1
    assert features["mae@layer=11"] is features["mae"], "MAE is probed one block early"


def test_equal_models_have_one_name() -> None:
    for text, wanted in (
        ("dinov2:B@layer=12@jbu", "dinov2@jbu"),
        ("dinov2:L@layer=24", "dinov2:L"),
        ("dinov2:S@layer=07", "dinov2:S@layer=7"),
        ("mae:L@layer=23", "mae:L"),
    ):
        part = _part(text)
        assert str(canonical(features[part.base], part)) == wanted


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("dinov2:XXL", "no size 'XXL'.*S, B, L, g"),
        ("dinov2@lyer=3", "no setting 'lyer'; did you mean layer"),
        ("dinov2:L@layer=25", "layer is one of 1 to 24, not 25"),
        ("dinov2@layer=0", "1 to 12, not 0"),
        ("dinov2@layer=last", "not last"),
        ("iuvrgb:L", "iuvrgb has no sizes"),
        ("xfeat@layer=2", "xfeat has no settings"),
        ("efficientnet-lite0@layer=6", "one of 1 to 5"),
        ("efficientnet-lite0:2", "no feature provider is named"),
        ("dinov:L", "no feature provider is named 'dinov:L'; did you mean dinov3 or dinov2"),
    ],
)
def test_what_a_family_does_not_have_is_refused_by_name(name: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        features[name]


def test_patterns_expand_in_the_familys_order() -> None:
    def names(text: str) -> list[str]:
        return [str(part) for part in expanded(features[_part(text).base], _part(text))]

    assert names("dinov2:*") == ["dinov2:S", "dinov2", "dinov2:L", "dinov2:g"]
    assert names("dinov2@layer=*") == [*(f"dinov2@layer={k}" for k in range(1, 12)), "dinov2"]
    assert len(names("dino:*@layer=*")) == 24
    assert names("mae@layer=*")[-2:] == ["mae", "mae@layer=12"]
    assert names("dinov2:*@layer=3@jbu")[0] == "dinov2:S@layer=3@jbu"
    with pytest.raises(UserError, match="no sizes"):
        names("iuvrgb:*")


@given(st.sampled_from(FAMILIES), st.data())
def test_every_member_has_a_name_that_leads_back_to_it(name: str, data: st.DataObject) -> None:
    cls = features[name]
    size = data.draw(st.sampled_from(list(cls.sizes)))
    offered = member(cls, Part(name, size)).offers()
    parameters = tuple((key, str(data.draw(st.sampled_from(list(value.values))))) for key, value in sorted(offered.items()))
    part = canonical(cls, Part(name, size, parameters))
    found = features[str(part)]
    assert found is member(cls, Part(name, size, parameters))
    assert canonical(cls, part) == part
    assert found.card.channels > 0
    assert (found is cls) == (str(part) == name)


@pytest.mark.parametrize("name", FAMILIES)
def test_the_table_is_timms(name: str) -> None:
    """Parameters as the smallest and the default network really have them; licence, statistics and source as timm states."""
    family = features[name]
    for size in {next(iter(family.sizes)), family.default_size}:
        for package in family.needs:
            pytest.importorskip(package)
        sized: Any = features[f"{name}:{size}"]
        assert sized.card.parameters == pytest.approx(millions(sized("random").build), abs=0.06), size
    for size, line in family.sizes.items():
        if name not in OF_TIMM:
            continue
        published: Any = timm.get_pretrained_cfg(line.architecture)
        sized = features[f"{name}:{size}"]
        assert sized.card.weights == f"hf:{published.hf_hub_id}", size
        if name not in NORMALISED_AS_PROBED:
            for ours, theirs in zip(sized.statistics, (published.mean, published.std), strict=True):
                assert ours == pytest.approx(theirs, abs=1e-6), size
        spelled = sized.card.license.lower().replace(" ", "-")
        assert published.license.split("-")[0] in spelled, (spelled, published.license)


#: Whose training data could not be read anywhere: none may be added.
UNRECORDED = {"c-radio", "c-radio-v4", "lingbot", "sapiens2"}


@pytest.mark.parametrize("name", [name for name in features if features[name].card.weights])
def test_every_trained_model_says_what_it_is(name: str) -> None:
    """Tokens, normalisation and positions in the documentation; the rest on its card."""
    page = (Path(__file__).resolve().parents[3] / "bench/docs/models.md").read_text(encoding="utf-8")
    rows = [line.split("|")[1:-1] for line in page.splitlines() if line.startswith("|")]
    (row,) = [row for row in rows if len(row) == 4 and f"`{name}`" in row[0]]
    assert all(cell.strip() for cell in row)
    for size in features[name].sizes or [""]:
        card = features[f"{name}:{size}" if size else name].card
        assert "-" not in (card.license, card.arch, card.supervision, card.domain), size
        assert card.stride > 1, size
        assert card.channels > 0, size
        assert card.weights.partition(":")[0] in ("hf", "torchhub", "page", "package"), size
        assert bool(card.data) != (name in UNRECORDED), size


@pytest.mark.parametrize("name", ["sd", "xfeat", "disk", "random-vit"])
def test_the_card_of_a_network_without_sizes_counts_its_parameters(name: str) -> None:
    for package in features[name].needs:
        pytest.importorskip(package)
    networks: Any = (
        [stable_diffusion.autoencoder, stable_diffusion.unet] if name == "sd" else [features[name]("random").build]
    )
    assert features[name].card.parameters == pytest.approx(millions(*networks), abs=0.06)


@pytest.mark.parametrize("name", OF_TIMM)
def test_timms_file_of_the_smallest_size_loads_whole(name: str) -> None:
    """timm's file has the keys of the network that it builds by default, heads included."""
    family = features[name]
    sized: Any = features[f"{name}:{next(iter(family.sizes))}"]
    provider = sized("random")
    for package in family.needs:
        pytest.importorskip(package)
    with torch.device("meta"):
        published = timm.create_model(sized.architecture, pretrained=False)
        network = provider.build()
    provider.network = network
    load_strictly(network, provider.convert(published.state_dict()), CPU)  # type: ignore[arg-type]


TAPPED = [
    *("dino", "dinov2", "dinov2-reg", "dinov3", "siglip2", "pe-spatial", "sam", "mae", "clip", "eva02", "deit3", "ibot"),
    *("beit3", "pixio", "videomae", "openclip", "tipsv2", "depth-anything-v2"),
]


@pytest.mark.parametrize("name", TAPPED)
def test_a_tapped_layer_is_what_the_block_gives(name: str) -> None:
    cls: Any = features[name]
    small = features[f"{name}:{next(iter(cls.sizes))}@layer=2"]
    options = MappingProxyType({**small.options, "depth": 4})
    if name == "sam":
        options = MappingProxyType({**options, "global_attn_indexes": (3,)})
    provider: Any = type("Shallow", (small,), {"options": options})("random")
    provider.load(CPU)
    seen: list[Tensor] = []
    provider.network.blocks[1].register_forward_hook(lambda module, inputs, output: seen.append(output))
    size = (98, 126) if small.card.stride == 14 else (96, 128)
    found = provider.extract(_photos(*size))
    prefix = getattr(provider.network, "num_prefix_tokens", 0) if name != "sam" else 0
    tokens = seen[0] if name == "sam" else seen[0][:, prefix:]
    if name == "depth-anything-v2":  # normed, as its head sees every layer
        tokens = provider.network.norm(tokens)
    assert torch.allclose(found, tokens.reshape(found.shape), atol=1e-6)
    assert found.shape[-1] == small.card.channels
    last: Any = type("Shallow", (small,), {"options": options, "settings": {"layer": 3}})("random")
    last.load(CPU)
    assert not torch.allclose(last.extract(_photos(*size)), found)


@pytest.mark.parametrize(
    ("name", "layer", "channels", "stride"),
    [
        *(("efficientnet-lite:2", layer, width, 2**layer) for layer, width in ((1, 16), (3, 48), (5, 352))),
        *(("dinov3-convnext:T", layer, 96 * 2 ** (layer - 1), 2 ** (layer + 1)) for layer in (1, 2, 4)),
        *(("sam2:T", layer, 96 * 2 ** (layer - 1), 2 ** (layer + 1)) for layer in (1, 4)),
    ],
)
def test_a_stage_has_its_own_width_and_stride(name: str, layer: int, channels: int, stride: int) -> None:
    """Against what timm says of its stages, and against its own intermediates."""
    sized: Any = features[f"{name}@layer={layer}"]
    for package in sized.needs:
        pytest.importorskip(package)
    assert (sized.card.channels, sized.card.stride) == (channels, stride)
    provider = sized("random")
    provider.load(CPU)
    said = provider.network.feature_info[layer - 1]
    assert (said["num_chs"], said["reduction"]) == (channels, stride)
    photos = _photos(128, 96)
    found = provider.extract(photos)
    assert found.shape == (1, 128 // stride, 96 // stride, channels)
    with torch.no_grad():
        published = provider.network.forward_intermediates(provider.prepared(photos), intermediates_only=True)[layer - 1]
    assert torch.allclose(found, published.permute(0, 2, 3, 1), atol=1e-5)


def test_rows_under_a_former_name_find_their_model() -> None:
    assert features["efficientnet-lite0"] is features["efficientnet-lite"]
    assert features["efficientnet-lite2@layer=2"] is features["efficientnet-lite:2@layer=2"]
    assert features["efficientnet-lite2@untrained"].card.name == "EfficientNet-Lite 2, untrained"
    assert "efficientnet-lite2" in features
    assert "efficientnet-lite2" not in list(features)
    assert str(features.current(_part("efficientnet-lite2@layer=2"))) == "efficientnet-lite:2@layer=2"
    assert features.current(_part("dinov2:L")) == _part("dinov2:L")


def test_local_weights_under_a_former_name_are_the_models(tmp_path: Path) -> None:
    file = tmp_path / "weights.pth"
    file.touch()
    given = checkpoints([f"efficientnet-lite2={file}"])
    settings = Settings(None, tmp_path, "cpu", "pretrained", given)
    assert given == (("efficientnet-lite:2", file.resolve()),)
    for name in ("efficientnet-lite:2", "efficientnet-lite2", "efficientnet-lite2@layer=2"):
        assert settings.checkpoint(name) == file.resolve()
    assert settings.checkpoint("efficientnet-lite") is None
    with pytest.raises(UserError, match="efficientnet-lite:2 is given twice"):
        checkpoints([f"efficientnet-lite2={file}", f"efficientnet-lite:2={file}"])


def test_every_familys_layers_are_tapped_by_code_that_is_tested() -> None:
    """Each family has a test of its own here, or the forward of one that has."""
    tested = {features[name].forward for name in TAPPED} | {StageProvider.forward}  # type: ignore[attr-defined]
    # In test_features_libraries, test_features_networks and test_features_packages.
    elsewhere = {"sam3", "hiera", "v-jepa2", "aliked"}
    layered = [name for name in FAMILIES if "layer" in features[name].offers()]
    left = {name for name in layered if features[name].forward not in tested} - elsewhere  # type: ignore[attr-defined]
    assert left == set()


def test_every_block_of_timms_vit_taps_as_timm_does() -> None:
    """Where the photo has the training size no embedding is resized: our loop and timm's intermediates are one."""
    cls: Any = features["dino:S"]
    provider = type("Shallow", (cls,), {"options": MappingProxyType({**cls.options, "depth": 3})})("random")
    provider.load(CPU)
    photos = provider.prepared(_photos(224, 224))
    published = provider.network.forward_intermediates(photos, output_fmt="NLC", intermediates_only=True)
    for layer in (1, 2, 3):
        provider.settings = {"layer": layer}
        type(provider).settings = MappingProxyType({"layer": layer})
        with torch.no_grad():
            assert torch.allclose(provider.forward(photos), published[layer - 1], atol=1e-5)


def test_layers_are_counted_to_the_depth_of_the_table() -> None:
    for name in FAMILIES:
        cls = features[name]
        if issubclass(cls, TimmProvider) or cls.offers():
            depth = cls.sizes[cls.default_size].depth
            assert list(cls.offers()["layer"].values) == list(range(1, depth + 1)), name


def test_the_untrained_twin_is_random_whatever_the_run_has() -> None:
    twin: Any = features["dinov2:S@untrained"]
    provider = twin("pretrained", checkpoint="local.pth")
    assert provider.weights == "random"
    assert provider.checkpoint is None
    assert provider.weights_digest.startswith("random:")
    assert twin.card.name == "DINOv2 S, untrained"
    assert twin.card.role == features["dinov2"].card.role
    assert features["dinov2:S"]().weights == "pretrained"
    assert str(canonical(features["dinov2"], _part("dinov2:B@layer=12@untrained"))) == "dinov2@untrained"
    for name in ("daisy@untrained", "random-vit@untrained"):
        with pytest.raises(UserError, match="no trained weights, so no untrained twin"):
            features[name]


def test_untrained_twins_of_what_cannot_be_built_are_unavailable() -> None:
    from bench.machine.requirements import check
    from bench.registry import estimators
    from bench.types import Unavailable

    with pytest.raises(Unavailable, match="cannot be built without its checkpoint"):
        check("unidepth", type("Bare", (estimators["unidepth@untrained"],), {"needs": {}}), "pretrained", "cpu")
