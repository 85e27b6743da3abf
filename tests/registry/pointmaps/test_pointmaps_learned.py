"""The initialisers that run other people's networks, against stand-ins that follow those packages' interfaces.

A stand-in recognises a photo by its one colour and answers from the true scene, in a frame of its own.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from plane_scene import FOCAL, HEIGHT, NORMAL, OFFSET, WIDTH, check_against_truth, photos_only, run, true_scene
from scene_writers import ring, write_colmap_binary, write_photo

from bench.machine import requirements
from bench.registry import pointmaps
from bench.run.planning.plan import make_plan
from bench.run.request import Request
from bench.types import MultiViewScene, Unavailable, UserError

PACKAGES = ("dust3r", "mast3r")

DUST3R_MODEL = """
import torch
from pathlib import Path
import numpy as np

class AsymmetricCroCo3DStereo(torch.nn.Module):
    truth = np.load(Path(__file__).parents[1] / "truth.npz")

    @classmethod
    def from_pretrained(cls, folder, strict=False):
        assert strict and Path(folder).is_dir()
        return cls()

    def forward(self, view1, view2):
        # pts3d: (B, H, W, 3), both in the first view's frame, at a scale of the pair's own; conf: (B, H, W), at least 1.
        points, confs = ([], []), ([], [])
        for image1, image2 in zip(view1["img"], view2["img"]):
            assert image1.min() >= -1 and image1.max() <= 1
            first, second = (round(float((image.mean() + 1) / 2 * 255)) // 10 for image in (image1, image2))
            pose = self.truth["poses"][first]
            for side, view in enumerate((first, second)):
                local = self.truth["points"][view] @ pose[:3, :3].T + pose[:3, 3]
                points[side].append(torch.from_numpy(local * (1 + 0.1 * second)).float())
                confs[side].append(torch.from_numpy(self.truth["confidence"][view]).float() - 0.05 * side)
        return ({"pts3d": torch.stack(points[0]), "conf": torch.stack(confs[0])},
                {"pts3d_in_other_view": torch.stack(points[1]), "conf": torch.stack(confs[1])})
"""

MAST3R_MODEL = """
from dust3r.model import AsymmetricCroCo3DStereo

class AsymmetricMASt3R(AsymmetricCroCo3DStereo):
    pass
"""

DUST3R_PAIRS = """
def make_pairs(imgs, scene_graph="complete", prefilter=None, symmetrize=True):
    assert scene_graph == "complete" and prefilter is None and symmetrize
    pairs = [(imgs[i], imgs[j]) for i in range(len(imgs)) for j in range(i)]
    return pairs + [(second, first) for first, second in pairs]
"""

DUST3R_INFERENCE = """
import numpy as np
import torch

def _collate(views):
    shapes = torch.from_numpy(np.concatenate([view["true_shape"] for view in views]))
    images = torch.cat([view["img"] for view in views])
    assert shapes.shape == (len(views), 2) and tuple(shapes[0]) == tuple(images.shape[-2:])
    return {"img": images, "true_shape": shapes, "idx": [view["idx"] for view in views],
            "instance": [view["instance"] for view in views]}

@torch.no_grad()
def inference(pairs, model, device, batch_size=8, verbose=True):
    view1, view2 = _collate([first for first, _ in pairs]), _collate([second for _, second in pairs])
    pred1, pred2 = model(view1, view2)
    return {"view1": view1, "view2": view2, "pred1": pred1, "pred2": pred2, "loss": None}
"""

DUST3R_ALIGNMENT = """
from enum import Enum
from pathlib import Path
import numpy as np
import torch

class GlobalAlignerMode(Enum):
    PointCloudOptimizer = "PointCloudOptimizer"
    ModularPointCloudOptimizer = "ModularPointCloudOptimizer"
    PairViewer = "PairViewer"

class PointCloudOptimizer:
    truth = np.load(Path(__file__).parents[1] / "truth.npz")

    def __init__(self, view1, view2, pred1, pred2, min_conf_thr=3, verbose=True):
        count, (height, width) = max(view1["idx"]) + 1, pred1["conf"].shape[1:]
        edges = set(zip(view1["idx"], view2["idx"]))
        assert edges == {(i, j) for i in range(count) for j in range(count) if i != j}
        self.min_conf_thr, self.size = min_conf_thr, (width, height)
        self.views = [round(float((view1["img"][view1["idx"].index(i)].mean() + 1) / 2 * 255)) // 10 for i in range(count)]
        self.im_conf = [torch.zeros(height, width) for _ in range(count)]
        for edge, (i, j) in enumerate(zip(view1["idx"], view2["idx"])):
            self.im_conf[i] = torch.maximum(self.im_conf[i], pred1["conf"][edge])
            self.im_conf[j] = torch.maximum(self.im_conf[j], pred2["conf"][edge])
        # Each view's own first estimate; their mean is right for three views, not for more.
        self.im_focals = float(self.truth["focal"]) * torch.tensor([0.97, 1.0, 1.03, 1.2, 1.3, 1.4])[:count, None]
        self.scale = float(torch.exp(torch.randn(())))
        self.turn, self.shift = torch.linalg.qr(torch.randn(3, 3))[0], torch.randn(3)
        self.turn = (self.turn * torch.sign(torch.det(self.turn))).requires_grad_()
        self.started = self.held = self.aligned = False

    def compute_global_alignment(self, init=None, niter_PnP=10, lr=0.01, niter=300, schedule="cosine", lr_min=1e-6):
        assert niter > 0, "the older package divides by it"
        if init == "mst":
            self.started, self.aligned = True, lr > 0
        else:
            assert init is None and self.started and niter == 300 and lr == 0.01 and schedule == "linear"
            self.aligned = True

    def preset_focal(self, known_focals, msk=None):
        assert len(known_focals) == len(self.views) and self.started and not self.aligned
        self.im_focals, self.held = torch.tensor(known_focals)[:, None], True

    def clean_pointcloud(self, tol=0.001, bad_conf=0):
        for view, confidence in zip(self.views, self.im_conf):
            confidence[torch.from_numpy(self.truth["hiding"][view])] = bad_conf
        return self

    def get_focals(self):
        return self.im_focals

    def get_principal_points(self):
        return torch.tensor([[self.size[0] / 2, self.size[1] / 2]] * len(self.views))

    def get_masks(self):
        return [confidence > self.min_conf_thr for confidence in self.im_conf]

    def get_im_poses(self):  # camera to world, (n, 4, 4)
        assert self.aligned
        poses = torch.from_numpy(np.linalg.inv(self.truth["poses"][self.views])).float()
        poses[:, :3, 3] = self.scale * poses[:, :3, 3] @ self.turn.T + self.shift
        poses[:, :3, :3] = self.turn @ poses[:, :3, :3]
        return poses

    def get_depthmaps(self, raw=False):
        assert self.aligned
        return [self.scale * torch.from_numpy(self.truth["depths"][view]).float().requires_grad_() for view in self.views]

def global_aligner(dust3r_output, device, mode=GlobalAlignerMode.PointCloudOptimizer, **optim_kw):
    assert mode is GlobalAlignerMode.PointCloudOptimizer
    return PointCloudOptimizer(*(dust3r_output[key] for key in ("view1", "view2", "pred1", "pred2")), **optim_kw)
"""

FILES = {
    "dust3r/model.py": DUST3R_MODEL,
    "dust3r/image_pairs.py": DUST3R_PAIRS,
    "dust3r/inference.py": DUST3R_INFERENCE,
    "dust3r/cloud_opt.py": DUST3R_ALIGNMENT,
    "mast3r/model.py": MAST3R_MODEL,
}


def hiding() -> np.ndarray:
    """Pixels whose points hide a more confident surface."""
    return np.random.default_rng(1).random((5, HEIGHT, WIDTH)) < 0.1


@pytest.fixture
def stand_ins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[MultiViewScene], None]]:
    """Writes the packages beside the truth of a scene, and puts them on the path."""

    def forget() -> None:
        for name in [name for name in sys.modules if name.partition(".")[0] in PACKAGES]:
            del sys.modules[name]

    def install(scene: MultiViewScene) -> None:
        cameras, depths = zip(*((view.camera, view.depth) for view in scene.views), strict=True)
        np.savez(
            tmp_path / "truth.npz",
            poses=np.stack([camera.world_to_camera for camera in cameras]),
            points=np.stack([camera.unproject(depth) for camera, depth in zip(cameras, depths, strict=True)]),
            depths=np.stack(depths),
            # Most of it is below the 3 that DUSt3R's viewer starts from.
            confidence=1.2 + 2 * np.random.default_rng(0).random((5, HEIGHT, WIDTH)),
            hiding=hiding(),
            focal=FOCAL,
            size=(HEIGHT, WIDTH),
            normal=NORMAL,
            offset=OFFSET,
        )

    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    weights = tmp_path / "weights"
    weights.mkdir()
    monkeypatch.setattr("registry.support.packages.locate", lambda source, name: weights / source.rpartition("/")[2])
    monkeypatch.syspath_prepend(tmp_path)
    forget()
    yield install
    forget()


@pytest.mark.parametrize("name", ["dust3r", "mast3r"])
def test_global_alignment_finds_the_scene(name: str, stand_ins: Callable[[MultiViewScene], None]) -> None:
    # DUSt3R counts pixels from the first one's centre: its principal point is half a pixel further in the suite's terms.
    scene = true_scene(0.5)
    stand_ins(scene)
    found = run(name, photos_only(scene))
    similarity = check_against_truth(found, scene)
    assert np.linalg.norm(similarity.rotation - np.eye(3)) > 0.1
    focals = {camera.intrinsics[axis, axis] for camera in (*found.cameras, *found.test_cameras) for axis in (0, 1)}
    assert len(focals) == 1
    for mask, hides in zip(found.masks, hiding(), strict=False):
        np.testing.assert_array_equal(mask, ~hides)


def test_global_alignment_follows_its_seed_and_leaves_the_global_generator_alone(
    stand_ins: Callable[[MultiViewScene], None],
) -> None:
    scene = true_scene(0.5)
    stand_ins(scene)
    torch.manual_seed(7)
    untouched = torch.rand(3)
    torch.manual_seed(7)
    first, again, other = (run("dust3r", photos_only(scene), seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(torch.rand(3), untouched)
    np.testing.assert_array_equal(first.points[0], again.points[0])
    np.testing.assert_array_equal(first.test_cameras[0].world_to_camera, again.test_cameras[0].world_to_camera)
    assert not np.allclose(first.points[0], other.points[0])


@pytest.mark.parametrize("name", PACKAGES)
def test_one_training_view_is_refused(name: str, stand_ins: Callable[[MultiViewScene], None]) -> None:
    scene = true_scene(0.0)
    stand_ins(scene)
    with pytest.raises(UserError, match="at least 2 training views"):
        run(name, replace(scene, train=scene.train[:1]))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("dust3r", r"DUSt3R: needs the package dust3r .*github.com/naver/dust3r.*CC BY-NC-SA"),
        ("mast3r", r"MASt3R: needs the package mast3r .*github.com/naver/mast3r.*CC BY-NC-SA"),
    ],
)
def test_an_absent_package_is_named_with_its_source_and_licence(
    name: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(Unavailable, match=message):
        pointmaps[name]().load(torch.device("cpu"))
    assert "not yet run on real weights" in pointmaps[name].card.note


@pytest.mark.parametrize(("dataset", "folder", "own"), [("llff", "LLFF", "sparse"), ("dtu", "DTU", "noisy-ground-truth")])
def test_scenes_without_cameras_are_initialised_by_dust3r(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dataset: str, folder: str, own: str
) -> None:
    monkeypatch.setattr(requirements, "is_installed", lambda name: True)  # as if every package were installed
    for scene in ("bare", "posed"):
        for photo in ring(4):
            write_photo(tmp_path / folder / scene / "images" / photo.name, 64, 48)
    if own == "sparse":
        model = tmp_path / folder / "posed" / "sparse" / "0"
        write_colmap_binary(model, [("PINHOLE", 64, 48, (60.0, 60.0, 32.0, 24.0))], ring(4), np.zeros((1, 3)), [[1, 2]])
    else:
        (tmp_path / folder / "posed" / "cams").mkdir()
    selection = Request(models=("rgb",), modes=("G",), datasets=(dataset,), data_root=tmp_path)
    assert {cell.scene: cell.pointmap for cell in make_plan(selection).cells} == {"bare": "dust3r", "posed": own}
    chosen = make_plan(replace(selection, pointmap="simulated")).cells
    assert {cell.pointmap for cell in chosen} == {"simulated"}
