"""Protocols: everything that decides a number besides the model and the data, as named, versioned, frozen data."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from bench.core.errors import UserError

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

    Where the official code (github.com/fanegg/Feat2GS, commit 0930a18) is not followed, whatever the protocol:

    - InstantSplat's harmonics start at degree 0 and rise, as in 3D Gaussian splatting; the official model holds degree 3.
    - Visibility masks are exact. The official ones of .jpg photos are stored as JPEG, whose blocks at the masks' edges drop
      out, so that a smaller area is judged.
    - The depth that a point must agree with is looked up at pixel centres, in the view that the point falls into; the
      official code is half a pixel off and lets two views answer for each other.
    - A held-out camera is registered by the similarity itself; the official code applies its scale twice to the translation.
    - DTU's photos are rendered with their own intrinsics, not with those of their crop.
    - `iuvrgb` joins last wherever it stands in a concatenation; in the official code what follows it skips its own PCA.
    """

    name: str
    precision: Precision = "float32"  #: of the readout's matrix products alone; tf32 is float32 on a CPU
    feature_long_side: int = 512  #: photos are brought to this size before features are taken
    grid_long_side: int = 512  #: one Gaussian a pixel of this grid
    photo_width: int | None = 1600  #: photos are rendered and compared at their own size, at most so wide; None: on the grid
    pca_channels: int = 256
    iterations: int = 8_000  #: warm start included
    warm_start: int = 1_000
    warm_start_rate: tuple[float, float] = (1e-2, 1e-4)
    rates: Rates = Rates()
    instantsplat_iterations: int = 7_000
    instantsplat_factor: float = 10.0  #: on `rates`: the 3DGS defaults
    instantsplat_degree_every: int | None = 1_000  #: the SH degree rises by one every so many steps; None: 3 from the start
    ssim_weight: float = 0.2
    iuv_scale_weight: float = 0.1  #: L1 of the log-scales to their initial value, IUV and IUVRGB only
    opacity_initial: float = 0.1
    adam_epsilon: float = 1e-15
    refine_poses: bool = True
    test_pose_steps: int = 500
    test_pose_translation_rate: float = 3e-4
    test_pose_rotation_rate: float = 1e-4
    visibility_threshold: float = 1e-2
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
    quick: bool = False


_PAPER = ProbeProtocol("paper-v1")

PROBE_PROTOCOLS = {
    p.name: p
    for p in (
        _PAPER,
        replace(_PAPER, name="paper-v1-tf32", precision="tf32"),
        replace(_PAPER, name="paper-v1-bf16", precision="bfloat16"),
        # The paper's method sized for two CPU cores: a 50th of its Gaussians, a 40th of its iterations, half its PCA width.
        # What so few iterations would leave undone is made up for by rates: the warm start's twice the paper's, the poses'
        # three times, the rendering stage's ten times (3D Gaussian splatting's own, so that InstantSplat's factor is 1).
        ProbeProtocol(
            "quick-v1",
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
        ),
    )
}
GEOMETRY_PROTOCOLS = {
    p.name: p
    for p in (
        GeometryProtocol("moge-v1"),
        GeometryProtocol("exact-v1", alignment="exact", alignment_size=None),
    )
}


def protocol_named(name: str) -> ProbeProtocol | GeometryProtocol:
    """The protocol of that name. Raises UserError where there is none."""
    found = PROBE_PROTOCOLS.get(name) or GEOMETRY_PROTOCOLS.get(name)
    if found is None:
        raise UserError(f"no protocol is named {name!r}; there are {', '.join([*PROBE_PROTOCOLS, *GEOMETRY_PROTOCOLS])}")
    return found
