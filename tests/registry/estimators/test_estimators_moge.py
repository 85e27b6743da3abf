"""MoGe-1: this suite's own network, against numbers of the official code and cameras worked by hand."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from bench.core.protocols import GEOMETRY_PROTOCOLS
from bench.geometry.camera import intrinsics_from_focal, points_from_depth
from bench.geometry.evaluate import evaluate_sample
from bench.registry import estimators
from bench.types import MonocularSample, UserError
from registry.networks.moge import Configuration, MoGeNetwork, configuration, official_names, view_plane

CPU = torch.device("cpu")
REGISTERED: Any = estimators["moge"]
#: As the publisher's checkpoint states it.
PUBLISHED = {
    "encoder": "dinov2_vitl14",
    "remap_output": "exp",
    "output_mask": True,
    "split_head": True,
    "intermediate_layers": 4,
    "dim_upsample": [256, 128, 64],
    "dim_times_res_block_hidden": 2,
    "num_res_blocks": 2,
    "trained_area_range": [250000, 500000],
    "last_conv_channels": 32,
    "last_conv_size": 1,
}
SMALL = {
    "encoder": "dinov2_vits14",
    "dim_proj": 24,
    "dim_upsample": [32, 16, 16],
    "dim_times_res_block_hidden": 2,
    "num_res_blocks": 1,
    "last_conv_channels": 8,
    "num_tokens_range": [20, 40],
    "remap_output": "exp",
}
WIDTH, DEPTH, GRID = 32, 5, 3  #: of the small encoder


def encoder() -> Any:
    from timm.models.vision_transformer import VisionTransformer

    return VisionTransformer(
        img_size=GRID * 14,
        patch_size=14,
        embed_dim=WIDTH,
        depth=DEPTH,
        num_heads=2,
        num_classes=0,
        init_values=1.0,
        dynamic_img_size=True,
    )


class Small(REGISTERED):  # type: ignore[misc]
    """The registered estimator with a narrow network; the code path is the same."""

    def build(self, found: Configuration) -> MoGeNetwork:
        return MoGeNetwork(found, encoder())


def official_shapes(settings: dict[str, Any], width: int, depth: int, grid: int) -> dict[str, tuple[int, ...]]:
    """Every tensor of the official MoGeModel by its key, read off github.com/microsoft/MoGe, moge/model/v1.py."""
    shapes: dict[str, tuple[int, ...]] = {"image_mean": (1, 3, 1, 1), "image_std": (1, 3, 1, 1)}

    def layer(key: str, *weight: int, bias: int) -> None:
        shapes[f"{key}.weight"], shapes[f"{key}.bias"] = weight, (bias,)

    shapes["backbone.cls_token"], shapes["backbone.mask_token"] = (1, 1, width), (1, width)
    shapes["backbone.pos_embed"] = (1, 1 + grid**2, width)
    layer("backbone.patch_embed.proj", width, 3, 14, 14, bias=width)
    layer("backbone.norm", width, bias=width)
    for block in (f"backbone.blocks.{number}" for number in range(depth)):
        for norm in (1, 2):
            layer(f"{block}.norm{norm}", width, bias=width)
            shapes[f"{block}.ls{norm}.gamma"] = (width,)
        layer(f"{block}.attn.qkv", 3 * width, width, bias=3 * width)
        layer(f"{block}.attn.proj", width, width, bias=width)
        layer(f"{block}.mlp.fc1", 4 * width, width, bias=4 * width)
        layer(f"{block}.mlp.fc2", width, 4 * width, bias=width)
    tokens, last = settings.get("dim_proj", 512), settings["last_conv_channels"]
    for number in range(4):
        layer(f"head.projects.{number}", tokens, width, 1, 1, bias=tokens)
    for number, channels in enumerate(settings["dim_upsample"]):
        before = (tokens, *settings["dim_upsample"])[number] + 2
        layer(f"head.upsample_blocks.{number}.0.0", before, channels, 2, 2, bias=channels)
        layer(f"head.upsample_blocks.{number}.0.1", channels, channels, 3, 3, bias=channels)
        hidden = settings["dim_times_res_block_hidden"] * channels
        for residual in range(1, 1 + settings["num_res_blocks"]):
            part = f"head.upsample_blocks.{number}.{residual}.layers"
            layer(f"{part}.0", channels, bias=channels)
            layer(f"{part}.2", hidden, channels, 3, 3, bias=hidden)
            layer(f"{part}.3", hidden, bias=hidden)
            layer(f"{part}.5", channels, hidden, 3, 3, bias=channels)
    for number, channels in enumerate((3, 1)):
        layer(f"head.output_block.{number}.0", last, settings["dim_upsample"][-1] + 2, 3, 3, bias=last)
        layer(f"head.output_block.{number}.2", channels, last, 1, 1, bias=channels)
    return shapes


def official_state() -> dict[str, torch.Tensor]:
    """The small model's state with values by a formula, the same that the official code was given."""
    state = {}
    for number, (key, shape) in enumerate(sorted(official_shapes(SMALL, WIDTH, DEPTH, GRID).items())):
        about = float(len(shape) == 1 and not key.endswith("bias"))
        values = about + 0.2 * np.sin(1.3 * np.arange(math.prod(shape)) + number)
        state[key] = torch.from_numpy(values).reshape(shape).float()
    return state


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    path = tmp_path / "model.pt"
    torch.save({"model_config": SMALL, "model": official_state()}, path)
    return path


