"""Why a number differs from one that somebody else printed, beside what this suite itself does
(bench.core.facts.deviations).

Each cause says whose numbers it moves, by how much as far as anybody has measured it, and where that is stated. Nothing here
is a correction: a cause explains, it is never subtracted.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from bench.core.cells import INSTANTSPLAT, Track
from bench.core.facts.deviations import DEVIATIONS, Deviation
from bench.core.names import ModelName


@dataclass(frozen=True)
class Cause:
    """One known cause.

    Attributes:
        track: "probe" or "geometry".
        what: The choice that differs between two evaluations.
        effect: What it does to numbers.
        source: Where that is stated or was measured.
        size: How far it moves a number; "" where nobody has measured it.
        models, datasets: Whose numbers it moves, as the suite calls them; () for all of the track.
    """

    track: Track
    what: str
    effect: str
    source: str
    size: str = ""
    models: tuple[str, ...] = ()
    datasets: tuple[str, ...] = ()

    def concerns(self, track: str, models: Collection[str], datasets: Collection[str]) -> bool:
        """Whether it moves numbers of one of these models on one of these data sets."""
        mine = not self.models or not set(self.models).isdisjoint(models)
        here = not self.datasets or not set(self.datasets).isdisjoint(datasets)
        return track == self.track and mine and here


_PLUMBLINE = "github.com/kmatzen/plumbline at fc61592, REPRODUCTIONS.md"

CAUSES = (
    Cause(
        "probe",
        "area outside the visibility mask",
        "is black in render and photo alike and counts as rendered without error: PSNR and SSIM rise as the mask shrinks",
        "Feat2GS's metrics.py at 0930a18; the size follows from the definition of PSNR",
        "PSNR gains -10 log10(visible share): 0.46 dB where 90 % are visible, 3.0 dB at 50 %",
    ),
    Cause(
        "probe",
        "size of the photo that is scored",
        "features are read at a long side of 512 pixels, held-out photos are scored at up to 1600 pixels: numbers of "
        "evaluations that score at 512 pixels are of smoother photos",
        "Feat2GS's utils/dust3r_utils.py at 0930a18",
    ),
    Cause(
        "probe",
        "scale of LPIPS's input",
        "the authors feed values in [0, 1] to a network that was trained on [-1, 1]; lpips_rescaled is the other reading",
        "Feat2GS's lpipsPyTorch/modules/networks.py at 0930a18",
    ),
    Cause(
        "probe",
        "the upsampler of rows with + (FeatUp)",
        "the published code has none, and FeatUp's authors published weights for CLIP and for the small sizes of DINO and "
        "DINOv2 only; @featup averages to four vectors a token's side, @jbu is another filter",
        "github.com/fanegg/Feat2GS at 0930a18, coarse_init_eval.py; github.com/mhamilton723/FeatUp at 6b5a6c0, hubconf.py",
        models=("clip@featup", "clip@jbu", "dino@jbu", "dinov2@jbu"),
    ),
    Cause(
        "probe",
        "the training data of DL3DV",
        "MASt3R and VGGT were trained on scenes of DL3DV, which others were not",
        "github.com/naver/mast3r, hyperparameters; arXiv:2503.11651, section 3.4",
        models=("mast3r", "vggt", "vggt-decoder"),
        datasets=("dl3dv",),
    ),
    Cause(
        "geometry",
        "crops of the field of view",
        "the paper's are random and not published; those here are four centred ones, the uncropped photo a block of its own",
        "github.com/microsoft/MoGe, issue 115",
        models=("moge", "unidepth", "dust3r", "leres"),
    ),
    Cause(
        "geometry",
        "disparity is clamped to the inverse of the largest true depth",
        "without it, far pixels of disparity near zero have depths without bound",
        _PLUMBLINE + ", D30",
        "Rel .0391 without, .0348 with it (Depth Anything V2 Large on iBims-1)",
        models=("depth-anything-v1", "depth-anything-v2", "midas"),
    ),
    Cause(
        "geometry",
        "alignment weight 1 / distance or 1 / depth",
        "reimplementations weigh points by 1 / z, the authors by 1 / ||p||: off-axis pixels count otherwise",
        "MoGe's moge/utils/alignment.py and moge/train/losses.py at 0744441",
    ),
    Cause(
        "geometry",
        "KITTI and NYUv2 as the release of MoGe has them, or by the Eigen split",
        "other photos, crops and depth caps under one name",
        _PLUMBLINE + ", D8",
        "MoGe on KITTI: Rel .0447 by the Eigen protocol, .0408 as printed",
        datasets=("kitti", "nyuv2"),
    ),
    Cause(
        "geometry",
        "versions of the package utils3d",
        "masked_nearest_resize, which chooses the pixels that are aligned, was rewritten after the commit that MoGe pins "
        "(3fab839); later versions choose other pixels at borders",
        "github.com/EasternJournalist/utils3d, commit a8cfd3c (2025-10-30)",
    ),
    Cause(
        "geometry",
        "re-exported weights (names that end in -hf)",
        "a model of the transformers library, with its own resizing unless that is replaced, in place of the authors' code",
        "huggingface.co/depth-anything; parity with the authors' code is tested on random weights only",
        models=("depth-anything-v1", "depth-anything-v2", "depth-pro", "midas", "zoedepth"),
    ),
    Cause(
        "geometry",
        "Depth Anything's rows of scale-invariant depth",
        "the paper's are of the fine-tuned metric models, not of those that are registered here",
        "MoGe's baselines/da_v2_metric.py at 0744441",
        models=("depth-anything-v1", "depth-anything-v2"),
    ),
    Cause(
        "geometry",
        "Marigold's checkpoint, steps and ensemble",
        "the registered model takes one sample of version 1-1; the paper averages an ensemble of version 1-0 over 50 steps",
        _PLUMBLINE + ", D9",
        "Rel .0577 for .055 on NYUv2, .1090 for .099 on KITTI",
        models=("marigold",),
    ),
    Cause(
        "geometry",
        "GeoWizard's seeds",
        "the published rows are the best of several seeds, which one seed does not give",
        _PLUMBLINE + ", D17 and D18",
        "Rel .0574 for .052 on NYUv2, .131 for .097 on KITTI",
        models=("geowizard",),
    ),
    Cause(
        "geometry",
        "MiDaS V3.0 and V3.1",
        "two models: the registered one is DPT-Large of V3.0, the paper's row is V3.1, which was trained on NYUv2 and KITTI",
        "arXiv:2103.13413, arXiv:2307.14460",
        models=("midas",),
    ),
    Cause(
        "geometry",
        "a camera that the estimator is told",
        "Metric3D and UniDepth find other depths where they are given the true intrinsics; here no estimator is",
        "MoGe's baselines/metric3d_v2.py and unidepth.py at 0744441",
        models=("metric3d-v2", "unidepth", "unidepth-v2"),
    ),
)


def concerning(track: str, models: Collection[str], datasets: Collection[str]) -> tuple[list[Cause], list[Deviation]]:
    """The causes and the deviations of this suite that move numbers of one of these models on one of these data sets.

    A cause that names a family concerns all its sizes and layers.
    """
    bases = {base for model in models if model != INSTANTSPLAT for base in ModelName.parse(model).bases}
    causes = [cause for cause in CAUSES if cause.concerns(track, {*models, *bases}, datasets)]
    return causes, [each for each in DEVIATIONS if each.track == track and _concerns(each, models, datasets)]


def _concerns(deviation: Deviation, models: Collection[str], datasets: Collection[str]) -> bool:
    here = not deviation.datasets or not set(deviation.datasets).isdisjoint(datasets)
    return here and (not deviation.joined or any("+" in model for model in models))
