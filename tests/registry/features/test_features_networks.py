"""The foundation models with seeded random weights: what each gives, and the settings that each must not have.

Depths are cut to a block or two: every setting under test acts before the second block or in each block alike. Each wrong
setting is one that looks equivalent and is not what was probed.
"""

from __future__ import annotations

import sys
from types import MappingProxyType
from typing import Any

import pytest
import timm
import torch
import torch.nn.functional as F
from timm.models.eva import Eva
from torch import Tensor

from bench.machine import requirements
from bench.registry import features
from bench.types import Unavailable
from registry.features import croco
from registry.support import images
from registry.support import timm as support

CPU = torch.device("cpu")
#: Families whose networks can be cut to one block.
TIMM = (
    *("dino", "dinov2", "dinov2-reg", "dinov3", "lingbot", "sam", "clip", "openclip", "siglip2", "pe-spatial", "pe-core"),
    *("pe-lang", "tipsv2", "i-jepa", "eva02", "aimv2", "deit3", "midas", "depth-anything-v2", "radio", "c-radio"),
    *("c-radio-v4", "eupe", "vggt", "ibot", "metaclip2", "beit3", "internvit", "pixio", "videomae"),
)
#: The smallest of those whose networks cannot.
WHOLE = ("sapiens2:B", "dinov3-convnext:T", "eupe-convnext:T", "convnext:T", "convnextv2:A", "sam2:T", "hiera:T")


def _photos(height: int = 96, width: int = 128, views: int = 1) -> Tensor:
    return torch.rand(views, 3, height, width, generator=torch.Generator().manual_seed(0))


def _shallow(name: str, depth: int = 1, **options: Any) -> Any:
    """A timm provider of that depth, loaded, its weights spread so that no zero and no tiny scale hides anything."""
    cls: Any = features[name]
    provider = type(cls.__name__, (cls,), {"options": MappingProxyType({**cls.options, "depth": depth, **options})})(
        "random"
    )
    provider.load(CPU)
    return _spread(provider)


def _spread(provider: Any) -> Any:
    generator = torch.Generator().manual_seed(1)
    for parameter in provider.network.parameters():
        parameter.add_(torch.randn(parameter.shape, generator=generator) * (0.1 if parameter.ndim == 1 else 0.03))
    for name in ("pos_embed", "cls_token"):
        if getattr(provider.network, name, None) is not None:
            getattr(provider.network, name).normal_(generator=generator)
    return provider


def _difference(first: Tensor, second: Tensor) -> float:
    return float((first - second).norm() / first.norm())