def loaded(path: Path) -> Any:
    estimator = Small(checkpoint=path)
    estimator.load(CPU)
    return estimator


def pattern(height: int, width: int) -> np.ndarray:
    rows, columns = np.mgrid[:height, :width]
    planes = [3 * columns, 2 * rows + columns, 255 - 2 * columns - rows]
    return np.stack(planes, axis=-1).clip(0, 255).astype(np.uint8)


def photo(seed: int = 0, height: int = 60, width: int = 96) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


#: The official code's points and mask values at (0, 0), (20, 30) and (44, 44), and the mean and deviation of all points.
OFFICIAL: dict[tuple[int, int], tuple[list[list[float]], list[float], tuple[float, float]]] = {
    (45, 80): (
        [[-0.187902, -0.20264, 1.066127], [-0.199822, -0.133264, 1.017891], [-0.191596, -0.11656, 0.997663]],
        [0.084686, 0.08676, 0.098322],
        (0.22768471, 0.56947470),
    ),
    (80, 45): (
        [[-0.203316, -0.175031, 1.054884], [-0.19769, -0.132829, 1.015938], [-0.146465, -0.300689, 1.114692]],
        [0.081581, 0.089144, 0.10409],
        (0.22737400, 0.57226525),
    ),
}


@pytest.mark.parametrize("size", OFFICIAL)
def test_the_network_gives_what_the_official_code_gave(size: tuple[int, int], checkpoint: Path) -> None:
    network = loaded(checkpoint).network
    with torch.no_grad():
        found, mask = network(torch.from_numpy(pattern(*size)).permute(2, 0, 1)[None].float() / 255, 40)
    assert found.shape == (1, *size, 3)
    assert mask.shape == (1, *size)
    points, masks, (mean, deviation) = OFFICIAL[size]
    at = [0, 20, 44], [0, 30, 44]
    np.testing.assert_allclose(found[0][at], points, atol=3e-6)
    np.testing.assert_allclose(mask[0][at], masks, atol=3e-6)
    assert float(found.double().mean()) == pytest.approx(mean, abs=1e-6)
    assert float(found.double().std()) == pytest.approx(deviation, abs=1e-6)


def test_the_published_network_has_the_official_tensors() -> None:
    """314 million parameters, as the publisher's table of models states."""
    shapes = official_shapes(PUBLISHED, 1024, 24, 37)
    assert sum(map(math.prod, shapes.values())) / 1e6 == pytest.approx(314.2, abs=0.05)
    state = official_names({key: torch.empty(shape, device="meta") for key, shape in shapes.items()})
    with torch.device("meta"):
        network = MoGeNetwork(configuration(PUBLISHED, Path("model.pt")))
    expected = {key: tuple(value.shape) for key, value in network.state_dict().items()}
    assert {key: tuple(value.shape) for key, value in state.items()} == expected
    assert configuration(PUBLISHED, Path("model.pt")) == Configuration()


