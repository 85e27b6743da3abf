"""What a plug-in registers with (bench.core.registry, bench.core.protocols)."""

from bench.core.protocols import protocols
from bench.core.registry import datasets, estimators, features, pointmaps

__all__ = ["datasets", "estimators", "features", "pointmaps", "protocols"]
