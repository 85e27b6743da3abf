"""Protocols: everything that decides a number besides the model and the data, as named, versioned, frozen data."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal, TypeVar

from bench.core.errors import UserError
from bench.core.registry import NAME, discover

Precision = Literal["float32", "tf32", "bfloat16"]


@dataclass(frozen=True)
class Rates:
    """Adam learning rates of the rendering stage. Position and pose rates are log-linear from start to end."""

    position: tuple[float, float] = (1.6e-5, 1.6e-7)  #: times the scene extent
    position_steps: int = 30_000
    colour_dc: float = 2.5e-4
    colour_rest: float = 1.25e-5
    opacity: float = 5e-3
    scale: float = 5e-4
    rotation: float = 1e-4
    pose: tuple[float, float] = (1e-4, 1e-6)
    pose_steps: int = 1_000

    def scaled(self, factor: float) -> Rates:
        """The same schedule with every Gaussian rate (not the pose's) multiplied by `factor`."""
        return Rates(
            position=(self.position[0] * factor, self.position[1] * factor),
            position_steps=self.position_steps,
            colour_dc=self.colour_dc * factor,
            colour_rest=self.colour_rest * factor,
            opacity=self.opacity * factor,
            scale=self.scale * factor,
            rotation=self.rotation * factor,
            pose=self.pose,
            pose_steps=self.pose_steps,
        )


@dataclass(frozen=True)
class ProbeProtocol:
    """Feat2GS (arXiv:2412.09606), sections 3 and 4, and its official code where the paper is silent.

    What is knowingly done otherwise, whatever the protocol, stands in bench.core.facts.deviations, with its size.
    """

    name: str
    precision: Precision = "float32"  #: of the readout's matrix products alone; tf32 is float32 on a CPU
    feature_long_side: int = 512  #: photos are brought to this size before features are taken
    #: How photos come to sides that are multiples of 16: squeezed, as in the official code, or cut at their borders (and
    #: square ones to 4:3, as DUSt3R's own loader does)
    framing: Literal["squeeze", "crop"] = "squeeze"
    grid_long_side: int = 512  #: one Gaussian a pixel of this grid
    photo_width: int | None = 1600  #: photos are rendered and compared at their own size, at most so wide; None: on the grid
    pca_channels: int = 256
    #: Root of the mean squared deviation that features have per channel when they reach the readout; None: as they come
    feature_deviation: float | None = None
    iterations: int = 8_000  #: warm start included
    warm_start: int = 1_000
    warm_start_rate: tuple[float, float] = (1e-2, 1e-4)
    rates: Rates = Rates()
    instantsplat_iterations: int = 7_000
    instantsplat_factor: float = 10.0  #: on `rates`: the 3DGS defaults
    instantsplat_degree_every: int | None = None  #: the SH degree rises by one every so many steps; None: 3 from the start
    ssim_weight: float = 0.2
    iuv_scale_weight: float = 0.1  #: L1 of the log-scales to their initial value, IUV and IUVRGB only
    opacity_initial: float = 0.1
    adam_epsilon: float = 1e-15
    refine_poses: bool = True
    test_pose_steps: int = 500
    test_pose_translation_rate: float = 3e-4
    test_pose_rotation_rate: float = 1e-4
    visibility_threshold: float = 1e-2
    masked_visibility: bool = False  #: a training view shows nothing where its point map's mask keeps no pixel
    alpha_max: float = 0.999
    quick: bool = False  #: labelled in every table


@dataclass(frozen=True)
class GeometryProtocol:
    """MoGe (arXiv:2410.19115), section 4 and appendix, and its official evaluation code where the paper is silent."""

    name: str
    alignment: Literal["official", "exact"] = "official"
    alignment_size: int | None = 64  #: side of the masked nearest resampling; None = full resolution
    segment_samples: int = 10  #: a segment with fewer samples is left out of the local point block
    boundary_radii: tuple[int, ...] = (1,)
    fov_datasets: tuple[str, ...] = ("nyuv2", "eth3d", "ibims1", "procedural")  #: which the FOV table is measured on
    fov_crops: tuple[float, ...] = (1.0, 0.85, 0.7, 0.55)  #: its centred crops, as shares of the photo's sides
    fov_minimum: float = 45.0  #: degrees of vertical field of view below which a photo is left out of that table
    normal_jump: float = 0.05  #: no normal is measured where the inverse depth bends by more than this share (a depth edge)
    quick: bool = False


P = TypeVar("P", bound="ProbeProtocol | GeometryProtocol")


class Protocols(Mapping[str, P]):
    """The protocols of one track by name: the suite's own, then those of plug-ins."""

    def __init__(self, own: Iterable[P]) -> None:
        self._held: dict[str, P] = {protocol.name: protocol for protocol in own}

    def __getitem__(self, name: str) -> P:
        if name not in self._held:
            discover()
        return self._held[name]

    def __iter__(self) -> Iterator[str]:
        discover()
        return iter(list(self._held))

    def __len__(self) -> int:
        discover()
        return len(self._held)

    def refuse(self, name: str) -> None:
        """Raise UserError where a protocol of this track has that name."""
        if name in self._held:
            raise UserError(f"protocol {name!r}: the other track has one of that name")

    def add(self, protocol: P) -> None:
        """Add a protocol, or the same one again. Raises UserError where another one holds its name."""
        if self._held.setdefault(protocol.name, protocol) != protocol:
            raise UserError(f"protocol {protocol.name!r} is registered twice, with different settings")


class ProtocolRegistry:
    """What a plug-in registers protocols with (`from bench.registry import protocols`).

    A protocol is a frozen value: all that it says goes into the keys of its cells.

    Example:
        >>> from dataclasses import replace
        >>> mine = replace(PROBE_PROTOCOLS["quick-v1"], name="quick-v1-narrow", pca_channels=8)
        >>> protocols.register(mine).pca_channels
        8
    """

    def register(self, protocol: P) -> P:
        """Add a protocol of either track under its own name, and give it back.

        Raises:
            UserError: For another type, a malformed name, or a name that another protocol has.
        """
        if not isinstance(protocol, ProbeProtocol | GeometryProtocol):
            raise UserError(f"a protocol is a ProbeProtocol or a GeometryProtocol, not {protocol!r}")
        if not NAME.fullmatch(protocol.name):
            raise UserError(f"protocol name {protocol.name!r}: use lower-case letters, digits, '-' and '.'")
        if isinstance(protocol, ProbeProtocol):
            GEOMETRY_PROTOCOLS.refuse(protocol.name)
            PROBE_PROTOCOLS.add(protocol)
        else:
            PROBE_PROTOCOLS.refuse(protocol.name)
            GEOMETRY_PROTOCOLS.add(protocol)
        return protocol


def protocol_named(name: str) -> ProbeProtocol | GeometryProtocol:
    """The protocol of that name. Raises UserError where there is none."""
    found = PROBE_PROTOCOLS.get(name) or GEOMETRY_PROTOCOLS.get(name)
    if found is None:
        raise UserError(f"no protocol is named {name!r}; there are {', '.join([*PROBE_PROTOCOLS, *GEOMETRY_PROTOCOLS])}")
    return found


_PAPER = ProbeProtocol("paper-v1")
_QUICK = ProbeProtocol(
    # The paper's method sized for two CPU cores: a 50th of its Gaussians, a 40th of its iterations, half its PCA width. What
    # so few iterations would leave undone is made up for by rates: the warm start's twice the paper's, the poses' three
    # times, the rendering stage's ten times (3D Gaussian splatting's own, so that InstantSplat's factor is 1).
    "quick-v1",
    framing="crop",
    masked_visibility=True,
    grid_long_side=72,
    photo_width=None,
    pca_channels=128,
    iterations=200,
    warm_start=110,
    warm_start_rate=(2e-2, 2e-4),
    rates=Rates(pose=(3e-4, 3e-5), pose_steps=160).scaled(10.0),
    instantsplat_iterations=160,
    instantsplat_factor=1.0,
    instantsplat_degree_every=32,
    test_pose_steps=25,
    quick=True,
)
_QUICK_2 = replace(
    # Chosen by what tells trained networks from untrained ones at the cost of a few seconds (bench/docs/selectivity.md):
    # features of one deviation; photos so small that a token covers several Gaussians, as in the paper; a warm start whose
    # rates add up to the paper's, since a weight hardly travels farther, and those of a readout of six units must.
    _QUICK,
    name="quick-v2",
    framing="squeeze",
    masked_visibility=False,
    feature_long_side=128,
    feature_deviation=1.0,
    pca_channels=64,
    iterations=390,
    warm_start=300,
    warm_start_rate=(3.5e-2, 3.5e-4),
    rates=Rates(pose=(1e-3, 1e-4), pose_steps=90).scaled(10.0),
    instantsplat_degree_every=None,
)
PROBE_PROTOCOLS: Protocols[ProbeProtocol] = Protocols(
    (
        _PAPER,
        replace(_PAPER, name="paper-v1-tf32", precision="tf32"),
        replace(_PAPER, name="paper-v1-bf16", precision="bfloat16"),
        # The paper's, but that no feature gains or loses by the unit that its network happens to give it.
        replace(_PAPER, name="calibrated-v1", feature_deviation=1.0),
        _QUICK,
        _QUICK_2,
    ),
)
GEOMETRY_PROTOCOLS: Protocols[GeometryProtocol] = Protocols(
    (
        GeometryProtocol("moge-v1"),
        GeometryProtocol("exact-v1", alignment="exact", alignment_size=None),
    ),
)
#: The probe's protocol where none is named, by kind of device.
DEFAULT_PROBE = {"cuda": "paper-v1", "cpu": "quick-v2"}
protocols = ProtocolRegistry()
