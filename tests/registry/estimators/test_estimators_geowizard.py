"""GeoWizard: diffusers' networks with joint attention, against numbers of the official code and its files' layout."""

from __future__ import annotations

import hashlib
import json
import math
import shutil
import sys
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor

from bench.machine.requirements import check
from bench.registry import estimators
from bench.types import Unavailable, UserError
from registry.estimators.diffusion import geowizard
from registry.estimators.diffusion.geowizard import ensembled
from registry.support.images import resized

diffusers = pytest.importorskip("diffusers")
transformers = pytest.importorskip("transformers")
CPU = torch.device("cpu")
REGISTERED: Any = estimators["geowizard"]
PARTS = ("image_encoder", "unet", "vae")
#: Of the official classes (its patched U-Net and diffusers 0.25, transformers 4.39) in the published sizes: the number of
#: tensors, and the sha256 of one line a tensor, "key [shape]", sorted.
LAYOUTS = {
    "unet": (690, "4f1bf9757acce66eb961c97a1b6d3d99507d9164ea0156110153d94c6d3f3541"),
    "vae": (248, "a8eb7356226250e756201865679f4127b544badce9a66957f83afdbf731c2f37"),
    "image_encoder": (392, "5ef401dc59568cb957c5c9656569129757c1eb35917edc451f4479aee8d2c26f"),
}
#: What the publisher's page says of the size of the files, in bytes.
FILE_SIZES = {"unet": 3.44e9, "vae": 335e6}


class Tiny(REGISTERED):  # type: ignore[misc]
    """The registered estimator with narrow networks and few steps; the code path is the same."""

    unet: ClassVar[Any] = {
        **REGISTERED.unet,
        "block_out_channels": [32, 32, 64, 64],
        "attention_head_dim": [2, 2, 4, 4],
        "layers_per_block": 1,
        "cross_attention_dim": 16,
    }
    vae: ClassVar[Any] = {**REGISTERED.vae, "block_out_channels": [32, 32, 32, 32], "layers_per_block": 1}
    image_encoder: ClassVar[Any] = {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "patch_size": 14,
        "projection_dim": 16,
    }
    resolution, steps, samples = 128, 2, 1


def networks(model: Any) -> dict[str, Any]:
    return dict(zip(PARTS, (build() for build in model._networks(diffusers, transformers, None)), strict=True))


def official_state(network: Any) -> dict[str, Tensor]:
    """Numbers that the official code was given as well, by key."""
    state = {}
    for number, (key, value) in enumerate(sorted(network.state_dict().items())):
        noise = np.random.RandomState(number).standard_normal(value.numel())  # a frozen stream
        about = float("norm" in key and key.endswith("weight"))
        if value.ndim < 2:
            values = about + 0.1 * noise
        else:
            values = noise * (1 / math.prod(value.shape[1:])) ** 0.5 * (3 if ".attn1.to_" in key else 1)
        state[key] = torch.from_numpy(values).reshape(value.shape).float()
    return state


def write(folder: Path, part: str, state: dict[str, Tensor]) -> None:
    from safetensors.torch import save_file

    if part == "vae":
        torch.save(state, folder / part / "diffusion_pytorch_model.bin")
    else:
        save_file(state, folder / part / f"{'diffusion_pytorch_' if part == 'unet' else ''}model.safetensors")


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The narrow model in the publisher's layout."""
    folder = tmp_path_factory.mktemp("geowizard")
    for part, network in networks(Tiny).items():
        (folder / part).mkdir()
        if part == "image_encoder":
            network.config.save_pretrained(folder / part)
        else:
            network.save_config(folder / part)
        write(folder, part, published_keys(part, official_state(network)))
    diffusers.DDIMScheduler(**REGISTERED.scheduler).save_config(folder / "scheduler")
    mean, deviation = geowizard.CLIP
    (folder / "feature_extractor").mkdir()
    (folder / "feature_extractor/preprocessor_config.json").write_text(
        json.dumps({"image_mean": mean, "image_std": deviation})
    )
    (folder / "model_index.json").write_text("{}")
    return folder


@pytest.fixture
def folder(published: Path, tmp_path: Path) -> Path:
    """A copy of it, to be changed."""
    return Path(shutil.copytree(published, tmp_path / "model"))


def published_keys(part: str, state: dict[str, Tensor]) -> dict[str, Tensor]:
    """As files of 2022 have them: the autoencoder's attention named otherwise, the image encoder's positions counted."""
    if part == "image_encoder":
        return {**state, "vision_model.embeddings.position_ids": torch.arange(257)[None]}
    if part == "unet":
        return state
    names = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    found = {}
    for key, value in state.items():
        for new, old in names.items():
            key = key.replace(f".attentions.0.{new}.", f".attentions.0.{old}.")
        found[key] = value
    return found


def loaded(folder: Path) -> Any:
    model = Tiny(checkpoint=folder)
    model.load(CPU)
    return model


