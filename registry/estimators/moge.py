"""MoGe (arXiv:2410.19115), this suite's own network with the published weights; MoGe-2 (arXiv:2507.02546) through its
authors' package."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch

from bench.geometry.camera import intrinsics_from_focal, points_from_depth, recover_focal_and_shift
from bench.registry import estimators
from bench.types import Array, Card, GeometryEstimator, Prediction, UserError
from registry.networks.moge import Configuration, MoGeNetwork, configuration, official_names
from registry.support.checkpoints import load_strictly, read_checkpoint, read_state, tensors_of
from registry.support.images import to_tensor
from registry.support.packages import LibraryModel
from registry.support.seeding import seeded


@estimators.register("moge")
class MoGe(LibraryModel, GeometryEstimator):
    """MoGe-1, ViT-L, as its authors evaluate it (baselines/moge.py in github.com/microsoft/MoGe).

    The photo at the most tokens that the network was trained on. Focal length and depth shift are recovered from the affine
    point map inside the mask; the points are the depth's, unprojected by that camera. They are right up to one scale, and
    given everywhere: the mask is beside, not applied.
    """

    card = Card(
        name="MoGe",
        arch="ViT-L/14",
        supervision="Point regression",
        domain="3D",
        data=("MoGe-Mix",),
        license="Apache-2.0",
        weights="hf:Ruicheng/moge-vitl/model.pt",
        paper="arXiv:2410.19115",
        note="the authors' code is MIT; not yet run on the published weights",
        parameters=314.2,
    )
    network: Any

    def build(self, found: Configuration) -> MoGeNetwork:
        """The network, initialised at random."""
        return MoGeNetwork(found)

    def load(self, device: torch.device) -> None:
        path = self.weights_file() if self.weights == "pretrained" else None
        found, state = Configuration(), None
        if path is not None:
            content = read_checkpoint(path)
            state = official_names(tensors_of(content, path))
            found = configuration(_model_config(content, path), path)
        self.network = seeded(lambda: self.build(found))
        if path is not None and state is not None:
            load_strictly(self.network, state, path)
        self.network.eval().requires_grad_(False).to(device)
        self._device = device

    @torch.no_grad()
    def predict(self, image: Array, intrinsics: Array | None = None) -> Prediction:
        """intrinsics: where they are given, their focal length is kept and only the shift recovered."""
        settings = self.network.configuration
        found, inside = self.network(to_tensor(image, self._device), settings.num_tokens_range[1])
        points, mask = found[0].cpu().numpy(), inside[0].cpu().numpy() > settings.mask_threshold
        aspect = image.shape[1] / image.shape[0]
        known = None if intrinsics is None else float(intrinsics[0, 0])
        try:
            focal, shift = recover_focal_and_shift(points, mask, known, solver="official")
        except UserError:  # sky everywhere, say: like the authors, a focal length of half the diagonal, and no shift
            focal, shift = math.hypot(1, aspect) / (2 * aspect) if known is None else known, 0.0
        camera = intrinsics_from_focal(focal, aspect)
        depth = points[..., 2] + shift
        return Prediction(
            points_scale_invariant=points_from_depth(depth, camera),
            depth_scale_invariant=depth,
            intrinsics=camera,
            mask=mask,
        )


def _model_config(content: Mapping[str, Any], path: Path) -> Mapping[str, Any]:
    """What a checkpoint says of its network; nothing, as safetensors do: the published one."""
    found = content.get("model_config", {})
    if not isinstance(found, Mapping):
        raise UserError(f"{path}: model_config is a {type(found).__name__}, not the settings of a network")
    return found


@estimators.register("moge-2")
class MoGe2(LibraryModel, GeometryEstimator):
    """MoGe-2, ViT-L, with values everywhere (its sky mask is given beside, not applied), as its authors evaluate it."""

    card = Card(
        name="MoGe-2",
        arch="ViT-L/14",
        supervision="Point regression",
        domain="3D",
        data=("MoGe-2-Mix",),
        license="MIT",
        weights="hf:Ruicheng/moge-2-vitl-normal/model.pt",
        paper="arXiv:2507.02546",
        note="not yet run on real weights",
    )
    needs = MappingProxyType({"moge": "install it from github.com/microsoft/MoGe"})
    random_weights = False
    model: Any

    def load(self, device: torch.device) -> None:
        module, path = self.module("moge.model.v2"), self.weights_file()
        state = read_state(path)
        model = module.MoGeModel.from_pretrained(path)
        # Its package keeps at random whatever the file lacks.
        load_strictly(model, {key: value for key, value in state.items() if key in model.state_dict()}, path)
        self.model, self._device = model.to(device).eval(), device

    @torch.no_grad()
    def predict(self, image: Array, intrinsics: Array | None = None) -> Prediction:
        found = self.model.infer(to_tensor(image, self._device)[0], apply_mask=False)
        points, depth, camera, mask = (found[key].cpu().numpy() for key in ("points", "depth", "intrinsics", "mask"))
        normal = found["normal"].cpu().numpy() if "normal" in found else None  # of the releases that predict them
        return Prediction(points_metric=points, depth_metric=depth, normal=normal, intrinsics=camera, mask=mask.astype(bool))
