"""The estimators that their authors' packages run, against stand-ins that follow those packages' interfaces.

A stand-in checks what it is given and answers from a known camera and surface.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from package_stand_ins import FILES, PACKAGES

from bench.geometry.camera import intrinsics_from_fov, points_from_depth
from bench.machine.requirements import check
from bench.registry import estimators, pointmaps
from bench.types import MultiViewScene, Prediction, Unavailable, UserError, View

CPU = torch.device("cpu")


def forget() -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] in PACKAGES]:
        del sys.modules[name]


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of weights; the stand-ins are on the path."""
    from safetensors.torch import save_file

    for name, text in FILES.items():
        (tmp_path / "site" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "site" / name).write_text(text)
    folder = tmp_path / "weights"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    save_file({"first.weight": torch.zeros(2, 2), "first.bias": torch.zeros(2)}, folder / "model.safetensors")
    torch.save({"model_state_dict": {"depth_model.decoder.weight": torch.tensor([4.0])}}, folder / "metric3d.pth")
    monkeypatch.syspath_prepend(tmp_path / "site")
    forget()
    yield folder
    forget()


def loaded(name: str, checkpoint: Path) -> Any:
    estimator = estimators[name](checkpoint=checkpoint)
    estimator.load(CPU)
    return estimator


def photo(height: int = 96, width: int = 128) -> np.ndarray:
    return np.random.default_rng(0).integers(100, 256, (height, width, 3), dtype=np.uint8)


def held(prediction: Prediction) -> set[str]:
    return {name for name, value in vars(prediction).items() if value is not None}


@pytest.mark.parametrize(("name", "focal"), [("dust3r", 1.2), ("mast3r", 0.9)])
@pytest.mark.parametrize(("height", "width"), [(96, 128), (128, 96), (600, 600)])
def test_pair_networks_are_fed_the_photo_twice(name: str, focal: float, height: int, width: int, weights: Path) -> None:
    found = loaded(name, weights).predict(photo(height, width))
    assert held(found) == {"points_scale_invariant", "depth_scale_invariant", "intrinsics"}
    # All these photos become 512 on their long side without a change of their aspect.
    np.testing.assert_allclose(found.intrinsics, [[focal, 0, 0.5], [0, focal * width / height, 0.5], [0, 0, 1]], rtol=1e-5)
    seen = 512 * width // max(height, width)
    column = (np.arange(width) + 0.5) * seen / width - 0.5  # the photo's pixels in the network's picture
    depth = np.broadcast_to(2 + column / seen, (height, width))
    inside = np.s_[2:-2, 2:-2]
    np.testing.assert_allclose(found.depth_scale_invariant[inside], depth[inside], atol=1e-5)
    across = (column - seen / 2) / (focal * seen) * depth
    np.testing.assert_allclose(found.points_scale_invariant[..., 0][inside], across[inside], atol=1e-5)
    np.testing.assert_array_equal(found.points_scale_invariant[..., 2], found.depth_scale_invariant)


def test_a_photo_between_multiples_is_squeezed_not_cut(weights: Path) -> None:
    """1000 x 667 pixels become 512 x 336 (341.5 before rounding); the stand-in's square pixels are the picture's."""
    found = loaded("dust3r", weights).predict(photo(667, 1000))
    assert found.depth_scale_invariant.shape == (667, 1000)
    assert found.intrinsics[1, 1] == pytest.approx(1.2 * 512 / 336, rel=1e-5)


@pytest.mark.parametrize(("height", "width"), [(96, 128), (128, 96)])
def test_vggt_sees_one_photo_as_a_scene(height: int, width: int, weights: Path) -> None:
    found = loaded("vggt", weights).predict(photo(height, width))
    assert held(found) == {"points_scale_invariant", "depth_scale_invariant", "intrinsics"}
    camera = np.diag([0.5 / np.tan(0.45), 0.5 / np.tan(0.35), 1])
    camera[:2, 2] = 0.5
    np.testing.assert_allclose(found.intrinsics, camera, rtol=1e-5)
    size = 518 if width > height else round(518 * 3 / 4 / 14) * 14
    column = (np.arange(width) + 0.5) * size / width - 0.5
    disparity = np.broadcast_to(1 - 0.5 * column / (size - 1), (height, width))
    np.testing.assert_allclose(1 / found.depth_scale_invariant[:, 2:-2], disparity[:, 2:-2], rtol=1e-5)
    np.testing.assert_allclose(
        found.points_scale_invariant, points_from_depth(found.depth_scale_invariant, found.intrinsics), rtol=1e-6
    )