def test_a_checkpoint_that_does_not_fit_is_refused_by_name(checkpoint: Path) -> None:
    whole = official_state()
    faults = {
        r"1 missing: points.2.bias": {key: value for key, value in whole.items() if key != "head.output_block.0.2.bias"},
        r"1 unknown: head.scale.weight": whole | {"head.scale.weight": torch.zeros(1)},
        r"1 of another shape: encoder.norm.weight is \(3,\), expected \(32,\)": whole
        | {"backbone.norm.weight": torch.zeros(3)},
    }
    for message, state in faults.items():
        torch.save({"model_config": SMALL, "model": state}, checkpoint)
        with pytest.raises(UserError, match=message):
            loaded(checkpoint)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"remap_output": "linear"}, "model_config.remap_output is 'linear'.*'exp' only"),
        ({"res_block_norm": "layer_norm"}, "model_config.res_block_norm is 'layer_norm'"),
        ({"neck": {}}, "model_config.neck is no setting of MoGe-1"),
        ({"encoder": "dinov2_vitg14"}, "names the encoder 'dinov2_vitg14'.*dinov2_vitl14"),
        ({"intermediate_layers": [5, 11, 17, 23]}, r"the layers \(5, 11, 17, 23\)"),
    ],
)
def test_another_network_than_moge_1_is_refused(change: dict[str, Any], message: str, checkpoint: Path) -> None:
    torch.save({"model_config": SMALL | change, "model": official_state()}, checkpoint)
    with pytest.raises(UserError, match=message):
        loaded(checkpoint)


def test_a_configuration_that_is_none_is_refused_by_name(checkpoint: Path) -> None:
    torch.save({"model_config": ["small"], "model": official_state()}, checkpoint)
    with pytest.raises(UserError, match=f"{checkpoint.name}: model_config is a list"):
        loaded(checkpoint)


