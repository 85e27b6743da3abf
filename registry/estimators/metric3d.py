"""Metric3D v2 (arXiv:2404.15506) through its authors' repository: depth in the space of a canonical camera, and normals."""

from __future__ import annotations

from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from bench.registry import estimators
from bench.types import Array, Card, GeometryEstimator, Prediction, Unavailable
from registry.support.checkpoints import load_strictly, read_state
from registry.support.images import IMAGENET, normalised, to_tensor
from registry.support.packages import LibraryModel

FRAME = 616, 1064  #: height and width that the ViT models take
CANONICAL_FOCAL = 1000.0  #: in pixels of the frame
NEAREST, FARTHEST = 0.5, 300.0


@estimators.register("metric3d-v2")
class Metric3D(LibraryModel, GeometryEstimator):
    """Metric3D v2, ViT-L, as MoGe's authors evaluate it (github.com/microsoft/MoGe, baselines/metric3d_v2.py).

    The photo is fitted into the network's frame, the rest filled with the mean colour. Depth is metric only for a known
    focal length: without intrinsics it is given up to scale. Depth below half a canonical metre is raised to that. Normals
    have the axes that the network was trained on, which point right, down and away, and face the camera
    (training/mono/datasets/hypersim_dataset.py): the suite's. The network comes from the repository's entry for torch.hub
    (hubconf.py), called on the clone that is on the path.
    """

    card = Card(
        name="Metric3D V2",
        arch="ViT-L/14",
        supervision="Depth regression",
        domain="3D",
        data=("Metric3D-Mix",),
        license="BSD-2-Clause (code)",
        weights="torchhub:https://huggingface.co/JUGGHM/Metric3D/resolve/main/metric_depth_vit_large_800k.pth",
        paper="arXiv:2404.15506",
        note="not yet run on real weights",
    )
    needs = MappingProxyType(
        {
            "mono": "clone github.com/YvanYin/Metric3D and put it on PYTHONPATH",
            "mmcv": "Metric3D's code reads its configuration with it: pip install mmcv mmengine",
        }
    )
    random_weights = False  # its repository leaves parameters of the decoder uninitialised
    entry: ClassVar[str] = "metric3d_vit_large"
    model: Any

    def load(self, device: torch.device) -> None:
        for package in self.needs:
            self.module(package)
        path = self.weights_file()
        self.model = self._build()
        # Like the authors, without what the file holds beside the network; what the network lacks is refused.
        expected = self.model.state_dict()
        load_strictly(self.model, {key: value for key, value in read_state(path).items() if key in expected}, path)
        self.model.eval().requires_grad_(False).to(device)
        _place_depth_bins(self.model.depth_model.decoder, device)
        self._device = device

    @torch.no_grad()
    def predict(self, image: Array, intrinsics: Array | None = None) -> Prediction:
        height, width = image.shape[:2]
        scale = min(FRAME[0] / height, FRAME[1] / width)
        rows, columns = int(height * scale), int(width * scale)
        photo = F.interpolate(to_tensor(image, self._device), (rows, columns), mode="bilinear", align_corners=False)
        top, left = (FRAME[0] - rows) // 2, (FRAME[1] - columns) // 2
        border = left, FRAME[1] - columns - left, top, FRAME[0] - rows - top
        found, _, beside = self.model.inference({"input": F.pad(normalised(photo, IMAGENET), border)})

        def of_photo(values: Tensor) -> Tensor:
            """(C, H, W) of maps in the frame, (…, C, 616, 1064) or without C."""
            inside = values.reshape(1, -1, *values.shape[-2:])[..., top : top + rows, left : left + columns]
            whole: Tensor = F.interpolate(inside.float(), (height, width), mode="bilinear", align_corners=False)[0]
            return whole

        canonical = of_photo(found.clamp_min(NEAREST))[0]
        # The fourth channel is how sure the network is of the other three.
        normal = F.normalize(of_photo(beside["prediction_normal"][:, :3]), dim=0).permute(1, 2, 0).cpu().numpy()
        if intrinsics is None:
            return Prediction(depth_scale_invariant=canonical.cpu().numpy(), normal=normal)
        metres = canonical * (float(intrinsics[0, 0]) * columns / CANONICAL_FOCAL)
        return Prediction(depth_metric=metres.clamp_max(FARTHEST).cpu().numpy(), normal=normal)

    def _build(self) -> Any:
        clone = Path(next(iter(self.module("mono").__path__))).parent
        try:
            return torch.hub.load(str(clone), self.entry, source="local", pretrain=False)
        except (ImportError, OSError, RuntimeError) as error:
            raise Unavailable(f"{self.card.name}: {clone / 'hubconf.py'} gives no network: {error}") from error


def _place_depth_bins(decoder: Any, device: torch.device) -> None:
    """The depths between which the decoder interpolates, evenly spaced in logarithm, as a buffer (1, n).

    Its own code makes them at the first photo, on a CUDA device wherever the network is (RAFTDepthNormalDPTDecoder5.py).
    """
    low, high = np.log(decoder.min_val), np.log(decoder.max_val)
    bins = torch.linspace(low, high, decoder.num_depth_regressor_anchor, device=device).exp()
    decoder.register_buffer("depth_expectation_anchor", bins[None], persistent=False)