@pytest.mark.parametrize(("name", "metres"), [("unidepth", 3.0), ("unidepth-v2", 5.0)])
def test_unidepth_gives_metric_points_and_its_camera_in_normalised_units(name: str, metres: float, weights: Path) -> None:
    estimator = loaded(name, weights)
    found = estimator.predict(photo())
    assert held(found) == {"points_metric", "depth_metric", "intrinsics"}
    np.testing.assert_allclose(found.intrinsics, [[0.8, 0, 0.5], [0, 0.7, 0.4], [0, 0, 1]], rtol=1e-6)
    np.testing.assert_array_equal(found.depth_metric, np.full((96, 128), metres))
    np.testing.assert_array_equal(found.points_metric, np.broadcast_to([0, 1, metres], (96, 128, 3)))
    camera = intrinsics_from_fov(2 * np.degrees(np.arctan(1)), 128 / 96)  # half a width long
    given = estimator.predict(photo(), camera)
    np.testing.assert_allclose(given.depth_metric, np.full((96, 128), metres / 2))
    np.testing.assert_array_equal(given.intrinsics, camera)
    np.testing.assert_allclose(given.points_metric, points_from_depth(given.depth_metric, camera))


def test_unik3d_gives_metric_points_and_the_pinhole_of_its_rays(weights: Path) -> None:
    estimator = loaded("unik3d", weights)
    found = estimator.predict(photo())
    assert held(found) == {"points_metric", "depth_metric", "intrinsics"}
    np.testing.assert_allclose(found.intrinsics, [[0.8, 0, 0.5], [0, 0.7, 0.5], [0, 0, 1]], rtol=1e-6)
    np.testing.assert_allclose(found.points_metric, points_from_depth(found.depth_metric, found.intrinsics), atol=1e-5)
    np.testing.assert_array_equal(found.depth_metric, np.full((96, 128), 3.0))
    camera = intrinsics_from_fov(2 * np.degrees(np.arctan(1)), 128 / 96)  # half a width long
    given = estimator.predict(photo(), camera)
    np.testing.assert_allclose(given.depth_metric, np.full((96, 128), 1.5))
    np.testing.assert_array_equal(given.intrinsics, camera)
    np.testing.assert_allclose(given.points_metric, points_from_depth(given.depth_metric, camera))


