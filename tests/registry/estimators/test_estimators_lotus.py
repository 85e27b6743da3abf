"""Lotus and Lotus-2 against stand-ins with the signatures of their authors' code, read at the commits named here."""

from __future__ import annotations

import json
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bench.machine.requirements import check
from bench.registry import estimators
from bench.types import Unavailable, UserError

CPU = torch.device("cpu")
#: github.com/EnVision-Research/Lotus at b737e12: pipeline.py (LotusDPipeline), infer.py
LOTUS = """
import torch
from types import SimpleNamespace

class LotusDPipeline:
    @classmethod
    def from_pretrained(cls, folder, **options):
        assert isinstance(folder, str) and options.pop("local_files_only")
        pipeline = cls()
        pipeline.networks = options
        return pipeline

    def to(self, device):
        self.device = torch.device(device)
        return self

    def set_progress_bar_config(self, disable):
        assert disable

    def __call__(self, rgb_in=None, task_emb=None, prompt=None, timesteps=None, generator=None, prompt_embeds=None,
                 output_type="pil", return_dict=True, cross_attention_kwargs=None, processing_res=None, match_input_res=True,
                 resample_method="bilinear", **kwargs):
        assert kwargs == {"num_inference_steps": 1} and timesteps == [999] and prompt == "" and output_type == "np"
        assert torch.allclose(task_emb, torch.tensor([[0.84147, 0.0, 0.5403, 1.0]]), atol=1e-4) and match_input_res
        return SimpleNamespace(images=[answer(rgb_in)])

def answer(rgb_in):
    # x left, y up, z to the observer: a surface that faces the camera, turned to the right and a little down
    assert rgb_in.ndim == 4 and -1 <= rgb_in.min() and rgb_in.max() <= 1
    colours = (torch.tensor([-0.6, -0.48, 0.64]) + 1) / 2
    noise = 1e-3 * torch.rand(*rgb_in.shape[-2:], 1)
    return (colours * torch.ones(*rgb_in.shape[-2:], 3) + noise + rgb_in[0].permute(1, 2, 0) * 0).numpy()
"""
#: github.com/EnVision-Research/Lotus-2 at b05bf90: pipeline.py (Lotus2Pipeline), infer.py (load_lora_and_lcm_weights, main)
LOTUS_2 = """
import torch
from pathlib import Path
from types import SimpleNamespace
from stand_in_of_lotus import answer

class Lotus2Pipeline:
    @classmethod
    def from_pretrained(cls, folder, scheduler, transformer, torch_dtype, local_files_only, **networks):
        assert scheduler == "schedule of 10" and torch_dtype == torch.bfloat16 and local_files_only
        pipeline = cls()
        pipeline.transformer, pipeline.device, pipeline.networks = transformer, torch.device("cpu"), networks
        return pipeline

    def to(self, device):
        return self

    def set_progress_bar_config(self, disable):
        assert disable

    def __call__(self, rgb_in=None, prompt=None, num_inference_steps=10, output_type="pil", process_res=None,
                 timestep_core_predictor=1, guidance_scale=3.5, return_dict=True, joint_attention_kwargs=None):
        assert self.local_continuity_module == f"continuity of {self.transformer.task}" and prompt == ""
        assert num_inference_steps == 10 and output_type == "np"
        expected = {(40, 56): 512, (20, 511): 512, (512, 20): None, (20, 1024): None, (20, 1025): 1024}
        assert process_res == expected[tuple(rgb_in.shape[-2:])]
        return SimpleNamespace(images=[answer(rgb_in)])

def load_lora_and_lcm_weights(transformer, core_predictor_model_path, lcm_model_path, detail_sharpener_model_path,
                              task_name):
    paths = core_predictor_model_path, lcm_model_path, detail_sharpener_model_path
    assert [Path(path).name for path in paths] == [
        f"lotus-2_{part}_{task_name}.safetensors" for part in ("core_predictor", "lcm", "detail_sharpener")]
    transformer.task = task_name
    return transformer, f"continuity of {task_name}"
"""
#: model_index.json: parts with weights, parts without, and what a pipeline does not have
PARTS = {
    "_class_name": "StandIn",
    "vae": ["diffusers", "AutoencoderKL"],
    "scheduler": ["diffusers", "FlowMatchEulerDiscreteScheduler"],
    "transformer": ["diffusers", "FluxTransformer2DModel"],
    "image_encoder": [None, None],
    "safety_checker": ["os", "system"],
}
FILES = {"pipeline.py": LOTUS, "stand_in_of_lotus.py": LOTUS, "infer.py": LOTUS_2, "peft.py": ""}


def _lacking(folder: Path) -> list[str]:
    """What the library's report names as missing: the lines of a file that stands for damaged weights."""
    file = folder / "lacks"
    return file.read_text().split() if file.exists() else []


class _Autoencoder(torch.nn.Module):
    @classmethod
    def from_pretrained(cls, folder: Path, torch_dtype: torch.dtype, **options: bool) -> Any:
        assert options == {"local_files_only": True, "output_loading_info": True}
        assert folder.name == "vae"
        network = cls()
        network.dtype = torch_dtype
        return network, {"missing_keys": _lacking(folder), "mismatched_keys": []}


