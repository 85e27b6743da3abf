"""Marigold with seeded random networks of few channels, and from a folder as diffusers saves it."""

from __future__ import annotations

import json
import sys
import types
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch

from bench.registry import estimators
from bench.types import Unavailable, UserError

CPU = torch.device("cpu")


def tiny_marigold(name: str) -> Any:
    """The registered class with networks of the same kinds, of few channels."""
    registered: Any = estimators[name]

    class Tiny(registered):
        unet: ClassVar[Any] = {
            **registered.unet,
            "block_out_channels": [32, 32, 32, 32],
            "attention_head_dim": 4,
            "layers_per_block": 1,
            "cross_attention_dim": 16,
        }
        vae: ClassVar[Any] = {**registered.vae, "block_out_channels": [32, 32, 32, 32], "layers_per_block": 1}
        resolution = 128

    return Tiny


@pytest.mark.parametrize(
    ("name", "kind", "shape"),
    [("marigold", "depth_affine_invariant", (45, 80)), ("marigold-normals", "normal", (45, 80, 3))],
)
def test_marigold_predicts_its_kind(name: str, kind: str, shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    image = np.random.default_rng(0).integers(0, 256, (45, 80, 3), dtype=np.uint8)
    answers = []
    for _ in range(2):
        model = tiny_marigold(name)(weights="random")
        model.load(CPU)
        found = {key: value for key, value in vars(model.predict(image)).items() if value is not None}
        assert set(found) == {kind}
        answers.append(found[kind])
    assert answers[0].shape == shape
    assert np.isfinite(answers[0]).all()
    assert np.ptp(answers[0]) > 0
    np.testing.assert_array_equal(*answers)
    monkeypatch.setitem(sys.modules, "diffusers", None)
    with pytest.raises(Unavailable, match=r"needs the package diffusers.*vfm3d-bench\[sd\]"):
        model.load(CPU)


def test_a_pipelines_folder_comes_back_whole_and_nothing_is_filled_in(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    diffusers = pytest.importorskip("diffusers")
    from safetensors.torch import load_file, save_file

    small = tiny_marigold("marigold")
    first = small(weights="random")
    first.load(CPU)
    words = transformers.CLIPTextConfig(
        hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2, vocab_size=3
    )
    parts = {"text_encoder": transformers.CLIPTextModel(words), "unet": first.pipeline.unet, "vae": first.pipeline.vae}
    for part, network in parts.items():
        network.save_pretrained(tmp_path / part)
    named = {part: [type(network).__module__.partition(".")[0], type(network).__name__] for part, network in parts.items()}
    rest = {
        "_class_name": "MarigoldDepthPipeline",
        "scheduler": ["diffusers", "DDIMScheduler"],
        "tokenizer": ["transformers", "CLIPTokenizer"],
    }
    (tmp_path / "model_index.json").write_text(json.dumps(named | rest))
    diffusers.DDIMScheduler().save_pretrained(tmp_path / "scheduler")
    vocabulary = {"<|startoftext|>": 0, "<|endoftext|>": 1, "a</w>": 2}
    (tmp_path / "tokenizer").mkdir()
    (tmp_path / "tokenizer/vocab.json").write_text(json.dumps(vocabulary))
    (tmp_path / "tokenizer/merges.txt").write_text("#version: 0.2\n")
    second = small(checkpoint=tmp_path)
    second.load(CPU)
    for part, network in parts.items():
        found = getattr(second.pipeline, part).state_dict()
        assert all(torch.equal(found[key], value) for key, value in network.state_dict().items()), part
    for file in tmp_path.glob("*/*.safetensors"):
        state = load_file(file)
        dropped = sorted(key for key in state if key.endswith("weight"))[-1]
        save_file({key: value for key, value in state.items() if key != dropped}, file, metadata={"format": "pt"})
        with pytest.raises(UserError, match=f"{file.parent.name}: the weights do not fit: 1 missing .*, first {dropped}"):
            second.load(CPU)
        save_file(state, file, metadata={"format": "pt"})
    second.load(CPU)


def test_marigolds_normals_are_turned_to_the_suites_axes() -> None:
    """A wall that faces the camera, a floor below and a wall on its left whose normal points right."""
    estimator: Any = estimators["marigold-normals"]("random")
    estimator._device = CPU
    theirs = np.array([[[0, 0, 1], [0, 1, 0], [1, 0, 0]]], np.float32)  # to the observer, up, right
    estimator.pipeline = lambda photo, generator, output_type: types.SimpleNamespace(prediction=theirs[None])
    found = estimator.predict(np.zeros((1, 3, 3), np.uint8)).normal
    np.testing.assert_array_equal(found, [[[0, 0, -1], [0, -1, 0], [1, 0, 0]]])