def pattern(height: int, width: int) -> np.ndarray:
    y, x = np.mgrid[:height, :width].astype(float)
    waves = [127.5 + 127 * np.sin(0.031 * (k + 2) * x + 0.047 * (3 - k) * y + k) for k in range(3)]
    return np.stack(waves, axis=-1).astype(np.uint8)


#: Rows and columns at 8 pixels from the border and in the middle: the official pipeline (xformers' attention written out)
#: with official_state() on pattern(), 2 steps, one sample, processing_res 128, noise drawn as here; stretched to [0, 1].
OFFICIAL = {
    (66, 88): [
        [0.45629, 0.625119, 0.301568],
        [0.786214, 0.583251, 0.643191],
        [0.396473, 0.135494, 0.576346],
    ],
    (150, 100): [
        [0.594113, 0.34212, 0.767673],
        [0.602894, 0.401566, 0.274726],
        [0.544149, 0.644367, 0.264952],
    ],
}
TOLERANCE = 1e-3


def deviation(model: Any, size: tuple[int, int]) -> float:
    depth = model.predict(pattern(*size)).depth_affine_invariant
    assert depth.shape == size
    stretched = (depth - depth.min()) / np.ptp(depth)
    places = np.ix_(*(np.linspace(8, length - 8, 3).astype(int) for length in size))
    return float(np.abs(stretched[places] - OFFICIAL[size]).max())


@pytest.mark.parametrize("size", OFFICIAL)
def test_it_predicts_what_the_official_code_predicts(size: tuple[int, int], folder: Path) -> None:
    assert deviation(loaded(folder), size) < TOLERANCE


