"""Depth models of the transformers library: the published weights from the hub, or seeded random ones."""

from __future__ import annotations

from abc import abstractmethod
from types import MappingProxyType
from typing import Any, ClassVar

import torch
from torch import Tensor

from bench.types import Array, GeometryEstimator, Prediction
from registry.support.images import to_tensor
from registry.support.packages import LibraryModel
from registry.support.pipelines import pretrained
from registry.support.seeding import seeded


class TransformersEstimator(LibraryModel, GeometryEstimator):
    """A depth model of the transformers library. Subclasses give `library_class`, `config` and `infer`.

    library_class: the model's name there. --checkpoint is a folder as that library saves it.
    """

    library_class: ClassVar[str]
    needs = MappingProxyType({"transformers": "pip install 'vfm3d-bench[hf]'"})
    model: Any

    @abstractmethod
    def config(self, transformers: Any) -> Any:
        """The configuration that random weights are built from: the published model's."""

    @abstractmethod
    def infer(self, image: Tensor) -> Prediction:
        """The prediction for an image (1, 3, H, W) in [0, 1], on the model's device."""

    def load(self, device: torch.device) -> None:
        transformers = self.module("transformers")
        network = getattr(transformers, self.library_class)
        if self.weights == "pretrained":
            model = pretrained(network, self.weights_folder("transformers"), dtype=torch.float32)
        else:
            model = seeded(lambda: network(self.config(transformers)))
        self.model, self._device = model.eval().requires_grad_(False).to(device), device

    @torch.no_grad()
    def predict(self, image: Array, intrinsics: Array | None = None) -> Prediction:
        return self.infer(to_tensor(image, self._device))
