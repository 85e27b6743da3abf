"""What a plug-in registers with (bench.core.registry)."""

from bench.core.registry import datasets, estimators, features, pointmaps

__all__ = ["datasets", "estimators", "features", "pointmaps"]
