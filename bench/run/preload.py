"""What worker processes share before they start: everything imported, nothing done."""

import torch._dynamo  # noqa: F401 (PyTorch imports it with a process's first optimiser, which takes seconds)

import bench.geometry.track
import bench.probe.track
import bench.run.worker  # noqa: F401
from bench.core.registry import discover

discover()