@pytest.mark.parametrize(("height", "width"), [(96, 128), (128, 96)])
def test_depth_anything_3_gives_depth_and_camera_of_one_photo(height: int, width: int, weights: Path) -> None:
    found = loaded("depth-anything-3", weights).predict(photo(height, width))
    assert held(found) == {"points_scale_invariant", "depth_scale_invariant", "intrinsics", "mask"}
    rows, columns = (504, 378) if height > width else (378, 504)
    np.testing.assert_allclose(found.intrinsics, [[400 / columns, 0, 0.5], [0, 400 / rows, 0.5], [0, 0, 1]], rtol=1e-6)
    assert found.mask is not None
    assert not found.mask[: height // 2 - 1].any()
    assert found.mask[height // 2 + 1 :].all()
    place = (np.arange(width) + 0.5) * columns / width - 0.5
    disparity = np.broadcast_to(1 - 0.5 * place / (columns - 1), (height, width))
    np.testing.assert_allclose(1 / found.depth_scale_invariant[:, 2:-2], disparity[:, 2:-2], rtol=1e-5)
    np.testing.assert_allclose(
        found.points_scale_invariant, points_from_depth(found.depth_scale_invariant, found.intrinsics), rtol=1e-6
    )


def test_depth_anything_3_metric_needs_a_focal_length_and_mono_promises_relative_depth(weights: Path) -> None:
    metric = loaded("depth-anything-3-metric", weights)
    up_to_scale = metric.predict(photo()).depth_scale_invariant
    camera = np.array([[0.9, 0, 0.5], [0, 1.2, 0.5], [0, 0, 1]])
    found = metric.predict(photo(), camera)
    assert held(found) == {"depth_metric", "intrinsics", "mask"}
    np.testing.assert_allclose(found.depth_metric, up_to_scale * (0.9 * 504 + 1.2 * 378) / 2 / 300, rtol=1e-6)
    assert held(loaded("depth-anything-3-mono", weights).predict(photo())) == {"depth_affine_invariant", "mask"}


def test_depth_anything_3_refuses_weights_that_its_package_would_fill_in(weights: Path) -> None:
    from safetensors.torch import save_file

    save_file({"first.weight": torch.zeros(2, 2)}, weights / "model.safetensors")
    with pytest.raises(UserError, match=r"do not fit: 1 missing or misshapen, first first.bias"):
        loaded("depth-anything-3", weights)


def test_depth_anything_3_starts_a_probe_from_all_views_at_once(weights: Path) -> None:
    initialiser: Any = pointmaps["depth-anything-3:S"](checkpoint=weights)
    initialiser.load(CPU)
    views = tuple(View(str(index), photo(48, 64)) for index in range(3))
    found = initialiser.initialise(MultiViewScene("d", "s", views[:2], views[2:]), seed=0)
    assert len(found.points) == 2
    assert len(found.test_cameras) == 1
    camera = found.cameras[0]
    np.testing.assert_allclose(camera.intrinsics, [[400 * 64 / 504, 0, 32], [0, 400 * 48 / 378, 24], [0, 0, 1]], rtol=1e-5)
    np.testing.assert_allclose(camera.world_to_camera[:3, 3], 2.0)
    assert not found.masks[0][:23].any()
    np.testing.assert_allclose(
        camera.project(found.points[0].reshape(-1, 3))[0].reshape(48, 64, 2)[10, 20], [20.5, 10.5], atol=1e-3
    )


@pytest.mark.parametrize("name", ["unidepth", "unik3d"])
def test_weights_that_a_package_would_fill_in_are_refused(name: str, weights: Path) -> None:
    from safetensors.torch import save_file

    save_file({"first.weight": torch.zeros(2, 2)}, weights / "model.safetensors")
    with pytest.raises(UserError, match=r"model.safetensors: .* do not fit: 1 missing or misshapen, first first.bias"):
        loaded(name, weights)


class _Buffered(torch.nn.Module):
    """Takes from its file what fits and leaves the rest as it was initialised."""

    def __init__(self) -> None:
        super().__init__()
        self.first = torch.nn.Linear(2, 2)
        self.shared = self.first
        self.norm = torch.nn.BatchNorm1d(2)
        self.register_buffer("grid", torch.zeros(3), persistent=False)

    @classmethod
    def from_pretrained(cls, folder: str) -> _Buffered:
        from safetensors.torch import load_file

        network = cls()
        own = network.state_dict()
        stored = load_file(f"{folder}/model.safetensors")
        fitting = {name: value for name, value in stored.items() if name in own and value.shape == own[name].shape}
        network.load_state_dict(fitting, strict=False)
        return network


def test_buffers_and_shapes_count_where_a_package_may_leave_something_out(weights: Path) -> None:
    from safetensors.torch import save_file

    model: Any = estimators["unidepth"](checkpoint=weights)
    whole = {name: value for name, value in _Buffered().state_dict().items() if not name.startswith("shared.")}
    save_file(whole, weights / "model.safetensors")
    assert set(model.from_hub(_Buffered, CPU).state_dict()) > set(whole)
    save_file({name: value for name, value in whole.items() if name != "norm.running_var"}, weights / "model.safetensors")
    with pytest.raises(UserError, match=r"the weights do not fit: 1 missing or misshapen, first norm.running_var$"):
        model.from_hub(_Buffered, CPU)
    save_file(whole | {"norm.running_mean": torch.zeros(5), "norm.bias": torch.zeros(7)}, weights / "model.safetensors")
    with pytest.raises(UserError, match=r"2 missing or misshapen, first norm.bias, which is \(7,\) and not \(2,\)$"):
        model.from_hub(_Buffered, CPU)


@pytest.mark.parametrize(("height", "width"), [(96, 128), (308, 1064), (128, 96)])
def test_metric3d_is_metric_for_a_known_focal_length_only(height: int, width: int, weights: Path) -> None:
    estimator = loaded("metric3d-v2", weights / "metric3d.pth")
    image = photo(height, width)
    image[: height // 4, : width // 4] = 0
    found = estimator.predict(image)
    assert held(found) == {"depth_scale_invariant", "normal"}
    assert found.depth_scale_invariant.shape == (height, width)
    np.testing.assert_allclose(found.normal, np.broadcast_to([0.6, 0, -0.8], (height, width, 3)), atol=1e-6)
    inside = np.s_[height // 2 :, width // 2 :]
    np.testing.assert_allclose(found.depth_scale_invariant[inside], 4.0)  # nothing of the filled border
    np.testing.assert_allclose(found.depth_scale_invariant[: height // 8, : width // 8], 0.5)
    camera = np.array([[1.5, 0, 0.5], [0, 1.5, 0.5], [0, 0, 1]])
    known = estimator.predict(image, camera)
    assert held(known) == {"depth_metric", "normal"}
    # The focal length in the frame's pixels, over the canonical camera's 1000.
    scale = min(616 / height, 1064 / width)
    np.testing.assert_allclose(known.depth_metric[inside], 4 * 1.5 * int(width * scale) / 1000, rtol=1e-6)
    far = estimator.predict(image, np.diag([1e3, 1e3, 1]))
    np.testing.assert_allclose(far.depth_metric[inside], 300)


def test_metric3d_refuses_a_checkpoint_with_gaps(weights: Path) -> None:
    torch.save({"model_state_dict": {"other": torch.zeros(1)}}, weights / "gaps.pth")
    with pytest.raises(UserError, match=r"gaps.pth: .*1 missing: depth_model.decoder.weight"):
        loaded("metric3d-v2", weights / "gaps.pth")


def test_metric3d_says_what_its_repository_lacks(weights: Path) -> None:
    (weights.parent / "site" / "hubconf.py").write_text("dependencies = ['torch']\nimport no_such_package\n")
    with pytest.raises(Unavailable, match=r"Metric3D V2: .*hubconf.py gives no network: .*no_such_package"):
        loaded("metric3d-v2", weights / "metric3d.pth")


REMEDIES = {
    "dust3r": ("dust3r", r"github.com/naver/dust3r.*CC BY-NC-SA"),
    "mast3r": ("mast3r", r"github.com/naver/mast3r.*CC BY-NC-SA"),
    "vggt": ("vggt", r"github.com/facebookresearch/vggt.*non-commercial"),
    "unidepth": ("unidepth", r"github.com/lpiccinelli-eth/UniDepth.*CC BY-NC 4.0"),
    "unidepth-v2": ("unidepth", r"github.com/lpiccinelli-eth/UniDepth.*CC BY-NC 4.0"),
    "unik3d": ("unik3d", r"github.com/lpiccinelli-eth/UniK3D.*CC BY-NC-SA 4.0"),
    "metric3d-v2": ("mono", r"github.com/YvanYin/Metric3D.*PYTHONPATH"),
    "moge-2": ("moge", r"github.com/microsoft/MoGe"),
    "depth-anything-3": ("depth_anything_3", "pip install depth-anything-3"),
    "depth-anything-3-metric": ("depth_anything_3", "pip install depth-anything-3"),
}


@pytest.mark.parametrize("name", REMEDIES)
def test_an_absent_package_is_named_before_and_at_loading(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    package, remedy = REMEDIES[name]
    forget()
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if not (Path(entry or ".") / package).is_dir()])
    with pytest.raises(Unavailable, match=f"{name} needs the package {package}: .*{remedy}"):
        check(name, estimators[name], "pretrained", "cpu")
    with pytest.raises(Unavailable, match=f"{estimators[name].card.name}: needs the package {package} .*{remedy}"):
        estimators[name]().load(CPU)
    assert "not yet run on real weights" in estimators[name].card.note


@pytest.mark.parametrize(
    "name", ["dust3r", "mast3r", "vggt", "unidepth", "unidepth-v2", "unik3d", "metric3d-v2", "depth-anything-3"]
)
def test_what_is_built_from_its_checkpoint_refuses_random_weights(name: str, weights: Path) -> None:
    with pytest.raises(Unavailable, match="without its checkpoint"):
        check(name, estimators[name], "random", "cpu")
    with pytest.raises(Unavailable, match="builds no network without its checkpoint"):
        estimators[name](weights="random").load(CPU)


@pytest.mark.parametrize("name", ["dust3r", "mast3r", "vggt", "unidepth", "unidepth-v2", "unik3d:S", "depth-anything-3:S"])
def test_a_checkpoint_that_is_no_folder_of_the_hub_is_refused(name: str, weights: Path) -> None:
    with pytest.raises(UserError, match=r"expected a folder as huggingface_hub saves it: config.json"):
        loaded(name, weights / "config.json")
    (weights / "model.safetensors").unlink()
    with pytest.raises(UserError, match=r"weights: expected config.json, model.safetensors; it has no model.safetensors$"):
        loaded(name, weights)