class _Transformer:
    @classmethod
    def from_pretrained(
        cls, folder: Path, torch_dtype: Any, local_files_only: bool, output_loading_info: bool
    ) -> tuple[Any, dict[str, list[str]]]:
        assert (folder.parent / "model_index.json").is_file()
        assert (folder.name, torch_dtype, local_files_only) == ("transformer", torch.bfloat16, True)
        assert output_loading_info
        return cls(), {"missing_keys": _lacking(folder), "mismatched_keys": []}

    def requires_grad_(self, asked: bool) -> Any:
        assert not asked
        return self

    def to(self, device: torch.device) -> Any:
        return self


class _Scheduler:
    @staticmethod
    def from_pretrained(folder: Path, subfolder: str, num_train_timesteps: int, local_files_only: bool) -> str:
        assert subfolder == "scheduler"
        assert local_files_only
        return f"schedule of {num_train_timesteps}"


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    site, folder = tmp_path / "site", tmp_path / "weights"
    for place in (site, folder):
        place.mkdir()
    for name, text in FILES.items():
        (site / name).write_text(text)
        monkeypatch.delitem(sys.modules, name.removesuffix(".py"), raising=False)
    (folder / "model_index.json").write_text(json.dumps(PARTS))
    for task in ("depth", "normal"):
        for part in ("core_predictor", "lcm", "detail_sharpener"):
            (folder / f"lotus-2_{part}_{task}.safetensors").write_bytes(b"")
    library: Any = types.ModuleType("diffusers")
    library.FluxTransformer2DModel, library.FlowMatchEulerDiscreteScheduler = _Transformer, _Scheduler
    library.AutoencoderKL = _Autoencoder
    monkeypatch.setitem(sys.modules, "diffusers", library)
    monkeypatch.syspath_prepend(site)
    yield folder
    for name in FILES:
        sys.modules.pop(name.removesuffix(".py"), None)


@pytest.mark.parametrize("name", ["lotus", "lotus-normals", "lotus-2", "lotus-2-normals"])
@pytest.mark.parametrize(("height", "width"), [(40, 56), (20, 511), (512, 20), (20, 1024), (20, 1025)])
def test_disparity_is_the_mean_colour_and_normals_are_turned_round(
    name: str, height: int, width: int, weights: Path
) -> None:
    estimator: Any = estimators[name](checkpoint=weights)
    estimator.load(CPU)
    photo = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    untouched = torch.random.get_rng_state()
    found, again = estimator.predict(photo), estimator.predict(photo)
    assert torch.equal(torch.random.get_rng_state(), untouched)
    held = {key: value for key, value in vars(found).items() if value is not None}
    if name.endswith("normals"):
        assert set(held) == {"normal"}
        np.testing.assert_allclose(held["normal"], np.broadcast_to([0.6, 0.48, -0.64], (height, width, 3)), atol=3e-3)
        np.testing.assert_allclose(np.linalg.norm(held["normal"], axis=-1), 1, atol=1e-5)
    else:
        assert set(held) == {"disparity_affine_invariant"}
        np.testing.assert_allclose(held["disparity_affine_invariant"], np.full((height, width), 0.5 - 0.44 / 6), atol=2e-3)
    for key, value in held.items():
        np.testing.assert_array_equal(value, getattr(again, key))  # drawn under one seed
        assert value.dtype == np.float32


@pytest.mark.parametrize(("name", "dtype"), [("lotus", torch.float32), ("lotus-2", torch.bfloat16)])
def test_networks_come_whole_or_not_at_all(name: str, dtype: torch.dtype, weights: Path) -> None:
    estimator: Any = estimators[name](checkpoint=weights)
    estimator.load(CPU)
    assert {part: network.dtype for part, network in estimator.pipeline.networks.items()} == {"vae": dtype}
    for part in ("vae", "transformer") if name == "lotus-2" else ("vae",):
        (weights / part).mkdir()
        (weights / part / "lacks").write_text("conv_in.weight conv_in.bias")
        with pytest.raises(UserError, match=rf"{part}: the weights do not fit: 2 missing or misshapen, first conv_in.bias"):
            estimator.load(CPU)
        (weights / part / "lacks").unlink()
    (weights / "model_index.json").write_text("[")
    with pytest.raises(UserError, match=r"model_index.json: expected the parts of a pipeline as diffusers saves them"):
        estimator.load(CPU)


def test_what_is_missing_is_named(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Unavailable, match=r"offers the weights at https://huggingface.co/jingheya/Lotus-2 for download"):
        estimators["lotus-2"]().load(CPU)
    (weights / "lotus-2_lcm_normal.safetensors").unlink()
    with pytest.raises(UserError, match=r"lotus-2_lcm_normal.safetensors is missing; put the files of jingheya/Lotus-2"):
        estimators["lotus-2-normals"](checkpoint=weights).load(CPU)
    (weights.parent / "site" / "pipeline.py").write_text("")
    with pytest.raises(Unavailable, match=r"Lotus: .*pipeline.py has no LotusDPipeline: .*EnVision-Research/Lotus"):
        estimators["lotus"](checkpoint=weights).load(CPU)
    with pytest.raises(Unavailable, match="cannot be built without its checkpoint"):
        check("lotus-2", estimators["lotus-2"], "random", "cpu")
    monkeypatch.setattr("bench.machine.requirements.is_installed", lambda name: name == "torch")
    monkeypatch.delitem(sys.modules, "infer", raising=False)
    with pytest.raises(Unavailable, match=r"lotus-2 needs the package infer: clone .*EnVision-Research/Lotus-2 .*Apache"):
        check("lotus-2", estimators["lotus-2"], "pretrained", "cpu")