@pytest.mark.parametrize("name", TIMM)
def test_each_gives_one_vector_a_patch_of_the_width_on_its_card(name: str) -> None:
    provider = _shallow(name)
    stride = provider.card.stride
    height, width = (96, 128) if stride == 16 else (98, 140)
    values = provider.extract(_photos(height, width))
    assert values.shape == (1, height // stride, width // stride, provider.card.channels)
    assert values.dtype == torch.float32
    assert values.isfinite().all()
    assert values.std(dim=(1, 2)).min() > 0, "no channel is constant over the photo"
    portrait = provider.extract(_photos(width, height))
    assert portrait.shape[1:3] == (width // stride, height // stride)


@pytest.mark.parametrize("name", WHOLE)
def test_so_do_those_that_cannot_be_cut(name: str) -> None:
    provider: Any = features[name]("random")
    provider.load(CPU)
    for height, width in ((96, 128), (128, 80)):
        values = provider.extract(_photos(height, width))
        if name not in ("sam2:T", "hiera:T") or width % 32 == 0:
            assert values.shape == (1, height // 16, width // 16, provider.card.channels)
        else:
            assert values.shape == (1, 10, 6, provider.card.channels), "padded to 160 x 96"
        assert values.isfinite().all()


def test_random_weights_are_the_same_every_time_and_are_labelled() -> None:
    first, second = _shallow("dino"), _shallow("dino")
    assert torch.equal(first.extract(_photos()), second.extract(_photos()))
    assert first.weights == "random"
    assert first.weights_digest.startswith("random:")
    assert features["dino"]().weights_digest.startswith("pretrained:")


def test_photos_are_described_one_by_one() -> None:
    provider = _shallow("dinov2")
    photos = _photos(98, 126, views=3)
    together = provider.extract(photos)
    assert torch.allclose(together[2:], provider.extract(photos[2:]), atol=1e-5)


def test_padding_to_patches_of_14_is_centred_and_stays() -> None:
    padded = images.centre_padded(torch.ones(1, 1, 384, 512), 14)
    assert padded.shape == (1, 1, 392, 518)
    assert padded[0, 0, 4:388, 3:515].min() == 1
    assert padded.sum() == 384 * 512
    # One side fits already: it gets a whole patch all the same.
    assert images.centre_padded(torch.ones(1, 1, 392, 512), 14).shape == (1, 1, 406, 518)
    assert images.centre_padded(torch.ones(1, 1, 392, 518), 14).shape == (1, 1, 392, 518)
    assert _shallow("dinov2").extract(_photos(96, 128)).shape[1:3] == (7, 10)


@pytest.mark.parametrize(("name", "size"), [("dino", (96, 128)), ("dinov2", (98, 126))])
def test_dino_resizes_positions_by_scale_not_to_size(name: str, size: tuple[int, int]) -> None:
    provider = _shallow(name)
    ours = provider.extract(_photos(*size))
    as_timm = support.TimmProvider.forward(provider, images.normalised(_photos(*size), provider.statistics)).reshape(
        ours.shape
    )
    assert _difference(ours, as_timm) > 1e-3
    position = provider.network.pos_embed
    side, grid = round((position.shape[1] - 1) ** 0.5), (6, 8)
    square = position[:, 1:].reshape(1, side, side, -1).permute(0, 3, 1, 2)
    by_size = F.interpolate(square, size=grid, mode="bicubic").flatten(2).transpose(1, 2)
    by_scale = support.position_by_scale(position, grid)
    assert by_scale.shape == (1, 49, position.shape[2])
    assert _difference(by_scale[:, 1:], by_size) > 1e-3
    assert torch.equal(by_scale[:, :1], position[:, :1])
    assert torch.equal(support.position_by_scale(position, (side, side)), position)


def test_scaled_positions_against_a_direct_bicubic_sampling() -> None:
    """position_by_scale reads the embedding at (i + 0.5) * n / (side + 0.1) - 0.5, with the cubic kernel of a = -0.75."""
    position = torch.randn(1, 1 + 49, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)

    def kernel(distance: Tensor) -> Tensor:
        a, d = -0.75, distance.abs()
        near = (a + 2) * d**3 - (a + 3) * d**2 + 1
        far = a * d**3 - 5 * a * d**2 + 8 * a * d - 4 * a
        return torch.where(d <= 1, near, torch.where(d < 2, far, torch.zeros_like(d)))

    def matrix(length: int) -> Tensor:
        at = (torch.arange(length).double() + 0.5) * 7 / (length + 0.1) - 0.5
        taps = at.floor().long()[:, None] + torch.arange(-1, 3)
        weights = torch.zeros(length, 7, dtype=torch.float64)
        return weights.scatter_add(1, taps.clamp(0, 6), kernel(at[:, None] - taps))

    expected = matrix(5) @ position[0, 1:, 0].reshape(7, 7) @ matrix(3).T
    assert torch.allclose(support.position_by_scale(position, (5, 3))[0, 1:, 0].reshape(5, 3), expected, atol=1e-6)


@pytest.mark.parametrize("name", ["dino", "dinov2", "midas", "siglip2", "dinov3"])
def test_the_final_norm_is_left_out(name: str) -> None:
    provider = _shallow(name)
    size = (98, 126) if provider.card.stride == 14 else (96, 128)
    ours = provider.extract(_photos(*size))
    assert _difference(ours, provider.network.norm(ours)) > 0.1


def test_the_final_norm_is_applied_where_the_encoder_ends_with_it() -> None:
    for name in ("vggt", "depth-anything-v2"):
        provider = _shallow(name)
        tokens = provider.extract(_photos(98, 126)).reshape(-1, provider.card.channels)
        restored = (tokens - provider.network.norm.bias) / provider.network.norm.weight
        assert restored.mean(dim=-1).abs().max() < 1e-3
        assert torch.allclose(restored.std(dim=-1, correction=0), torch.ones(len(restored)), atol=1e-2)


def test_midas_is_not_the_transformers_library_setting() -> None:
    """transformers resizes the position embedding bilinearly and norms with 1e-12."""
    provider = _shallow("midas")
    ours = provider.extract(_photos())
    position = provider.network.pos_embed
    square = position[:, 1:].reshape(1, 24, 24, -1).permute(0, 3, 1, 2)
    bilinear = F.interpolate(square, size=(6, 8), mode="bilinear").flatten(2).transpose(1, 2)
    other = support.block_tokens(
        provider.network, images.normalised(_photos(), images.HALF), torch.cat([position[:, :1], bilinear], dim=1)
    )
    assert _difference(ours, other.reshape(ours.shape)) > 1e-3
    assert provider.network.blocks[0].norm1.eps == 1e-6


def test_sam_resizes_positions_without_antialiasing_and_is_built_at_its_own_size() -> None:
    provider = _shallow("sam")
    ours = provider.extract(_photos())
    network = provider.network
    x = network.patch_embed(images.normalised(_photos(), images.IMAGENET))
    position = F.interpolate(network.pos_embed.permute(0, 3, 1, 2), size=(6, 8), mode="bicubic", antialias=True)
    assert _difference(ours, network.blocks(x + position.permute(0, 2, 3, 1))) > 1e-3
    small = timm.create_model(provider.architecture, pretrained=False, depth=1, img_size=(96, 128), num_classes=0)
    assert small.pos_embed.shape != network.pos_embed.shape
    with pytest.raises(RuntimeError, match="size mismatch"):
        small.load_state_dict(network.state_dict())


def test_clip_needs_the_quick_gelu_the_projection_and_antialiased_positions() -> None:
    provider = _shallow("clip")
    ours = provider.extract(_photos())
    plain = timm.create_model("vit_base_patch16_clip_224.openai", num_classes=512, dynamic_img_size=True, depth=1).eval()
    plain.load_state_dict(provider.network.state_dict())
    provider.network, quick = plain, provider.network
    assert _difference(ours, provider.extract(_photos())) > 1e-3
    tokens = quick.forward_features(images.normalised(_photos(), images.IMAGENET))[:, 1:]
    assert torch.allclose(ours.reshape(1, 48, 512), quick.head(tokens), atol=1e-5)


def test_siglip2_is_not_the_timm_setting() -> None:
    """timm takes the exact GELU and an antialiased position embedding; JAX and the authors' release for PyTorch do not."""
    provider = _shallow("siglip2")
    ours = provider.extract(_photos())
    photos = images.normalised(_photos(), images.HALF)
    as_timm = support.TimmProvider.forward(provider, photos).reshape(ours.shape)
    assert _difference(ours, as_timm) > 1e-3
    whole = _photos(512, 512)
    published_size = support.TimmProvider.forward(provider, images.normalised(whole, images.HALF))
    assert torch.allclose(provider.extract(whole).flatten(1, 2), published_size, atol=1e-4)
    exact = timm.create_model(provider.architecture, pretrained=False, depth=1, num_classes=0, dynamic_img_size=True).eval()
    exact.load_state_dict(provider.network.state_dict(), strict=False)
    provider.network = exact
    assert 1e-5 < _difference(ours, provider.extract(_photos())) < 1e-2


def test_perception_encoder_is_not_the_timm_setting() -> None:
    provider = _shallow("pe-spatial")
    ours = provider.extract(_photos())
    photos = images.normalised(_photos(), images.HALF)
    as_timm = support.TimmProvider.forward(provider, photos).reshape(ours.shape)
    assert _difference(ours, as_timm) > 1e-3
    assert torch.allclose(
        provider.network.rope.get_embed(shape=(6, 8)),
        provider.network.rope.get_embed(shape=(32, 32)).unflatten(0, (32, 32))[:6, :8].flatten(0, 1),
    )
    whole = _photos(512, 512)
    published_size = support.TimmProvider.forward(provider, images.normalised(whole, images.HALF))
    assert torch.allclose(provider.extract(whole).flatten(1, 2), published_size, atol=1e-4)


def test_mae_ends_a_block_early_and_makes_its_positions_for_each_size() -> None:
    provider = features["mae"]("random")
    provider.load(CPU)
    _spread(provider)
    photos = images.normalised(_photos(), images.IMAGENET)
    ours = provider.extract(_photos())
    interpolated = support.TimmProvider.forward(provider, photos)  # type: ignore[arg-type]
    assert _difference(ours, interpolated.reshape(ours.shape)) > 1e-2
    from registry.features.mae import sine_position

    last = support.block_tokens(provider.network, photos, sine_position(6, 8, 768))  # type: ignore[attr-defined]
    assert _difference(ours, last.reshape(ours.shape)) > 1e-2


def test_mae_positions_by_their_formula() -> None:
    from registry.features.mae import sine_position

    position = sine_position(4, 6, 16)
    assert position.shape == (1, 25, 16)
    assert position[0, 0].abs().max() == 0
    row, column = 3, 5
    frequency = 10000 ** (-torch.arange(4).double() / 4)
    expected = torch.cat(
        [(column * frequency).sin(), (column * frequency).cos(), (row * frequency).sin(), (row * frequency).cos()]
    )
    assert torch.allclose(position[0, 1 + row * 6 + column].double(), expected, atol=1e-6)


def _official_attention(x: Tensor, weight: Tensor, bias: Tensor, grid: tuple[int, int]) -> Tensor:
    """Attention with CroCo's rotary layout, from its definition: halves of a head for rows and columns, channel i of n with
    channel i + n/2, frequencies 100^(-2i/n)."""
    heads, width = 16, x.shape[-1] // 16
    query, key, value = (x @ weight.T + bias).reshape(len(x), 3, heads, width).permute(1, 2, 0, 3)
    rows, columns = (axis.flatten().double() for axis in torch.meshgrid(*map(torch.arange, grid), indexing="ij"))

    def rotated(vectors: Tensor) -> Tensor:
        parts = []
        for part, positions in zip(vectors.chunk(2, dim=-1), (rows, columns), strict=True):
            n = part.shape[-1]
            angles = positions[:, None] * 100.0 ** (-2 * torch.arange(n // 2).double() / n)
            first, second = part[..., : n // 2], part[..., n // 2 :]
            parts += [first * angles.cos() - second * angles.sin(), second * angles.cos() + first * angles.sin()]
        return torch.cat(parts, dim=-1)

    scores = (rotated(query) @ rotated(key).transpose(1, 2) / width**0.5).softmax(dim=-1)
    return (scores @ value).transpose(0, 1).reshape(len(x), -1)


def test_croco_converted_attention_is_the_official_one() -> None:
    network = Eva(**_croco_options(depth=1)).eval()
    generator = torch.Generator().manual_seed(0)
    weight, bias = torch.randn(3072, 1024, generator=generator) * 0.03, torch.randn(3072, generator=generator)
    attention = network.blocks[0].attn
    attention.load_state_dict(
        {
            "qkv.weight": croco._paired(weight),
            "qkv.bias": croco._paired(bias),
            "proj.weight": torch.eye(1024),
            "proj.bias": torch.zeros(1024),
        }
    )
    x = torch.randn(1, 24, 1024, generator=generator)
    with torch.no_grad():
        ours = attention(x, rope=network.rope.get_embed(shape=(4, 6)))[0]
        expected = _official_attention(x[0].double(), weight.double(), bias.double(), (4, 6))
        attention.load_state_dict({"qkv.weight": weight, "qkv.bias": bias}, strict=False)
        unconverted = attention(x, rope=network.rope.get_embed(shape=(4, 6)))[0]
    assert _difference(expected, ours.double()) < 1e-5
    assert _difference(expected, unconverted.double()) > 1e-2


def _croco_options(depth: int) -> dict[str, Any]:
    """What the provider builds the network from, at another depth."""
    captured: dict[str, Any] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("timm.models.eva.Eva", lambda **options: captured.update(options))
        features["croco"]("random").build()  # type: ignore[attr-defined]
    return captured | {"depth": depth}


@pytest.mark.parametrize("name", ["croco", "dust3r", "mast3r"])
def test_croco_family_gives_normed_tokens_and_keeps_its_key_bias(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    shallow = _croco_options(depth=1)
    monkeypatch.setattr("timm.models.eva.Eva", lambda **options: Eva(**shallow))
    provider: Any = features[name]("random")
    provider.load(CPU)
    _spread(provider)
    ours = provider.extract(_photos())
    assert ours.shape == (1, 6, 8, 1024)
    # timm's default attention has no key bias of its own.
    assert any(key.endswith("attn.qkv.bias") for key in provider.network.state_dict())
    default = Eva(**shallow | {"attn_type": "eva"}).eval()
    assert not any("k_bias" in key or key.endswith("qkv.bias") for key in default.state_dict())
    state = provider.network.state_dict()
    query, _, value = state.pop("blocks.0.attn.qkv.bias").chunk(3)
    default.load_state_dict(state | {"blocks.0.attn.q_bias": query, "blocks.0.attn.v_bias": value})
    provider.network = default
    assert _difference(ours, provider.extract(_photos())) > 1e-3


def test_v_jepa2_reads_positions_off_the_photo_not_off_a_square(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("transformers")
    from transformers.models.vjepa2 import configuration_vjepa2

    whole = configuration_vjepa2.VJEPA2Config
    monkeypatch.setattr(configuration_vjepa2, "VJEPA2Config", lambda **options: whole(**options | {"num_hidden_layers": 2}))
    provider: Any = features["v-jepa2"]("random")
    provider.load(CPU)
    _spread(provider)
    ours = provider.extract(_photos())
    assert ours.shape == (1, 6, 8, 1024)
    for layer in provider.network.layer:
        layer.attention.grid_size = 16
    video = images.normalised(_photos(), images.IMAGENET)[:, None].expand(-1, 2, -1, -1, -1)
    as_the_library = provider.network(video).last_hidden_state
    assert _difference(ours, as_the_library.reshape(ours.shape)) > 1e-3
    square = provider.extract(_photos(256, 256))
    for layer in provider.network.layer:
        layer.attention.grid_size = 16
    video = images.normalised(_photos(256, 256), images.IMAGENET)[:, None].expand(-1, 2, -1, -1, -1)
    assert torch.allclose(square, provider.network(video).last_hidden_state.reshape(square.shape), atol=1e-5)
    seen: list[Tensor] = []
    provider.network.layer[0].register_forward_hook(lambda module, inputs, output: seen.append(output[0]))
    provider.setting = {"layer": 1}.__getitem__
    first = provider.extract(_photos())
    assert torch.allclose(first.flatten(1, 2), provider.network.layernorm(seen[0]), atol=1e-5)
    assert _difference(ours, first) > 1e-3


def test_what_parameters_take_is_told_without_building_them() -> None:
    """By the cards alone, which test_families compares with the networks."""
    billion = 1e9
    assert features["radio"].parameter_bytes() == pytest.approx(2.6 * billion, rel=0.02)
    assert features["iuvrgb"].parameter_bytes() is None
    # The published denoiser and autoencoder have 866 and 84 million parameters.
    assert features["sd"].parameter_bytes() == pytest.approx(4 * (0.866 + 0.084) * billion, rel=0.01)


def test_a_missing_package_is_named_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requirements, "is_installed", lambda name: name == "torch")
    for package in ("transformers", "diffusers"):
        monkeypatch.delitem(sys.modules, package, raising=False)
    for name, wanted in (
        ("sd", r"vfm3d-bench\[sd\]"),
        ("v-jepa2", r"vfm3d-bench\[hf\]"),
        ("vggt-decoder", "facebookresearch"),
    ):
        with pytest.raises(Unavailable, match=wanted):
            features[name]("random").load(CPU)
