"""What worker processes share before they start: everything imported, nothing done."""

import bench.probe.probe
import bench.run.worker  # noqa: F401
from bench.core.registry import discover

discover()
