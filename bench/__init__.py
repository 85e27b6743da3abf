"""vfm3d-bench: how much 3D does a vision model know?

The engine: nouns, protocols, the probe and geometry tracks, the store, the runner and the reports. What is plugged
into it (models, data sets, initialisers) lives in the package `registry` or in a user's own plug-in.
"""

__version__ = "0.1.0"

#: Raised whenever a change moves the numbers of any track; part of every cell's key, so that stale cells are not reused.
NUMERICS_VERSION = 3
