"""Lotus (arXiv:2409.18124) and Lotus-2 (arXiv:2512.01030) through their authors' code: affine-invariant disparity; normals.

Each is the deterministic use of a fine-tuned image generator, Stable Diffusion 2 and FLUX.1 [dev]. Their repositories are no
packages: modules called `pipeline` and `infer` stand at their top, so one of the two can be on the path at a time.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, Literal

import numpy as np
import torch

from bench.registry import estimators
from bench.types import Array, Card, GeometryEstimator, Prediction, UserError
from registry.networks.stable_diffusion import SD2_PIPELINE_FILES
from registry.support.images import to_tensor
from registry.support.packages import LibraryModel, attribute_of
from registry.support.pipelines import pipeline_networks, pretrained
from registry.support.seeding import seeded

_DATA = ("Hypersim", "Virtual KITTI 2")
_LIBRARIES = MappingProxyType(dict.fromkeys(("diffusers", "transformers"), "pip install 'vfm3d-bench[sd]'"))
_CLONE = "clone github.com/EnVision-Research/{} and put it on PYTHONPATH (code: Apache-2.0)"


class _Generator(LibraryModel, GeometryEstimator):
    """What a pipeline of the authors says of a photo, as colours in [0, 1]: their mean is disparity, or they are normals.

    Normals point left, up and to the observer, as in the authors' data (utils/hypersim_dataset.py in Lotus): turned round
    here. The pipelines draw from the latents' distribution: here always under one seed. task: what the authors call it.
    """

    task: ClassVar[Literal["depth", "normal"]] = "depth"
    random_weights = False
    pipeline: Any

    def colours(self, photo: torch.Tensor) -> Array:
        """(H, W, 3) of a photo (1, 3, H, W) in [-1, 1]."""
        raise NotImplementedError(f"{type(self).__name__} must implement colours(photo)")

    def predict(self, image: Array, intrinsics: Array | None = None) -> Prediction:
        found = seeded(lambda: self.colours(2 * to_tensor(image, self.pipeline.device) - 1)).astype(np.float32)
        if self.task == "depth":
            return Prediction(disparity_affine_invariant=found.mean(axis=-1))
        normal = 1 - 2 * found
        return Prediction(normal=normal / np.maximum(np.linalg.norm(normal, axis=-1, keepdims=True), 1e-6))

    def _attribute(self, module: str, attribute: str) -> Any:
        return attribute_of(module, attribute, self.card.name, self.needs[module])


@estimators.register("lotus")
class Lotus(_Generator):
    """Lotus-D, disparity: one step, at the pipeline's own size of 768 pixels."""

    card = Card(name="Lotus", arch="SD 2 U-Net", supervision="Single-step regression, disparity", domain="3D",
                data=(*_DATA, "LAION"), license="Apache-2.0 (code); see the model card", paper="arXiv:2409.18124",
                weights="hf:jingheya/lotus-depth-d-v2-0-disparity", note="not yet run on real weights")  # fmt: skip
    weights_files = SD2_PIPELINE_FILES
    needs = MappingProxyType({"pipeline": _CLONE.format("Lotus"), **_LIBRARIES})

    def load(self, device: torch.device) -> None:
        pipeline = self._attribute("pipeline", "LotusDPipeline")
        folder = self.weights_folder("diffusers")
        networks = pipeline_networks(folder, self.module)
        self.pipeline = pipeline.from_pretrained(str(folder), local_files_only=True, **networks).to(device)
        self.pipeline.set_progress_bar_config(disable=True)

    def colours(self, photo: torch.Tensor) -> Array:
        task = torch.tensor([[1.0, 0.0]], device=photo.device)
        found: Array = self.pipeline(
            rgb_in=photo,
            prompt="",
            num_inference_steps=1,
            output_type="np",
            timesteps=[999],
            task_emb=torch.cat([task.sin(), task.cos()], dim=-1),
        ).images[0]
        return found


@estimators.register("lotus-normals")
class LotusNormals(Lotus):
    """Lotus-D, normals."""

    card = replace(Lotus.card, name="Lotus normals", supervision="Single-step regression, normals", domain="2.5D",
                   weights="hf:jingheya/lotus-normal-d-v1-1")  # fmt: skip
    task = "normal"


@estimators.register("lotus-2")
class Lotus2(_Generator):
    """Lotus-2: FLUX.1 [dev] with two adapters, in bfloat16 as its authors run it: one predicts, ten steps sharpen.

    Its weights are two publishers', of which FLUX's asks for an agreement: --checkpoint is FLUX.1 [dev]'s folder in the
    layout of diffusers, with the files of jingheya/Lotus-2 in it.
    """

    card = Card(name="Lotus-2", arch="FLUX.1 [dev]", supervision="Regression and flow, disparity", domain="3D",
                data=(*_DATA, "undisclosed"), license="FLUX.1 [dev] Non-Commercial (gated); code: Apache-2.0",
                paper="arXiv:2512.01030", weights="page:https://huggingface.co/jingheya/Lotus-2",
                note="not yet run on real weights")  # fmt: skip
    weights_files: ClassVar[tuple[str, ...]] = ("model_index.json",)
    needs = MappingProxyType(
        {"infer": f"{_CLONE.format('Lotus-2')}; a GPU of 40 GB is asked for", "peft": "pip install peft", **_LIBRARIES}
    )

    def load(self, device: torch.device) -> None:
        pipeline, adapted = (self._attribute("infer", name) for name in ("Lotus2Pipeline", "load_lora_and_lcm_weights"))
        diffusers, folder = self.module("diffusers"), self.weights_folder("diffusers")
        files = [str(self._file(folder, part)) for part in ("core_predictor", "lcm", "detail_sharpener")]
        network = pretrained(diffusers.FluxTransformer2DModel, folder / "transformer", torch_dtype=torch.bfloat16)
        schedule = diffusers.FlowMatchEulerDiscreteScheduler.from_pretrained(
            folder, subfolder="scheduler", num_train_timesteps=10, local_files_only=True
        )
        network, continuity = adapted(network.requires_grad_(False).to(device), *files, self.task)
        others = pipeline_networks(folder, self.module, torch.bfloat16, given=("transformer",))
        self.pipeline = pipeline.from_pretrained(
            folder, scheduler=schedule, transformer=network, torch_dtype=torch.bfloat16, local_files_only=True, **others
        )
        self.pipeline.local_continuity_module = continuity
        self.pipeline = self.pipeline.to(device)
        self.pipeline.set_progress_bar_config(disable=True)

    def colours(self, photo: torch.Tensor) -> Array:
        longest = max(photo.shape[-2:])
        # Photos go in as large as they are between the two sides, smaller ones enlarged, larger ones shrunk.
        side = 1024 if longest > 1024 else 512 if longest < 512 else None
        found: Array = self.pipeline(
            rgb_in=photo, prompt="", num_inference_steps=10, output_type="np", process_res=side
        ).images[0]
        return found

    def _file(self, folder: Path, part: str) -> Path:
        file = folder / f"lotus-2_{part}_{self.task}.safetensors"
        if not file.is_file():
            raise UserError(f"{folder}: {file.name} is missing; put the files of jingheya/Lotus-2 beside FLUX.1 [dev]'s")
        return file


@estimators.register("lotus-2-normals")
class Lotus2Normals(Lotus2):
    """Lotus-2, normals."""

    card = replace(Lotus2.card, name="Lotus-2 normals", supervision="Regression and flow, normals", domain="2.5D")
    task = "normal"
