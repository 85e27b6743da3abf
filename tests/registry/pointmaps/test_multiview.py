"""Networks that see all photos at once, as initialisers and as estimators: points, poses and cameras against a plane."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import multiview_stand_ins as stand_ins
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from plane_scene import HEIGHT, NORMAL, OFFSET, WIDTH, check_against_truth, photos_only, run, true_scene

from bench.machine.requirements import check
from bench.registry import estimators, features, pointmaps
from bench.types import MultiViewScene, Unavailable, UserError
from registry.networks.multiview import pi3
from registry.support.checkpoints import rewritten
from registry.support.images import long_side_at
from registry.support.multiview import Views, centred_intrinsics, from_depth, inverse_poses

CPU = torch.device("cpu")
#: The principal point of the photos, from their centre, in their own pixels: half a pixel of the network's 512 where it
#: counts from the centre of the first pixel and takes half the width for the principal point.
HALF_A_PIXEL = 0.5 * WIDTH / 512
SHIFTS = {"must3r": HALF_A_PIXEL, "fast3r": HALF_A_PIXEL, "cut3r": HALF_A_PIXEL, "mapanything": 1.3}
METRIC = {"pi3x", "mapanything", "cut3r"}
NAMES = ["pi3", "pi3x", "vggt", "vggt-omega", "mapanything", "must3r", "fast3r", "cut3r"]
MUST3R_ARGUMENTS = {
    "encoder": "Dust3rEncoder(img_size=(512, 512), patch_embed='PatchEmbedDust3R')",
    "decoder": "CausalMUSt3R(img_size=(512, 512), feedback_type='single_mlp', memory_mode='kv')",
}


def write_must3r(path: Path, **arguments: str) -> None:
    weight = {"weight": torch.zeros(1)}
    content = argparse.Namespace(epochs=100, **{**MUST3R_ARGUMENTS, **arguments})
    torch.save({"args": content, "encoder": weight, "decoder": weight}, path)


class Settings:
    """Settings of a class that is known to a checkpoint's authors alone."""

    def __init__(self, **settings: str) -> None:
        self.__dict__.update(settings)


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[MultiViewScene], Path]]:
    """Writes the packages beside the truth of a scene, puts them on the path, and gives the folder of weights."""
    from safetensors.torch import save_file

    def forget() -> None:
        for name in [name for name in sys.modules if name.partition(".")[0] in stand_ins.PACKAGES]:
            del sys.modules[name]

    weights = tmp_path / "weights"
    weights.mkdir()
    (weights / "config.json").write_text("{}")
    save_file({"weight": torch.zeros(1)}, weights / "model.safetensors")
    torch.save({"weight": torch.zeros(1)}, weights / "vggt_omega_1b_512.pt")
    write_must3r(weights / "MUSt3R_512.pth")
    state = {"module.weight": torch.zeros(1)}
    torch.save({"args": Settings(model="ARCroco3DStereo(open('x'))"), "model": state}, weights / "view")

    def write(scene: MultiViewScene) -> Path:
        cameras = [view.camera for view in scene.views]
        assert cameras[0] is not None
        np.savez(
            tmp_path / "truth.npz",
            poses=np.stack([camera.world_to_camera for camera in cameras if camera is not None]),
            intrinsics=cameras[0].intrinsics,
            size=(HEIGHT, WIDTH),
            normal=NORMAL,
            offset=OFFSET,
        )
        return weights

    for name, text in stand_ins.FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr("registry.support.packages.locate", lambda source, name: weights / source.rpartition("/")[2])
    monkeypatch.syspath_prepend(tmp_path)
    forget()
    yield write
    forget()