def cropped(photo: Tensor, height: int, width: int) -> Tensor:
    """What CLIP is usually given: the middle of the photo. Here it sees all of it, squeezed."""
    top, left = ((length - min(photo.shape[-2:])) // 2 for length in photo.shape[-2:])
    return resized(photo[..., top : photo.shape[-2] - top, left : photo.shape[-1] - left], height, width)


def test_what_a_simpler_pipeline_would_leave_out_matters(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    size, found = (66, 88), {}
    with monkeypatch.context() as patch:  # depth and normals each on their own
        patch.setattr(geowizard, "join_attention", lambda unet: None)
        found["join_attention"] = deviation(loaded(folder), size)
    model = loaded(folder)
    for name, other in (
        ("DEPTH", geowizard.NORMALS),  # without the switcher: both are normals
        ("INDOOR", (0.0, 1.0, 0.0)),  # another domain
        ("LATENT_SCALE", 1.0),
        ("resized", cropped),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(geowizard, name, other)
            found[name] = deviation(model, size)
    for name, other in (("resolution", 88), ("steps", 3)):  # the photo is not enlarged; another schedule
        with monkeypatch.context() as patch:
            patch.setattr(Tiny, name, other)
            found[name] = deviation(model, size)
    assert min(found.values()) > 20 * TOLERANCE, found
    assert deviation(model, size) < TOLERANCE


@pytest.mark.parametrize(
    ("file", "field", "value"),
    [
        ("scheduler/scheduler_config.json", "prediction_type", "epsilon"),
        ("scheduler/scheduler_config.json", "steps_offset", 0),
        ("unet/config.json", "attention_head_dim", 8),
        ("image_encoder/config.json", "hidden_act", "gelu"),
        ("feature_extractor/preprocessor_config.json", "image_mean", [0.2, 0.2, 0.2]),
    ],
)
def test_what_the_files_configure_holds(file: str, field: str, value: Any, folder: Path) -> None:
    content = json.loads((folder / file).read_text())
    (folder / file).write_text(json.dumps({**content, field: value}))
    assert deviation(loaded(folder), (66, 88)) > 2 * TOLERANCE


def test_normals_are_the_second_map_as_the_network_was_trained(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not turned round, and the one map of several that lies in their middle."""
    model = loaded(folder)
    monkeypatch.setattr(Tiny, "samples", 3)
    tilts = iter([0.1, 0.2, 0.6])
    decode, count = model.autoencoder.decode, iter(range(6))

    def decoded(latent: Tensor) -> Any:
        found = decode(latent)
        if next(count) % 2:  # depth, then normals
            tilt = next(tilts)
            found.sample = (
                torch.tensor([math.sin(tilt), 0, -math.cos(tilt)])[None, :, None, None].expand_as(found.sample) * 3
            )
        return found

    monkeypatch.setattr(model.autoencoder, "decode", decoded)
    normal = model.predict(pattern(66, 88)).normal
    np.testing.assert_allclose(normal, np.broadcast_to([math.sin(0.2), 0, -math.cos(0.2)], (66, 88, 3)), atol=1e-6)


def test_random_weights_give_seeded_affine_depth_and_normals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Tiny, "samples", 2)
    answers = []
    for _ in range(2):
        model = Tiny(weights="random")
        model.load(CPU)
        torch.manual_seed(len(answers))
        found = {key: value for key, value in vars(model.predict(pattern(45, 80))).items() if value is not None}
        assert set(found) == {"depth_affine_invariant", "normal"}
        assert found["normal"].shape == (45, 80, 3)
        np.testing.assert_allclose(np.linalg.norm(found["normal"], axis=-1), 1, atol=1e-5)
        answers.append(found["depth_affine_invariant"])
    assert answers[0].shape == (45, 80)
    assert answers[0].dtype == np.float32
    assert np.isfinite(answers[0]).all()
    assert np.ptp(answers[0]) > 0
    np.testing.assert_array_equal(*answers)


def test_the_published_sizes_and_keys_are_the_official_codes() -> None:
    with torch.device("meta"):
        found = networks(REGISTERED)
    for part, network in found.items():
        shapes = {key: list(value.shape) for key, value in network.state_dict().items()}
        lines = "\n".join(f"{key} {shape}" for key, shape in sorted(shapes.items()))
        assert (len(shapes), hashlib.sha256(lines.encode()).hexdigest()) == LAYOUTS[part], part
        if part in FILE_SIZES:
            assert sum(4 * math.prod(shape) for shape in shapes.values()) == pytest.approx(FILE_SIZES[part], rel=2e-3)
    counted = sum(p.numel() for network in found.values() for p in network.parameters())
    assert REGISTERED.card.parameters == pytest.approx(counted / 1e6, abs=0.05)


@pytest.mark.parametrize("part", PARTS)
def test_a_network_that_does_not_fit_is_refused(part: str, folder: Path) -> None:
    state = official_state(networks(Tiny)[part])
    first = next(key for key in sorted(state) if state[key].ndim == 2)
    misshapen = {**state, first: torch.zeros(3, 3)}
    lacking = {key: value for key, value in state.items() if key != first}
    for faulty, complaint in (
        (misshapen, rf"1 of another shape: {first} is \(3, 3\)"),
        (lacking, f"1 missing: {first}"),
        ({**state, "joint.weight": torch.zeros(1)}, "1 unknown: joint.weight"),
    ):
        write(folder, part, faulty)
        with pytest.raises(UserError, match=rf"{part}/\w+\.\w+: .*{complaint}"):
            loaded(folder)


@pytest.mark.parametrize("file", ["model_index.json", "scheduler/scheduler_config.json", "vae/diffusion_pytorch_model.bin"])
def test_a_folder_that_is_not_whole_is_refused(file: str, folder: Path) -> None:
    (folder / file).unlink()
    with pytest.raises(UserError, match=file):
        loaded(folder)


def test_without_the_libraries_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for package in ("diffusers", "transformers"):
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, package, None)
            with pytest.raises(Unavailable, match=rf"needs the package {package}.*vfm3d-bench\[sd\]"):
                Tiny(weights="random").load(CPU)
            patch.delitem(sys.modules, package)
            patch.setattr("bench.machine.requirements.is_installed", lambda name, absent=package: name != absent)
            with pytest.raises(Unavailable, match=rf"geowizard needs the package {package}"):
                check("geowizard", REGISTERED, "random", "cpu")


def test_the_card_names_domain_samples_and_steps() -> None:
    card = REGISTERED.card
    assert f"domain indoor, {REGISTERED.samples} seeded samples of {REGISTERED.steps} steps" in card.note
    assert (card.weights, card.paper) == ("hf:lemonaddie/Geowizard", "arXiv:2403.12013")


# ------------------------------------------------------------------------------------------------------------ the ensemble


def maps() -> Tensor:
    y, x = np.mgrid[:24, :32] / 24
    shapes = [0.5 + 0.3 * np.sin(3 * x + k) * np.cos(2 * y) + 0.05 * np.sin(9 * k * x * y) for k in range(3)]
    return torch.from_numpy(
        np.stack([a * s + b for s, (a, b) in zip(shapes, ((1, 0), (0.6, 0.2), (0.8, 0.1)), strict=True)])
    )


def test_the_ensemble_is_the_official_ones_where_its_gradient_is_accurate() -> None:
    """ensemble_depths on maps(), its closure differentiated by central differences of 1e-3; stretched to [0, 1]."""
    official = [[0.998728, 0.654894, 0.205118], [0.867076, 0.634386, 0.274901], [0.498511, 0.375222, 0.567637]]
    found = ensembled(maps())
    stretched = (found - found.min()) / (found.max() - found.min())
    np.testing.assert_allclose(stretched[[2, 10, 20]][:, [3, 15, 28]], official, atol=1e-4)


def test_copies_by_scale_and_shift_become_one() -> None:
    truth = maps()[0]
    found = ensembled(torch.stack([truth, 0.3 * truth + 0.4, 2 * truth - 1]))
    scale = (found.max() - found.min()) / (truth.max() - truth.min())
    np.testing.assert_allclose(found, scale * (truth - truth.min()) + found.min(), atol=1e-9)


def test_one_map_is_left_as_it_is_and_a_constant_one_does_no_harm() -> None:
    truth = maps()
    assert torch.equal(ensembled(truth[:1]), truth[0])
    assert torch.isfinite(ensembled(torch.cat([truth, torch.ones_like(truth[:1])]))).all()
    assert torch.isfinite(ensembled(torch.ones_like(truth))).all()
