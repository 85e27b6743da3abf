"""LeReS: this suite's own network, against numbers of the official code and its checkpoint's layout."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from bench.machine.weights import check, fetch, sources
from bench.registry import estimators
from bench.types import Unavailable, UserError
from registry.estimators.leres import SIDE
from registry.networks import leres
from registry.networks.leres import LeReSNetwork, official_names

CPU = torch.device("cpu")
REGISTERED: Any = estimators["leres"]
WIDTH = 16  #: of the narrow decoder
PUBLISHED = {"stages": (3, 4, 23, 3), "planes": (64, 128, 256, 512), "width": 256}
NARROW = {"stages": (1, 1, 1, 1), "planes": (8, 16, 32, 64), "width": WIDTH}


def narrow() -> LeReSNetwork:
    return LeReSNetwork(WIDTH, layers=NARROW["stages"], channels=NARROW["planes"])


class Narrow(REGISTERED):  # type: ignore[misc]
    """The registered estimator with a narrow network; the code path is the same."""

    def build(self) -> LeReSNetwork:
        return narrow()


def official_shapes(stages: tuple[int, ...], planes: tuple[int, ...], width: int) -> dict[str, tuple[int, ...]]:
    """Every tensor of the official depth network by its key, read off lib/network_auxi.py and lib/Resnext_torch.py of
    github.com/aim-uofa/AdelaiDepth, LeReS/Minist_Test."""
    shapes: dict[str, tuple[int, ...]] = {}

    def convolution(key: str, *weight: int, bias: bool = True) -> None:
        shapes[f"{key}.weight"] = weight
        if bias:
            shapes[f"{key}.bias"] = weight[:1]

    def norm(key: str, channels: int) -> None:
        for name in ("weight", "bias", "running_mean", "running_var"):
            shapes[f"{key}.{name}"] = (channels,)
        shapes[f"{key}.num_batches_tracked"] = ()

    encoder = "depth_model.encoder_modules.encoder"
    convolution(f"{encoder}.conv1", 64, 3, 7, 7, bias=False)
    norm(f"{encoder}.bn1", 64)
    before = 64
    for stage, (count, plane) in enumerate(zip(stages, planes, strict=True), 1):
        inner, after = plane * 8 // 64 * 32, 4 * plane  # 32 groups, each eight wide for 64 planes
        for number in range(count):
            block = f"{encoder}.layer{stage}.{number}"
            convolution(f"{block}.conv1", inner, before, 1, 1, bias=False)
            convolution(f"{block}.conv2", inner, inner // 32, 3, 3, bias=False)
            convolution(f"{block}.conv3", after, inner, 1, 1, bias=False)
            for index, channels in enumerate((inner, inner, after), 1):
                norm(f"{block}.bn{index}", channels)
            if number == 0:
                convolution(f"{block}.downsample.0", after, before, 1, 1, bias=False)
                norm(f"{block}.downsample.1", after)
            before = after

    def transfer_block(key: str, channels: int, mid: int) -> None:
        convolution(f"{key}.conv1", mid, channels, 3, 3)
        convolution(f"{key}.conv_branch.1", mid, mid, 3, 3)
        norm(f"{key}.conv_branch.2", mid)
        convolution(f"{key}.conv_branch.4", mid, mid, 3, 3)

    decoder = "depth_model.decoder_modules"
    transfer_block(f"{decoder}.conv", 4 * planes[3], 2 * width)
    convolution(f"{decoder}.conv1", width, 2 * width, 3, 3)
    for number in range(3):
        transfer_block(f"{decoder}.ffm{number}.ftb1", 4 * planes[number], width)
        transfer_block(f"{decoder}.ffm{number}.ftb2", width, width)
    convolution(f"{decoder}.outconv.adapt_conv.0", width // 2, width, 3, 3)
    norm(f"{decoder}.outconv.adapt_conv.1", width // 2)
    convolution(f"{decoder}.outconv.adapt_conv.3", 1, width // 2, 3, 3)
    return shapes


def official_state() -> dict[str, Tensor]:
    """The narrow network's state: numbers that the official code was given as well."""
    state = {}
    for number, (key, shape) in enumerate(sorted(official_shapes(**NARROW).items())):  # type: ignore[arg-type]
        if not shape:
            state[key] = torch.tensor(7)
            continue
        noise = np.random.RandomState(number).standard_normal(math.prod(shape))  # a frozen stream
        about = float(not key.endswith(("bias", "mean")))
        values = noise * (2 / math.prod(shape[1:])) ** 0.5 if len(shape) > 1 else about + 0.1 * noise
        state[key] = torch.from_numpy(values).reshape(shape).float()
    return state