@pytest.mark.parametrize("name", NAMES)
def test_an_initialiser_finds_points_poses_and_cameras(name: str, install: Callable[[MultiViewScene], Path]) -> None:
    scene = true_scene(SHIFTS.get(name, 0.0))
    install(scene)
    found = run(name, photos_only(scene))
    similarity = check_against_truth(found, scene)
    if name in METRIC:
        assert similarity.scale == pytest.approx(1, abs=1e-4)
    for mask in found.masks:
        if name == "vggt-omega":  # all but the fifth on the left
            assert not mask[:, : WIDTH // 5 - 1].any()
            assert mask[:, WIDTH // 5 + 2 :].all()
        else:
            assert not mask[:, : WIDTH // 2 - 1].any()
            assert mask[:, WIDTH // 2 + 2 :].all()


@pytest.mark.parametrize("name", NAMES)
def test_an_estimator_sees_a_scene_of_one_photo(name: str, install: Callable[[MultiViewScene], Path]) -> None:
    scene = true_scene(SHIFTS.get(name, 0.0))
    estimator: Any = estimators[name](checkpoint=None)
    install(scene)
    estimator.load(CPU)
    view = scene.train[1]
    assert view.camera is not None
    assert view.depth is not None
    found = estimator.predict(view.image)
    np.testing.assert_allclose(found.intrinsics * [[WIDTH], [HEIGHT], [1]], view.camera.intrinsics, rtol=1e-5, atol=1e-9)
    held = {key for key, value in vars(found).items() if value is not None}
    kind = "metric" if name in METRIC else "scale_invariant"
    assert held - {"mask"} == {f"points_{kind}", f"depth_{kind}", "intrinsics"}
    assert ("mask" in held) == (name == "mapanything")
    depth, points = getattr(found, f"depth_{kind}"), getattr(found, f"points_{kind}")
    ratio = depth / view.depth
    np.testing.assert_allclose(ratio, 1 if name in METRIC else ratio.mean(), rtol=1e-4)
    local = replace(view.camera, world_to_camera=np.eye(4)).unproject(view.depth)
    np.testing.assert_allclose(points / ratio.mean(), local, atol=1e-4)
    assert points.dtype == np.float32


@pytest.mark.parametrize("name", NAMES)
def test_one_training_view_is_refused(name: str, install: Callable[[MultiViewScene], Path]) -> None:
    scene = true_scene(0.0)
    install(scene)
    with pytest.raises(UserError, match="at least 2 training views"):
        run(name, replace(scene, train=scene.train[:1]))


def test_fast3r_draws_under_one_seed_and_tells_a_lost_pose(install: Callable[[MultiViewScene], Path]) -> None:
    scene = true_scene(SHIFTS["fast3r"])
    install(scene)
    torch.manual_seed(7)
    untouched = torch.rand(3)
    torch.manual_seed(7)
    run("fast3r", photos_only(scene))
    assert len(set(sys.modules["fast3r.dust3r.inference_multiview"].drawn)) == 1
    np.testing.assert_array_equal(torch.rand(3), untouched)
    sys.modules["fast3r.models.multiview_dust3r_module"].MultiViewDUSt3RLitModule.lost.add(2)
    with pytest.raises(UserError, match="no pose was found for photo 3 of 3"):
        run("fast3r", photos_only(scene))


def test_a_package_of_the_same_name_is_told(install: Callable[[MultiViewScene], Path]) -> None:
    """CUT3R's package is called dust3r, too."""
    install(true_scene(0.0))
    with pytest.raises(
        Unavailable, match=r"DUSt3R: .*model.py has no AsymmetricCroCo3DStereo: it is another package dust3r"
    ):
        pointmaps["dust3r"]().load(CPU)
    model: Any = sys.modules["dust3r.model"]
    model.ARCroco3DStereo.rope_class = model.RoPE2D
    with pytest.raises(Unavailable, match=r"CUT3R: its kernels are not compiled.*src/croco/models/curope"):
        estimators["cut3r"]().load(CPU)
    del model.ARCroco3DStereo
    with pytest.raises(Unavailable, match=r"CUT3R: .*model.py has no ARCroco3DStereo: .*github.com/CUT3R/CUT3R"):
        estimators["cut3r"]().load(CPU)


@pytest.mark.parametrize(("name", "patch", "width"), [("cut3r-decoder", 16, 768), ("mapanything-decoder", 14, 1536)])
def test_tokens_over_all_photos_are_read_where_the_network_makes_them(
    name: str, patch: int, width: int, install: Callable[[MultiViewScene], Path]
) -> None:
    """Of weights in their files; special tokens are left out, photos are given as the package takes them."""
    weights = install(true_scene(0.0))
    provider: Any = features[name](checkpoint=weights / "view" if name == "cut3r-decoder" else weights)
    provider.load(CPU)
    photos = torch.rand(2, 3, 5 * patch, 7 * patch, generator=torch.Generator().manual_seed(0))
    found = provider.extract(photos)
    assert found.shape == (2, 5, 7, width) == (2, 5, 7, provider.card.channels)
    given = 2 * photos - 1 if name == "cut3r-decoder" else photos
    pooled = torch.nn.functional.avg_pool2d(given, patch).permute(0, 2, 3, 1)
    assert torch.allclose(found, pooled.repeat(1, 1, 1, width // 3), atol=1e-5)


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').system('true')",
        "MUSt3R(x=ActivationType.__class__)",
        "MUSt3R(x=float.FROM)",
        "MUSt3R(img_size=[x for x in (1, 2)])",
        "open('x')",
        "MUSt3R(",
        "MUSt3R.x()",
        # Without its spaces, as the package evaluates it, the first string ends where the second begins.
        r"MUSt3R(memory_mode='\ ', feedback_type=', img_size=open(chr(120))) #')",
        "MUSt3R(memory_mode=b'x')",
        "ActivationType.NORM_EXP",
    ],
)
def test_must3rs_settings_may_only_build_its_networks(text: str, install: Callable[[MultiViewScene], Path]) -> None:
    weights = install(true_scene(0.0))
    write_must3r(weights / "other.pth", decoder=text)
    with pytest.raises(
        UserError, match=r"other.pth: (its settings (hold more|for the)|not a checkpoint that can be read safely)"
    ):
        estimators["must3r"](checkpoint=weights / "other.pth").load(CPU)


def test_what_must3rs_settings_say_in_earnest_is_let_through(tmp_path: Path) -> None:
    text = "CausalMUSt3R(img_size=(512, 512), mem_dropout=0.1, low=-float('inf'), activation=ActivationType.NORM_EXP)"
    write_must3r(tmp_path / "file.pth", decoder=text)
    classes = ("Dust3rEncoder", "CausalMUSt3R")
    with rewritten(tmp_path / "file.pth", classes, ("ActivationType",), "encoder", "decoder") as copy:
        assert torch.load(copy, weights_only=False)["args"].decoder == text


REMEDIES = {
    "pi3": ("pi3", r"pip install git\+https://github.com/yyfz/Pi3 .*CC BY-NC 4.0"),
    "pi3x": ("pi3", r"pip install git\+https://github.com/yyfz/Pi3 .*CC BY-NC 4.0"),
    "vggt": ("vggt", r"github.com/facebookresearch/vggt .*non-commercial"),
    "vggt-omega": ("vggt_omega", r"github.com/facebookresearch/vggt-omega .*FAIR Noncommercial"),
    "mapanything": ("mapanything", r"pip install git\+https://github.com/facebookresearch/map-anything"),
    "mapanything-apache": ("mapanything", r"pip install git\+https://github.com/facebookresearch/map-anything"),
    "must3r": ("must3r", r"pip install git\+https://github.com/naver/must3r .*Non-Commercial"),
    "fast3r": ("fast3r", r"github.com/facebookresearch/fast3r.*FAIR Noncommercial"),
    "cut3r": ("dust3r", r"github.com/CUT3R/CUT3R.*CC BY-NC-SA 4.0"),
}


@pytest.mark.parametrize("name", REMEDIES)
def test_an_absent_package_is_named_with_its_source_and_licence(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    package, remedy = REMEDIES[name]
    for room in (pointmaps, estimators):
        model: Any = room[name]
        for loaded in [loaded for loaded in sys.modules if loaded.partition(".")[0] == package]:
            monkeypatch.delitem(sys.modules, loaded)
        with pytest.raises(Unavailable, match=f"{name} needs the package {package}: .*{remedy}"):
            check(name, model, "pretrained", "cpu")
        with pytest.raises(Unavailable, match=f"{model.card.name}: needs the package {package} .*{remedy}"):
            model().load(CPU)
        with pytest.raises(Unavailable, match="without its checkpoint"):
            check(name, type("Bare", (model,), {"needs": {}}), "random", "cpu")
        assert "not yet run on real weights" in model.card.note


@given(st.integers(20, 4000), st.integers(20, 4000))
def test_sizes_keep_the_aspect_and_the_networks_limits(height: int, width: int) -> None:
    rows, columns = pi3.network_size(height, width)
    assert rows % 14 == columns % 14 == 0
    assert rows * columns <= pi3.PIXELS or min(rows, columns) == 14
    long_side = max(long_side_at(height, width, 512, 16))
    assert long_side == 512
    if 0.2 < height / width < 5:
        assert abs(np.log(rows / columns / (height / width))) < 0.15


@given(st.integers(0, 2**32 - 1))
def test_views_keep_planes_strays_and_cameras_at_any_size(seed: int) -> None:
    """At another size: a plane is that plane, a lens's stray that is linear in the pixels stays it, poses do not change."""
    random = np.random.default_rng(seed)
    height, width = random.integers(8, 20, 2)
    matrix = np.diag([*random.uniform(0.7, 2, 2) * width, 1.0])
    matrix[:2, 2] = random.uniform(0.3, 0.7, 2) * [width, height]
    slope, offset = random.uniform(-0.3, 0.3, 2), random.uniform(2, 4)

    def plane(rows: int, columns: int, intrinsics: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        x, y = np.meshgrid(np.arange(columns) + 0.5, np.arange(rows) + 0.5)
        rays = np.stack([(x - intrinsics[0, 2]) / intrinsics[0, 0], (y - intrinsics[1, 2]) / intrinsics[1, 1]], axis=-1)
        return rays, offset / (1 - rays @ slope)

    masks = np.ones((1, height, width), bool)
    seen = from_depth(plane(height, width, matrix)[1][None], matrix[None], np.eye(4)[None], masks, masks)
    resized = seen.at(3 * height, 2 * width)
    rays, depth = plane(3 * height, 2 * width, resized.intrinsics[0])
    inside = np.s_[3:-3, 2:-2]
    np.testing.assert_allclose(resized.depth[0][inside], depth[inside], rtol=1e-5)
    np.testing.assert_allclose(resized.points[0][..., :2], rays * resized.depth[0][..., None], atol=1e-5)
    np.testing.assert_allclose(resized.intrinsics[0], np.diag([2, 3, 1]) @ matrix)
    assert resized.surface is not None
    assert resized.surface.shape == resized.placed.shape == (1, 3 * height, 2 * width)
    strayed = seen.points.copy()
    strayed[..., :2] += 0.1 * strayed[..., 2:]
    moved = Views(strayed, seen.intrinsics, seen.world_to_camera, masks).at(3 * height, 2 * width)
    np.testing.assert_allclose(moved.points[0] - resized.points[0], resized.depth[0][..., None] * [0.1, 0.1, 0], atol=1e-5)


@given(st.integers(0, 2**32 - 1))
def test_intrinsics_fit_points_and_poses_invert(seed: int) -> None:
    random = np.random.default_rng(seed)
    matrix = np.diag([*random.uniform(10, 40, 2), 1.0])
    matrix[:2, 2] = 12, 8
    depth = random.uniform(1, 3, (1, 16, 24))
    points = from_depth(depth, matrix[None], np.eye(4)[None], depth > 0).points.copy()
    points[0, 3, 4], points[0, 5, 6] = np.nan, [0.3, 0.1, -1.0]  # neither counts
    np.testing.assert_allclose(centred_intrinsics(points)[0], matrix, rtol=1e-6)
    turn = np.linalg.qr(random.normal(size=(3, 3)))[0]
    pose = np.concatenate([turn * np.sign(np.linalg.det(turn)), random.normal(size=(3, 1))], axis=1)
    there = inverse_poses(pose[None])[0]
    np.testing.assert_allclose(there @ np.vstack([pose, [0, 0, 0, 1]]), np.eye(4), atol=1e-12)


def test_the_estimate_of_views_without_surface_places_no_gaussian() -> None:
    points = np.ones((1, 4, 5, 3), np.float32)
    points[0, 0, 0], points[0, 1, 1, 2] = np.nan, -1.0
    masks = np.ones((1, 4, 5), bool)
    masks[0, 2, 2] = False
    (placed,) = Views(points, np.eye(3)[None], np.eye(4)[None], masks).estimate().masks
    assert [tuple(place) for place in np.argwhere(~placed)] == [(0, 0), (1, 1), (2, 2)]
