from __future__ import annotations

import sys
import types
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from parameter_counts import millions

from bench.core.protocols import GEOMETRY_PROTOCOLS
from bench.geometry.camera import field_of_view, intrinsics_from_fov, points_from_depth
from bench.geometry.evaluate import evaluate_sample
from bench.registry import estimators
from bench.types import MonocularSample, Prediction, Unavailable, UserError
from registry.support.transformers import TransformersEstimator

CPU = torch.device("cpu")
PROTOCOL = GEOMETRY_PROTOCOLS["moge-v1"]


def street(seed: int = 0, height: int = 60, width: int = 96, horizon: float = 0.5) -> MonocularSample:
    """A road 1.65 m below a level camera, the corner of a building on the left, sky above."""
    rng = np.random.default_rng(seed)
    intrinsics = intrinsics_from_fov(60, width / height)
    intrinsics[1, 2] = horizon
    downwards = points_from_depth(np.ones((height, width)), intrinsics)[..., 1]
    depth = np.where(downwards > 0, 1.65 / np.maximum(downwards, 1e-3), np.inf)
    depth[:, : width // 12] = np.minimum(depth[:, : width // 12], 20.0)
    depth[depth > 40] = np.inf
    depth[5:9, 5:9] = np.nan
    image = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    return MonocularSample("street", f"s{seed}", image, depth.astype(np.float32), intrinsics, sharp_boundaries=True)


def table(name: str, sample: MonocularSample) -> dict[tuple[str, str], float]:
    estimator = estimators[name]()
    estimator.load(CPU)
    rows = evaluate_sample(sample, estimator.predict_sample(sample), PROTOCOL)
    return {(row.alignment, row.metric): row.value for row in rows}


# ------------------------------------------------------------------------------------------------------- reference rows


@pytest.mark.parametrize("metric", [True, False])
def test_the_oracle_has_no_error(metric: bool) -> None:
    found = table("oracle", replace(street(), metric=metric))
    assert {block for block, _ in found} >= {"points_scale_invariant", "depth_affine_invariant", "boundary", "fov"}
    assert ("depth_metric" in {block for block, _ in found}) == metric
    for (block, name), value in found.items():
        perfect = 1.0 if name in ("delta", "boundary_f1") or name.startswith("normal_within") else 0.0
        assert value == pytest.approx(perfect, abs=1e-6), (block, name)


def test_the_noisy_oracle_is_off_by_the_stated_error_and_the_same_on_every_call() -> None:
    sample = street()
    found = table("oracle-noisy", sample)
    assert 0.03 < found["depth_metric", "rel"] < 0.15
    assert found["depth_metric", "delta"] > 0.85
    assert 1.5 < found["fov", "fov_x_error"] < 4
    assert found == table("oracle-noisy", sample)
    assert found != table("oracle-noisy", replace(sample, name="another"))


def test_the_ground_plane_is_exact_on_a_road_and_beats_the_plane() -> None:
    sample = street()
    road = replace(sample, depth=np.where(np.arange(96) < 8, np.nan, sample.depth).astype(np.float32))
    found = table("ground-plane", road)
    assert found["depth_metric", "rel"] == pytest.approx(0, abs=1e-6)
    assert found["points_affine_invariant", "rel"] == pytest.approx(0, abs=1e-6)
    ground, plane = table("ground-plane", sample), table("plane", sample)
    for block in ("points_scale_invariant", "points_affine_invariant", "depth_scale_invariant"):
        assert ground[block, "rel"] < plane[block, "rel"]


def test_the_plane_says_why_it_has_no_affine_depth() -> None:
    estimator = estimators["plane"]()
    rows = evaluate_sample(street(), estimator.predict(street().image), PROTOCOL)
    by_block = {row.alignment: row for row in rows}
    assert by_block["points_affine_invariant"].status == "ok"
    assert by_block["depth_affine_invariant"].status == "invalid"
    assert "constant" in by_block["depth_affine_invariant"].note


def test_the_planes_use_intrinsics_that_they_are_given() -> None:
    camera = intrinsics_from_fov(90, 1.5)
    for name in ("plane", "ground-plane"):
        found = estimators[name]().predict(np.zeros((40, 60, 3), np.uint8), camera)
        np.testing.assert_array_equal(found.intrinsics, camera)


# ------------------------------------------------------------------------------------------------------ library models


def encoder(patch: int, image: int, layers: int = 2) -> dict[str, Any]:
    return {
        "model_type": "dinov2",
        "hidden_size": 32,
        "num_attention_heads": 2,
        "num_hidden_layers": layers,
        "image_size": image,
        "patch_size": patch,
    }


def tiny(name: str) -> TransformersEstimator:
    """The registered estimator with random weights, its network narrowed so that tests are quick; the code path is the
    same."""
    registered: Any = estimators[name]

    class Tiny(registered):
        side = 70 if name.startswith("depth-anything") else 64
        frame = (64, 96)

        def config(self, transformers: Any) -> Any:
            if name.startswith("depth-anything"):
                full = super().config(transformers)
                full.backbone_config.num_hidden_layers = max(full.backbone_config.out_indices)
                for attribute, value in (("hidden_size", 48), ("num_attention_heads", 2)):
                    setattr(full.backbone_config, attribute, value)
                full.reassemble_hidden_size, full.neck_hidden_sizes, full.fusion_hidden_size = 48, [8, 8, 16, 16], 16
                return full
            if name == "depth-pro":
                small = encoder(8, 32)
                return transformers.DepthProConfig(
                    patch_model_config=dict(small),
                    image_model_config=dict(small),
                    fov_model_config=dict(small),
                    use_fov_model=True,
                    patch_size=32,
                    fusion_hidden_size=16,
                    intermediate_hook_ids=[1, 0],
                    intermediate_feature_dims=[16, 16],
                    scaled_images_feature_dims=[16, 16, 16],
                    merge_padding_value=0,
                )
            full = super().config(transformers)
            full.neck_hidden_sizes, full.fusion_hidden_size = [8, 8, 16, 16], 16
            if name == "midas":
                full.hidden_size, full.num_attention_heads, full.intermediate_size = 32, 2, 64
            else:
                backbone = full.backbone_config
                backbone.hidden_size, backbone.num_attention_heads, backbone.intermediate_size = 32, 2, 64
                full.bottleneck_features = 16
            return full

    model = Tiny(weights="random")
    model.load(CPU)
    return model


KINDS = {
    "depth-anything-v2": {"disparity_affine_invariant"},
    "depth-anything-v2:S": {"disparity_affine_invariant"},
    "depth-anything-v1": {"disparity_affine_invariant"},
    "midas": {"disparity_affine_invariant"},
    "zoedepth": {"depth_metric"},
    "tipsv2-depth": {"depth_metric"},
}


def held(prediction: Prediction) -> dict[str, np.ndarray]:
    return {name: value for name, value in vars(prediction).items() if value is not None}


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("size", [(45, 80), (80, 45)])
def test_library_models_predict_their_kind_at_the_photos_size(name: str, size: tuple[int, int]) -> None:
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    model = tiny(name)
    found = held(model.predict(image))
    assert set(found) == KINDS[name]
    (values,) = found.values()
    assert values.shape == size
    assert np.isfinite(values).all()
    np.testing.assert_array_equal(values, held(tiny(name).predict(image))[next(iter(found))])  # seeded


def test_depth_pro_predicts_depth_points_and_the_camera_that_joins_them() -> None:
    image = np.random.default_rng(0).integers(0, 256, (45, 80, 3), dtype=np.uint8)
    model = tiny("depth-pro")
    answer = types.SimpleNamespace(predicted_depth=torch.full((1, 24, 24), 0.25), field_of_view=torch.tensor([60.0]))
    untouched = model.predict(image)
    assert next(iter(held(untouched).values())).shape == (45, 80)
    network, model.model = model.model, lambda pixels: answer  # type: ignore[assignment,return-value]
    model.model.config = network.config  # type: ignore[attr-defined]
    found = model.predict(image)
    # A camera of 60 degrees is 0.866 widths long: inverse depth 0.25 for one width is 0.25 / 0.866 for this one.
    np.testing.assert_allclose(found.depth_metric, 0.8660254 / 0.25, rtol=1e-6)
    assert found.intrinsics is not None
    assert field_of_view(found.intrinsics)[0] == pytest.approx(60)
    assert found.intrinsics[1, 1] * 45 == pytest.approx(found.intrinsics[0, 0] * 80)
    np.testing.assert_allclose(found.points_metric, points_from_depth(found.depth_metric, found.intrinsics))


def test_tipsv2_is_fed_a_square_in_the_unit_range_and_its_metres_are_kept() -> None:
    model = tiny("tipsv2-depth")
    seen: list[torch.Tensor] = []

    def answer(pixels: torch.Tensor) -> types.SimpleNamespace:
        seen.append(pixels)
        return types.SimpleNamespace(predicted_depth=torch.linspace(2, 4, 40).repeat(1, 20, 1))

    model.model = answer
    image = np.repeat(np.array([0, 255], np.uint8), 40)[None, :, None].repeat(20, 0).repeat(3, 2)
    found = model.predict(image).depth_metric
    assert seen[0].shape == (1, 3, 448, 448)
    assert (float(seen[0].min()), float(seen[0].max())) == (0, 1)
    np.testing.assert_allclose(
        found[:, 1:-1], np.linspace(2 - 0.25 / 19.5, 4 + 0.25 / 19.5, 80)[None, 1:-1].repeat(20, 0), 1e-3
    )


def test_random_weights_do_not_disturb_the_random_state() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    tiny("depth-anything-v2:S")
    torch.testing.assert_close(torch.rand(3), expected)


def test_weights_are_loaded_from_a_folder_and_nothing_is_filled_in(tmp_path: Path) -> None:
    """A saved network comes back whole; a folder that lacks a tensor is refused by name."""
    image = np.random.default_rng(0).integers(0, 256, (45, 80, 3), dtype=np.uint8)
    first = tiny("depth-anything-v2:S")
    with torch.no_grad():
        for parameter in first.model.parameters():
            parameter.add_(0.01)
    first.model.save_pretrained(tmp_path)
    second = estimators["depth-anything-v2:S"](weights="pretrained", checkpoint=tmp_path)
    second.side = first.side  # type: ignore[attr-defined]
    second.load(CPU)
    expected, found = held(first.predict(image)), held(second.predict(image))
    np.testing.assert_allclose(found["disparity_affine_invariant"], expected["disparity_affine_invariant"], rtol=1e-5)

    from safetensors.torch import load_file, save_file

    state = load_file(tmp_path / "model.safetensors")
    dropped = sorted(state)[0]
    del state[dropped]
    save_file(state, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match=f"do not fit: 1 missing or misshapen, first {dropped}"):
        second.load(CPU)
    (tmp_path / "config.json").unlink()
    with pytest.raises(UserError, match=r"expected a folder as transformers saves it"):
        second.load(CPU)


def test_the_published_sizes_are_the_papers() -> None:
    """Parameters in millions as the papers state them: 24.8, 97.5, 335.3 (Depth Anything), 344 (MiDaS DPT-Large)."""
    transformers = pytest.importorskip("transformers")
    stated = {
        "depth-anything-v2:S": 24.8,
        "depth-anything-v2:B": 97.5,
        "depth-anything-v2": 335.3,
        "depth-anything-v1": 335.3,
        "midas": 344,
        "zoedepth": 345,
        "depth-pro": 952,
    }
    for name, paper in stated.items():
        cls: Any = estimators[name]
        counted = millions(lambda cls=cls: getattr(transformers, cls.library_class)(cls("random").config(transformers)))
        assert cls.card.parameters == pytest.approx(counted, abs=0.06) == pytest.approx(paper, rel=0.01), name
    marigold: Any = estimators["marigold"]
    networks = marigold._networks(pytest.importorskip("diffusers"))
    assert marigold.card.parameters == pytest.approx(millions(*networks), abs=0.06)


@pytest.mark.parametrize("name", ["depth-anything-v2", "depth-pro", "midas", "zoedepth"])
def test_without_the_library_they_say_what_to_install(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(Unavailable, match=r"needs the package transformers.*vfm3d-bench\[hf\]"):
        estimators[name](weights="random").load(CPU)


def test_moge_2_needs_its_package_and_maps_its_answer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "moge", None)
    with pytest.raises(Unavailable, match="needs the package moge"):
        estimators["moge-2"]().load(CPU)

    class MoGeModel(torch.nn.Linear):
        """Stands for the package's model: the same calls, a known answer. What the file lacks stays as it is."""

        @classmethod
        def from_pretrained(cls, path: Path) -> MoGeModel:
            assert path == tmp_path / "model.pt"
            model = cls(2, 2)
            model.load_state_dict(torch.load(path, weights_only=True)["model"], strict=False)
            return model

        def infer(self, image: torch.Tensor, apply_mask: bool) -> dict[str, torch.Tensor]:
            assert image.shape == (3, 6, 8)
            assert not apply_mask
            points = torch.arange(6 * 8 * 3.0).reshape(6, 8, 3)
            return {"points": points, "depth": points[..., 2], "intrinsics": torch.eye(3), "mask": torch.ones(6, 8).bool()}

    modules = {name: types.ModuleType(name) for name in ("moge", "moge.model", "moge.model.v2")}
    modules["moge.model.v2"].MoGeModel = MoGeModel  # type: ignore[attr-defined]
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    whole = {"weight": torch.full((2, 2), 3.0), "bias": torch.ones(2), "unused": torch.ones(1)}
    torch.save({"model_config": {}, "model": whole}, tmp_path / "model.pt")
    estimator: Any = estimators["moge-2"](checkpoint=tmp_path / "model.pt")
    estimator.load(CPU)
    assert torch.equal(estimator.model.weight, whole["weight"])
    assert not estimator.model.training
    found = estimator.predict(np.zeros((6, 8, 3), np.uint8))
    assert set(held(found)) == {"points_metric", "depth_metric", "intrinsics", "mask"}
    np.testing.assert_array_equal(found.depth_metric, np.arange(2, 6 * 8 * 3, 3).reshape(6, 8))
    with pytest.raises(Unavailable, match="builds no network"):
        estimators["moge-2"](weights="random").load(CPU)
    del whole["bias"]
    torch.save({"model_config": {}, "model": whole}, tmp_path / "model.pt")
    with pytest.raises(UserError, match=r"model.pt: this checkpoint does not fit the model: 1 missing: bias"):
        estimator.load(CPU)
    (tmp_path / "model.pt").write_bytes(b"damaged")
    with pytest.raises(UserError, match=r"model.pt: not a checkpoint that can be read safely"):
        estimator.load(CPU)
