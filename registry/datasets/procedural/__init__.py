"""The data set `procedural`: scenes made by code."""

from registry.datasets.procedural.dataset import Procedural

__all__ = ["Procedural"]
