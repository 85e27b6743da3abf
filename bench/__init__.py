"""vfm3d-bench: how much 3D does a vision model know?

The engine: nouns, protocols, the probe and geometry tracks, the store, the runner and the reports. What is plugged
into it (models, data sets, initialisers) lives in the package `registry` or in a user's own plug-in.
"""

from bench.core.version import NUMERICS_VERSION
from bench.core.version import VERSION as __version__

__all__ = ["NUMERICS_VERSION", "__version__"]
