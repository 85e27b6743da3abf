"""The versions that results carry."""

from __future__ import annotations

VERSION = "0.1.0"
#: Part of every cell's key: a change that moves numbers, or adds some, raises it, so that stored cells run again.
NUMERICS_VERSION = 5