def test_a_checkpoint_is_read_once(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    load, read = torch.load, []
    monkeypatch.setattr(torch, "load", lambda path, **options: read.append(path) or load(path, **options))
    loaded(checkpoint)
    assert read == [checkpoint]


def test_safetensors_hold_the_published_network() -> None:
    assert configuration({}, Path("model.safetensors")).num_tokens_range[1] == 500000 // 196


def test_view_plane_by_hand() -> None:
    """A map of 2 x 4 over a photo of 3 : 4, half a diagonal being 1: the corners are at (0.8, 0.6)."""
    plane = view_plane(2, 4, 4 / 3, torch.zeros(1))
    np.testing.assert_allclose(plane[0, 0], [-0.6, -0.2, 0.2, 0.6], atol=1e-7)
    np.testing.assert_allclose(plane[1, :, 0], [-0.3, 0.3], atol=1e-7)


def test_the_last_blocks_are_read_in_order_each_after_the_norm() -> None:
    class Add(nn.Module):
        def __init__(self, amount: float) -> None:
            super().__init__()
            self.amount = amount

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x + self.amount

    class Double(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return 2 * x

    stand_in = encoder()
    stand_in.patch_embed.forward = lambda x: torch.zeros(1, x.shape[2] // 14, x.shape[3] // 14, WIDTH)
    nn.init.zeros_(stand_in.pos_embed)
    stand_in.blocks = nn.Sequential(*(Add(10.0**number) for number in range(5)))
    stand_in.norm = Double()
    network = MoGeNetwork(configuration(SMALL, Path("m")), stand_in)
    for number, projection in enumerate(network.projections):
        nn.init.constant_(projection.weight, (number + 1) / WIDTH)  # type: ignore[arg-type]
        nn.init.zeros_(projection.bias)  # type: ignore[arg-type]
    summed = network._projected(torch.zeros(1, 3, 30, 45))
    assert summed.shape == (1, 24, 2, 3)
    np.testing.assert_allclose(summed.detach(), 2 * (1 * 11 + 2 * 111 + 3 * 1111 + 4 * 11111), rtol=1e-6)


def perspective(estimator: Any, focal: float, slope: float) -> None:
    """Set the heads so that the photo is seen by a camera: x = u / focal, y = v / focal, log z = slope * u, all inside.

    (u, v): the view plane, of which the corners are at distance 1; focal: in the same unit.
    """
    with torch.no_grad():
        for head in (estimator.network.points, estimator.network.mask):
            for parameter in head.parameters():
                parameter.zero_()
        first, last = estimator.network.points[0], estimator.network.points[2]
        for channel, (plane, sign) in enumerate(((-2, 1), (-2, -1), (-1, 1), (-1, -1))):  # u, -u, v, -v, each after a ReLU
            first.weight[channel, plane, 1, 1] = sign
        rows = [[1 / focal, -1 / focal, 0, 0], [0, 0, 1 / focal, -1 / focal], [slope, -slope, 0, 0]]
        last.weight[:, :4, 0, 0] = torch.tensor(rows)
        estimator.network.mask[2].bias.fill_(1.0)


@pytest.mark.parametrize(("height", "width"), [(60, 96), (96, 60), (70, 70)])
def test_a_camera_that_the_network_sees_through_is_recovered(height: int, width: int, checkpoint: Path) -> None:
    estimator = loaded(checkpoint)
    perspective(estimator, focal=1.5, slope=0.7)
    image = photo(height=height, width=width)
    found = estimator.predict(image)
    assert {name for name, value in vars(found).items() if value is not None} == {
        "points_scale_invariant",
        "depth_scale_invariant",
        "intrinsics",
        "mask",
    }
    # Half a diagonal in widths: 1.5 of them is the focal length.
    camera = intrinsics_from_focal(1.5 * math.hypot(width, height) / 2 / width, width / height)
    np.testing.assert_allclose(found.intrinsics, camera, rtol=0.01)
    across = (2 * np.arange(width) + 1 - width) / math.hypot(width, height)
    truth = np.broadcast_to(np.exp(0.7 * across), (height, width))
    np.testing.assert_allclose(found.depth_scale_invariant, truth, rtol=0.02)
    assert found.mask.all()
    sample = MonocularSample("d", "s", image, truth.astype(np.float32), camera, metric=False)
    rows = {(r.alignment, r.metric): r.value for r in evaluate_sample(sample, found, GEOMETRY_PROTOCOLS["moge-v1"])}
    assert rows["points_scale_invariant", "rel"] < 0.02
    assert rows["fov", "fov_x_error"] < 0.5
    np.testing.assert_array_equal(
        found.points_scale_invariant, points_from_depth(found.depth_scale_invariant, found.intrinsics)
    )


def test_a_given_focal_length_is_kept(checkpoint: Path) -> None:
    estimator = loaded(checkpoint)
    perspective(estimator, focal=1.5, slope=0.7)
    found = estimator.predict(photo(), intrinsics_from_focal(1.1, 1.6))
    np.testing.assert_allclose(found.intrinsics, intrinsics_from_focal(1.1, 1.6))


def test_a_photo_of_sky_has_depth_and_a_camera_but_no_surface(checkpoint: Path) -> None:
    estimator = loaded(checkpoint)
    perspective(estimator, focal=1.5, slope=0.7)
    with torch.no_grad():
        estimator.network.mask[2].bias.fill_(0.5)  # the threshold itself is outside
    found = estimator.predict(photo(height=60, width=80))
    assert not found.mask.any()
    # The official fallback: focal length half a diagonal (here 50 of 80 pixels), no shift.
    np.testing.assert_allclose(found.intrinsics, intrinsics_from_focal(50 / 80, 4 / 3))
    assert np.isfinite(found.depth_scale_invariant).all()
    assert (found.depth_scale_invariant > 0).all()


def test_the_photo_is_seen_at_the_most_tokens_of_the_training(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    estimator = loaded(checkpoint)
    asked: list[int] = []
    forward = estimator.network.forward
    monkeypatch.setattr(
        estimator.network, "forward", lambda images, tokens: (asked.append(tokens), forward(images, tokens))[1]
    )
    estimator.predict(photo())
    assert asked == [40]


def test_random_weights_are_seeded_and_leave_the_generator_alone() -> None:
    class Random(Small):
        def build(self, found: Configuration) -> MoGeNetwork:
            assert found == Configuration()
            return super().build(configuration(SMALL, Path("small")))

    torch.manual_seed(7)
    untouched = torch.rand(3)
    torch.manual_seed(7)
    first, second = Random("random"), Random("random")
    for estimator in (first, second):
        estimator.load(CPU)
    torch.testing.assert_close(torch.rand(3), untouched)
    image = photo(height=96, width=60)
    found, again = first.predict(image), second.predict(image)
    np.testing.assert_array_equal(found.depth_scale_invariant, again.depth_scale_invariant)
    assert found.points_scale_invariant.shape == (96, 60, 3)
    assert np.isfinite(found.points_scale_invariant).all()
    assert first.weights == "random"


def test_the_card_counts_the_networks_parameters() -> None:
    with torch.device("meta"):
        counted = sum(value.numel() for value in MoGeNetwork(Configuration()).parameters())
    assert REGISTERED.card.parameters == pytest.approx(counted / 1e6, abs=0.05)