def saved(path: Path, state: dict[str, Tensor], **options: Any) -> Path:
    """As published: wrapped, from a network trained on several GPUs, beside the networks for shift and focal length."""
    depth = {f"module.{key}": value for key, value in state.items()}
    other = {"module.stem.0.kernel": torch.zeros(3)}
    torch.save({"depth_model": depth, "shift_model": other, "focal_model": other}, path, **options)
    return path


def loaded(path: Path) -> Any:
    estimator = Narrow(checkpoint=path)
    estimator.load(CPU)
    return estimator


@pytest.fixture(scope="module")
def estimator(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return loaded(saved(tmp_path_factory.mktemp("leres") / "res101.pth", official_state()))


def pattern(height: int, width: int) -> np.ndarray:
    y, x = np.mgrid[:height, :width].astype(float)
    waves = [127.5 + 127 * np.sin(0.031 * (k + 2) * x + 0.047 * (3 - k) * y + k) for k in range(3)]
    return np.stack(waves, axis=-1).astype(np.uint8)


#: Rows and columns at 20 pixels from the border and in the middle: the official network with official_state() on pattern(),
#: resized by OpenCV, ImageNet-normalised, its lowest value set to 0.01, resized back by OpenCV.
OFFICIAL = {
    (448, 448): [
        [82.50715, 109.16143, 101.76057],
        [201.47594, 167.73308, 152.62236],
        [178.88435, 198.80418, 163.83836],
    ],
    (300, 500): [
        [110.84684, 128.29788, 51.562817],
        [123.98204, 155.46011, 72.95971],
        [173.13182, 172.76665, 106.23612],
    ],
}


@pytest.mark.parametrize(("size", "tolerance"), [((448, 448), 2e-3), ((300, 500), 1)])
def test_it_predicts_what_the_official_code_predicts(size: tuple[int, int], tolerance: float, estimator: Any) -> None:
    """The values have a deviation of 32. OpenCV rounds a resized photo to whole grey levels, which this suite does not."""
    depth = estimator.predict(pattern(*size)).depth_affine_invariant
    places = np.ix_(*(np.linspace(20, length - 20, 3).astype(int) for length in size))
    np.testing.assert_allclose(depth[places], OFFICIAL[size], atol=tolerance)


def test_it_predicts_affine_invariant_depth_alone_at_the_photos_size(estimator: Any) -> None:
    found = {name: value for name, value in vars(estimator.predict(pattern(90, 160))).items() if value is not None}
    assert set(found) == {"depth_affine_invariant"}
    (depth,) = found.values()
    assert depth.shape == (90, 160)
    assert depth.dtype == np.float32
    assert 0.01 <= depth.min() < depth.max()
    smallest = estimator.predict(pattern(SIDE, SIDE)).depth_affine_invariant.min()
    assert smallest == pytest.approx(0.01)


def test_the_photo_is_squeezed_into_a_square_without_smoothing(estimator: Any) -> None:
    """At half and a third of its sides, bilinear sampling takes the mean of two rows, of three columns the middle one."""
    photo = np.random.default_rng(0).integers(0, 256, (2 * SIDE, 3 * SIDE, 3), dtype=np.uint8)
    seen: list[Tensor] = []
    hook = estimator.network.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    estimator.predict(photo)
    hook.remove()
    values = (photo[0::2, 1::3] / 255 + photo[1::2, 1::3] / 255) / 2
    expected = (values - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    assert seen[0].shape == (1, 3, SIDE, SIDE)
    np.testing.assert_allclose(seen[0][0].permute(1, 2, 0), expected, atol=1e-5)


@pytest.mark.parametrize("simplified", ["corners", "sum"])
def test_what_a_simpler_network_would_leave_out_matters(simplified: str, estimator: Any, monkeypatch: Any) -> None:
    """Corners aligned when enlarging; ReLU before the residual sum."""
    photo = pattern(448, 448)
    whole = estimator.predict(photo).depth_affine_invariant
    if simplified == "corners":
        monkeypatch.setattr(leres, "_doubled", nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False))
    else:

        def forward(block: Any, x: Tensor) -> Tensor:
            x = block.entry(x)
            return torch.relu(x + block.branch(torch.relu(x)))

        monkeypatch.setattr(leres._Refinement, "forward", forward)
    assert np.abs(estimator.predict(photo).depth_affine_invariant - whole).max() > 1


def test_the_published_layout_fits_the_published_network_whole() -> None:
    with torch.device("meta"):
        expected = {key: tuple(value.shape) for key, value in LeReSNetwork().state_dict().items()}
    shapes = official_shapes(**PUBLISHED)  # type: ignore[arg-type]
    found = official_names({key: torch.empty(shape, device="meta") for key, shape in shapes.items()})
    assert {key: tuple(value.shape) for key, value in found.items()} == expected
    counted = sum(math.prod(shape) for key, shape in shapes.items() if not key.endswith(("mean", "var", "tracked")))
    assert REGISTERED.card.parameters == pytest.approx(counted / 1e6, abs=0.05)


def test_files_with_and_without_wrapper_and_prefix_load(tmp_path: Path, estimator: Any) -> None:
    """In the format of PyTorch before 1.6 too, which the authors may have used."""
    photo = pattern(60, 80)
    torch.save(official_state(), tmp_path / "plain.pth")
    old = saved(tmp_path / "old.pth", official_state(), _use_new_zipfile_serialization=False)
    for path in (tmp_path / "plain.pth", old):
        np.testing.assert_array_equal(
            loaded(path).predict(photo).depth_affine_invariant, estimator.predict(photo).depth_affine_invariant
        )


def test_a_checkpoint_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    lacking, extra, misshapen = official_state(), official_state(), official_state()
    del lacking["depth_model.decoder_modules.ffm1.ftb2.conv_branch.4.bias"]
    extra["depth_model.decoder_modules.ffm1.ata.fc.0.weight"] = torch.zeros(1)
    misshapen["depth_model.encoder_modules.encoder.layer2.0.conv2.weight"] = torch.zeros(3, 3)
    for state, complaint in (
        (lacking, r"1 missing: fusions.1.joint.branch.3.bias"),
        (extra, r"1 unknown: fusions.1.ata"),
        (misshapen, r"encoder.layer2.0.conv2.weight is \(3, 3\), expected \(64, 2, 3, 3\)"),
    ):
        with pytest.raises(UserError, match=rf"res101.pth: .*{complaint}"):
            loaded(saved(tmp_path / "res101.pth", state))


def test_random_weights_are_seeded(tmp_path: Path) -> None:
    answers = []
    for _ in range(2):
        model = Narrow(weights="random")
        torch.manual_seed(len(answers))
        model.load(CPU)
        answers.append(model.predict(pattern(45, 80)).depth_affine_invariant)
    np.testing.assert_array_equal(*answers)
    assert np.ptp(answers[0]) > 0


def test_the_card_says_what_is_evaluated_and_on_which_terms() -> None:
    """The authors offer the file on a page for people, under a licence that forbids to pass it on: nothing fetches it."""
    card = REGISTERED.card
    assert "non-commercial" in card.license
    assert "neither shift nor focal length" in card.note
    assert sources(REGISTERED) == (card.weights,)
    state = check(REGISTERED, "leres", online=True)
    assert (state.needed, state.cached, state.bytes) == (True, False, None)
    for attempt in (lambda: fetch(REGISTERED, "leres"), lambda: REGISTERED().load(CPU)):
        with pytest.raises(Unavailable, match=r"https://\S+ for download by hand; give the file by --checkpoint"):
            attempt()
