"""The GTA modes: which attributes of a Gaussian the feature must tell, and which are optimised directly.

Source: Feat2GS (arXiv:2412.09606), section 3.3, and its official code for the fine-tuned modes.
"""

from __future__ import annotations

from dataclasses import dataclass

from bench.core.cells import INSTANTSPLAT, MODES
from bench.core.errors import UserError

GEOMETRY = ("position", "log_scale", "rotation", "opacity")
TEXTURE = ("colour_dc", "colour_rest")
ATTRIBUTES = GEOMETRY + TEXTURE  #: every attribute of a Gaussian, before its activation


@dataclass(frozen=True)
class Mode:
    """How a probe gets each attribute.

    readout: attributes predicted from the feature. free: attributes that are parameters themselves. fine_tuned: the
    per-pixel feature is a parameter of the warm start, and frozen after it.
    """

    name: str
    readout: tuple[str, ...]
    fine_tuned: bool = False

    @property
    def free(self) -> tuple[str, ...]:
        return tuple(name for name in ATTRIBUTES if name not in self.readout)

    @property
    def needs_feature(self) -> bool:
        return bool(self.readout)


_READOUTS = {"G": GEOMETRY, "T": TEXTURE, "A": ATTRIBUTES, INSTANTSPLAT: ()}


def mode_named(name: str) -> Mode:
    """The mode of that name: G, T, A, Gft, Tft, Aft or instantsplat. Raises UserError for another one."""
    if name not in MODES:
        raise UserError(f"no mode is named {name!r}; there are {', '.join(MODES)}")
    fine_tuned = name.endswith("ft")
    return Mode(name, _READOUTS[name.removesuffix("ft")], fine_tuned)
