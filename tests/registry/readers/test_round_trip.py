"""A generated scene, written in each format, reads back to the same cameras and photos."""

from __future__ import annotations

from pathlib import Path

import generated_scene as truth
import numpy as np
import pytest

from bench.registry import datasets
from bench.types import MultiViewScene


def loaded(form: truth.Format, root: Path) -> MultiViewScene:
    truth.write(form, root)
    dataset = datasets[form.dataset]()
    assert list(dataset.scenes(root, "probe")) == ["s"]
    assert len(dataset.fingerprint(root, "s", "probe")) == 64
    return dataset.load_scene(root, "s")


@pytest.mark.parametrize("name", truth.FORMATS)
def test_cameras_and_photos_are_those_that_were_written(tmp_path: Path, name: str) -> None:
    form = truth.FORMATS[name]
    scene = loaded(form, tmp_path)
    assert len(scene.views) >= 5
    assert scene.source is not None
    assert scene.source.photos == truth.COUNT
    assert not scene.source.left_out
    for view in scene.views:
        number = form.names.index(view.name)
        assert view.camera is not None
        np.testing.assert_allclose(view.camera.world_to_camera, truth.POSES[number], atol=1e-9)
        np.testing.assert_allclose(view.camera.intrinsics, truth.intrinsics(form.lens), atol=1e-9)
        np.testing.assert_array_equal(view.image, truth.photo(number))
        assert (view.depth is not None) == form.depth
        if view.depth is not None:
            expected = (1.5 + 0.01 * number) * (1000 if name == "MVSNet" else 1)
            np.testing.assert_allclose(view.depth[:, : truth.WIDTH // 2], expected, rtol=1e-6)
    assert (scene.sparse is not None) == form.points
    if scene.sparse is not None:
        np.testing.assert_allclose(scene.sparse.points, truth.POINTS, atol=1e-12)


@pytest.mark.parametrize("name", ["nerfstudio", "IDR"])
def test_masks_are_those_that_were_written(tmp_path: Path, name: str) -> None:
    from PIL import Image

    form = truth.FORMATS[name]
    for view in loaded(form, tmp_path).views:
        file = next((tmp_path / form.place).glob(f"mask*/{view.name}.png"))
        assert view.mask is not None
        np.testing.assert_array_equal(view.mask, np.asarray(Image.open(file)) > 127)


def test_the_split_that_a_file_gives_is_kept(tmp_path: Path) -> None:
    for name, train in (("nerfstudio", {"p00", "p01", "p02", "p03"}), ("Blender", {"r_0", "r_1", "r_2", "r_3"})):
        scene = loaded(truth.FORMATS[name], tmp_path / name)
        assert {view.name for view in scene.train} == train
        assert len(scene.test) == 2
