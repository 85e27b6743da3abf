"""What models were trained on: the vocabulary of training data, and whether it overlaps what they are scored on.

A card names training data by the words of the papers' tables (bench.core.interfaces.Card.data): single data sets, or the
mixture of one paper. What a word means stands here, once: which data sets it holds, what it was made from, which photos it
was chosen to resemble, and where that is stated. A word that stands nowhere here is a data set of its own.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

Kind = Literal["trained", "derived", "alike"]

#: What takes the place of data sets that the publisher does not name.
UNDISCLOSED = "undisclosed"
#: What takes the place of data sets that the source names and this suite has not taken down.
OTHERS = "and others"


@dataclass(frozen=True)
class TrainingData:
    """One word of the vocabulary.

    Attributes:
        holds: What is part of it, the data that initial weights had been trained on included.
        made_from: What it was rendered, copied or built from.
        alike: What its photos were chosen to resemble, by retrieval or clustering.
        source: Where all this is stated.
        dataset: The name under which this suite scores on it; "" where it does not.
    """

    holds: tuple[str, ...] = ()
    made_from: tuple[str, ...] = ()
    alike: tuple[str, ...] = ()
    source: str = ""
    dataset: str = ""


@dataclass(frozen=True, order=True)
class Overlap:
    """How training data meets a data set.

    Attributes:
        rank: 0 for what weighs most.
        kind: "trained": it is part of the training data, whichever split was trained on and whichever is scored.
            "derived": the training data holds something made from it. "alike": the training data was chosen by likeness
            to its photos, without its labels.
        path: From the training data's name to the data set's.
    """

    rank: int
    kind: Kind
    path: tuple[str, ...]

    def __str__(self) -> str:
        said = self.path[-1] if len(self.path) == 1 else f"{self.path[-1]} ({' → '.join(self.path)})"
        return {
            "trained": f"trained on {said}",
            "derived": f"trained on what was made from {said}",
            "alike": f"trained on photos chosen to resemble {said}",
        }[self.kind]


_KINDS: tuple[Kind, ...] = ("trained", "derived", "alike")


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split(", "))


#: The photos without labels of Depth Anything, V1 and V2, and what its encoder had seen.
_UNLABELLED = _words(
    "BDD100K, Google Landmarks v2, ImageNet-22k, LSUN, Objects365, Open Images V7, Places365, SA-1B, LVD-142M"
)
_TABLE = {
    # Data sets that this suite scores on.
    **{
        title: TrainingData(dataset=name)
        for title, name in {
            "NYUv2": "nyuv2",
            "KITTI": "kitti",
            "ETH3D": "eth3d",
            "iBims-1": "ibims1",
            "GSO": "gso",
            "Sintel": "sintel",
            "DDAD": "ddad",
            "DIODE": "diode",
            "Spring": "spring",
            "HAMMER": "hammer",
            "LLFF": "llff",
            "DTU": "dtu",
            "DL3DV": "dl3dv",
            "MipNeRF 360": "mipnerf360",
            "MVImgNet": "mvimgnet",
            "Tanks and Temples": "tanks",
        }.items()
    },
    # Data sets that are related to them, or to each other.
    "Virtual KITTI": TrainingData(made_from=("KITTI",), source="arXiv:1605.06457, five sequences rebuilt"),
    "Virtual KITTI 2": TrainingData(made_from=("KITTI",), source="arXiv:2001.10773"),
    "SUN RGB-D": TrainingData(holds=("NYUv2",), source="Song et al., CVPR 2015, section 3"),
    "Habitat": TrainingData(made_from=("HM3D", "ScanNet", "Replica"), source="arXiv:2210.10716, section 4"),
    "Kubric": TrainingData(made_from=("GSO",), source="arXiv:2203.03570, section 3"),
    "Replica + GSO": TrainingData(made_from=("Replica", "GSO"), source="arXiv:2110.04994, the starter data set"),
    "BlendedMVG": TrainingData(holds=("BlendedMVS",), source="github.com/YoYo000/BlendedMVS"),
    # Single data sets that cards name.
    **{
        title: TrainingData(source=source)
        for title, source in {
            "3D Ken Burns": "arXiv:1909.05483",
            "CC3M": "Sharma et al., ACL 2018",
            "CC12M": "arXiv:2102.08981",
            "COCO": "arXiv:1405.0312",
            "COYO": "github.com/kakaobrain/coyo-dataset",
            "DataComp-1B": "arXiv:2304.14108",
            "DiverseDepth": "arXiv:2002.00569",
            "Holopix50K": "arXiv:2003.11172",
            "HRWSI": "Xian et al., CVPR 2020",
            "Hypersim": "arXiv:2011.02523",
            "InteriorVerse": "arXiv:2211.03017",
            "ImageNet-1k": "arXiv:1409.0575",
            "ImageNet-22k": "Deng et al., CVPR 2009",
            "LAION": "arXiv:2210.08402",
            "LAION-2B": "arXiv:2210.08402",
            "Kinetics": "arXiv:1705.06950",
            "MegaDepth": "arXiv:1804.00607",
            "Objaverse": "arXiv:2212.08051",
            "R2D2's homographic pairs": "arXiv:1906.06195",
            "Replica": "arXiv:1906.05797",
            "SA-1B": "arXiv:2304.02643",
            "SA-V": "arXiv:2408.00714",
            "SBU Captions": "Ordonez et al., NeurIPS 2011",
            "Taskonomy": "arXiv:1804.08328",
            "Visual Genome": "arXiv:1602.07332",
        }.items()
    },
    "GeoWizard's simulation": TrainingData(holds=(UNDISCLOSED,), source="arXiv:2403.12013, implementation details"),
    "360Cities": TrainingData(source="arXiv:2212.03239, section 4"),
    "VideoMix22M": TrainingData(
        _words("Something-Something v2, Kinetics, HowTo100M, YT-Temporal-1B, ImageNet-1k"),
        source="arXiv:2506.09985, table 1",
    ),
    # Photos without labels.
    "LVD-142M": TrainingData(
        holds=("ImageNet-1k", "ImageNet-22k", "Mapillary SLS", "Google Landmarks v2"),
        alike=("KITTI", "NYUv2", "SUN RGB-D", "Cityscapes"),
        source="arXiv:2304.07193, table 15",
    ),
    "LVD-1689M": TrainingData(
        holds=("ImageNet-1k", "ImageNet-22k", "Mapillary SLS", UNDISCLOSED), source="arXiv:2508.10104, section 3.1"
    ),
    "WIT-400M": TrainingData(holds=(UNDISCLOSED,), source="arXiv:2103.00020, section 2.2"),
    "WebLI": TrainingData(holds=(UNDISCLOSED,), source="arXiv:2209.06794, section 3.3"),
    "MetaCLIP-2B": TrainingData(holds=(UNDISCLOSED,), source="arXiv:2512.15715; arXiv:2309.16671"),
    "MetaCLIP 2's pairs": TrainingData(holds=(UNDISCLOSED,), source="arXiv:2507.22062"),
    "SA-Co": TrainingData(holds=(OTHERS,), source="arXiv:2511.16719"),
    "5.4B image-text pairs": TrainingData(holds=(UNDISCLOSED,), source="arXiv:2504.13181, section 2"),
    # One paper's mixtures.
    "BEiT-3-Mix": TrainingData(
        _words("CC12M, CC3M, SBU Captions, COCO, Visual Genome, ImageNet-22k"),
        source="arXiv:2208.10442, table of pretraining data",
    ),
    "AIMv2-Mix": TrainingData(
        _words("DFN-2B, COYO, undisclosed"), source="arXiv:2411.14402, pre-training data (with image-text pairs of its own)"
    ),
    "InternViT-Mix": TrainingData(
        _words("LAION, COYO, COCO, Objects365, Open Images V7, and others"),
        source="the publisher's card of InternViT-300M; arXiv:2412.05271",
    ),
    "CroCo-Mix": TrainingData(
        _words("Habitat, ARKitScenes, MegaDepth, 3DStreetView, IndoorVL"),
        source="arXiv:2211.10408, section 3; github.com/naver/croco, pre-training",
    ),
    "DUSt3R-Mix": TrainingData(
        _words("Habitat, MegaDepth, ARKitScenes, StaticThings3D, BlendedMVS, ScanNet++, CO3Dv2, Waymo, CroCo-Mix"),
        source="arXiv:2312.14132, section 4; github.com/naver/dust3r, hyperparameters",
    ),
    "MASt3R-Mix": TrainingData(
        _words(
            "Habitat, BlendedMVS, MegaDepth, ARKitScenes, CO3Dv2, StaticThings3D, ScanNet++, TartanAir, "
            "UnrealStereo4K, Virtual KITTI, WildRGB-D, Map-free, DL3DV, undisclosed, DUSt3R-Mix"
        ),
        source="arXiv:2406.09756, section 4; github.com/naver/mast3r, hyperparameters (DL3DV and an internal data set)",
    ),
    "VGGT-Mix": TrainingData(
        _words(
            "CO3Dv2, BlendedMVS, DL3DV, MegaDepth, Kubric, WildRGB-D, ScanNet, Hypersim, Mapillary, Habitat, Replica, "
            "MVS-Synth, PointOdyssey, Virtual KITTI, Aria Synthetic Environments, Aria Digital Twin, undisclosed, "
            "LVD-142M"
        ),
        source="arXiv:2503.11651, section 3.4",
    ),
    "Pi3-Mix": TrainingData(
        _words(
            "GTA-SfM, CO3Dv2, WildRGB-D, Habitat, ARKitScenes, TartanAir, ScanNet, ScanNet++, BlendedMVG, MatrixCity, "
            "MegaDepth, Hypersim, Taskonomy, Mid-Air, undisclosed, VGGT-Mix"
        ),
        source="arXiv:2507.13347, implementation details; github.com/yyfz/Pi3, branch training, configs/model/pi3.yaml",
    ),
    "Pi3X-Mix": TrainingData(holds=(OTHERS, "Pi3-Mix"), source="github.com/yyfz/Pi3, README"),
    "MapAnything-Mix": TrainingData(
        _words(
            "Aria Synthetic Environments, BlendedMVS, DL3DV, Dynamic Replica, MegaDepth, Mapillary PSD, MVS-Synth, "
            "Parallel Domain 4D, SAIL-VOS 3D, ScanNet++, Spring, TartanAir V2, UnrealStereo4K, LVD-142M"
        ),
        source="github.com/facebookresearch/map-anything, configs/dataset/megatrain_13d_518_many_ar_36ipg_64g.yaml",
    ),
    "MapAnything-Apache-Mix": TrainingData(
        _words("BlendedMVS, Mapillary PSD, ScanNet++, Spring, TartanAir V2, UnrealStereo4K, LVD-142M"),
        source="github.com/facebookresearch/map-anything, configs/dataset/megatrain_6d_518_many_ar_36ipg_64g.yaml",
    ),
    "MUSt3R-Mix": TrainingData(
        _words(
            "CO3Dv2, ScanNet++, BlendedMVS, StaticThings3D, WildRGB-D, TartanAir, UnrealStereo4K, Virtual KITTI 2, DL3DV, "
            "Map-free, Infinigen, Hypersim, ARKitScenes, and others, CroCo-Mix"
        ),
        source="github.com/naver/must3r, NOTICE, section 2, part 3, and README",
    ),
    "Fast3R-Mix": TrainingData(
        _words("CO3Dv2, ScanNet++, ARKitScenes, Habitat, BlendedMVS, MegaDepth, DUSt3R-Mix"),
        source="github.com/facebookresearch/fast3r, configs/experiment/super_long_training, configs/model/fast3r.yaml",
    ),
    "CUT3R-Mix": TrainingData(
        _words(
            "ARKitScenes, BlendedMVS, CO3Dv2, MegaDepth, ScanNet++, ScanNet, Waymo, WildRGB-D, Map-free, TartanAir, "
            "UnrealStereo4K, Virtual KITTI 2, 3D Ken Burns, BEDLAM, COP3D, DL3DV, Dynamic Replica, EDEN, Hypersim, IRS, "
            "Matterport3D, MVImgNet, MVS-Synth, OmniObject3D, PointOdyssey, RealEstate10K, SmartPortraits, Spring, "
            "Synscapes, UASOL, UrbanSyn, HOI4D, DUSt3R-Mix"
        ),
        source="github.com/CUT3R/CUT3R, README (32 data sets); arXiv:2501.12387, initialised from DUSt3R",
    ),
    "VGGT-Omega-Mix": TrainingData(
        _words("DL3DV, EDEN, Hypersim, MegaSynth, Mid-Air, MVS-Synth, SAIL-VOS 3D, uCO3D, and others, LVD-1689M"),
        source="arXiv:2605.15195; github.com/facebookresearch/vggt-omega, training/valid_seqs",
    ),
    "MiDaS-Mix": TrainingData(
        _words("ReDWeb, DIML, 3D Movies, MegaDepth, WSVD, TartanAir, HRWSI, ApolloScape, BlendedMVS, IRS, ImageNet-22k"),
        source="arXiv:2103.13413, section 4.1",
    ),
    "MiDaS-3.1-Mix": TrainingData(
        holds=("MiDaS-Mix", "KITTI", "NYUv2"), source="arXiv:2307.14460; github.com/isl-org/MiDaS, 12 data sets"
    ),
    "DA-V1-Mix": TrainingData(
        _words("BlendedMVS, DIML, HRWSI, IRS, MegaDepth, TartanAir") + _UNLABELLED,
        source="arXiv:2401.10891, table 1",
    ),
    "DA-V2-Mix": TrainingData(
        _words("BlendedMVS, Hypersim, IRS, TartanAir, Virtual KITTI 2") + _UNLABELLED,
        source="arXiv:2406.09414, table 7",
    ),
    "DA3-Mix": TrainingData(
        _words(
            "Aria Digital Twin, Aria Synthetic Environments, ARKitScenes, BlendedMVS, CO3Dv2, DL3DV, Hypersim, Map-free, "
            "MegaDepth, MegaSynth, MVS-Synth, Objaverse, OmniObject3D, OmniWorld, PointOdyssey, Replica, ScanNet++, "
            "SceneNet RGB-D, TartanAir, Trellis, Virtual KITTI 2, WildRGB-D, labels of DA3's teacher, LVD-142M"
        ),
        source="arXiv:2511.10647, table 1 and section 4.2",
    ),
    "DA3-Metric-Mix": TrainingData(
        _words(
            "Taskonomy, DIML, DDAD, Argoverse2, Lyft, PandaSet, Waymo, ScanNet++, ARKitScenes, Map-free, DSEC, "
            "DrivingStereo, Cityscapes, and others, labels of DA3's teacher, LVD-142M"
        ),
        source="arXiv:2511.10647, section 4.4 (of 14 data sets it names these 13)",
    ),
    "DA3-Mono-Mix": TrainingData(
        holds=(OTHERS, "labels of DA3's teacher", "LVD-142M"), source="arXiv:2511.10647, section 4.3"
    ),
    "labels of DA3's teacher": TrainingData(
        made_from=_words(
            "Hypersim, TartanAir, IRS, Virtual KITTI 2, BlendedMVS, Spring, MVS-Synth, UnrealStereo4K, GTA-SfM, TauAgent, "
            "3D Ken Burns, MatrixCity, EDEN, Replica + GSO, UrbanSyn, PointOdyssey, Structured3D, Objaverse, Trellis, "
            "OmniObject3D"
        ),
        source="arXiv:2511.10647, section 4.1",
    ),
    "Metric3D-Mix": TrainingData(
        _words(
            "UASOL, Cityscapes, DIML, Waymo, DSEC, Mapillary PSD, DrivingStereo, Argoverse2, Lyft, DDAD, PandaSet, "
            "Virtual KITTI, Replica, Replica + GSO, Hypersim, ScanNet, Taskonomy, Matterport3D, HM3D, LVD-142M"
        ),
        source="github.com/YvanYin/Metric3D at 53ef5b1, training/mono/configs/RAFTDecoder/vit.raft5.large.py",
    ),
    "UniDepth-Mix": TrainingData(
        _words("A2D2, Argoverse2, BDD100K, Cityscapes, DrivingStereo, Mapillary PSD, ScanNet, Taskonomy, Waymo, LVD-142M"),
        source="arXiv:2403.18913, section 4.1",
    ),
    "UniDepth-V2-Mix": TrainingData(
        _words(
            "A2D2, Argoverse2, ARKitScenes, BEDLAM, BlendedMVS, DL3DV, DrivingStereo, Dynamic Replica, EDEN, HOI4D, HM3D, "
            "Matterport3D, Mapillary PSD, MatrixCity, MegaDepth, Map-free, PointOdyssey, ScanNet, ScanNet++, TartanAir, "
            "Taskonomy, Waymo, WildRGB-D, LVD-142M"
        ),
        source="arXiv:2502.20110, section IV-A",
    ),
    "UniK3D-Mix": TrainingData(holds=(OTHERS, "LVD-142M"), source="arXiv:2503.16591, section 4.1"),
    "MoGe-Mix": TrainingData(
        _words(
            "A2D2, Argoverse2, ARKitScenes, DIML, BlendedMVS, MegaDepth, Taskonomy, Waymo, GTA-SfM, Hypersim, IRS, 3D "
            "Ken Burns, MatrixCity, Mid-Air, MVS-Synth, Spring, Structured3D, Synthia, TartanAir, UrbanSyn, Objaverse, "
            "LVD-142M"
        ),
        source="arXiv:2410.19115, training datasets",
    ),
    "MoGe-2-Mix": TrainingData(
        _words(
            "A2D2, ARKitScenes, Argoverse2, MegaDepth, Taskonomy, Waymo, ScanNet++, BlendedMVS, Objaverse, GTA-SfM, "
            "Hypersim, IRS, 3D Ken Burns, MatrixCity, Mid-Air, MVS-Synth, Structured3D, Synthia, TartanAir, UrbanSyn, "
            "ApolloSynthetic, Synscapes, UnrealStereo4K, EDEN, LVD-142M"
        ),
        source="arXiv:2507.02546, training data; github.com/microsoft/MoGe, configs/train/v2.json",
    ),
    "Depth-Pro-Mix": TrainingData(
        _words(
            "3D Ken Burns, ARKitScenes, BEDLAM, BlendedMVG, DIML, Dynamic Replica, EDEN, HRWSI, Hypersim, IRS, "
            "MVS-Synth, ReDWeb, SAIL-VOS 3D, ScanNet, SmartPortraits, Synscapes, TartanAir, UASOL, UnrealStereo4K, "
            "UrbanSyn, Virtual KITTI 2, LVD-142M"
        ),
        source="arXiv:2410.02073, appendix C.3, table 15",
    ),
    "WildCamera-Mix": TrainingData(
        _words("nuScenes, KITTI, Cityscapes, NYUv2, ARKitScenes, SUN3D, MVImgNet, Objectron"),
        source="arXiv:2306.10988, table 1",
    ),
}
#: Every word that is explained, by its name.
TRAINING_DATA = MappingProxyType(_TABLE)


def parts(data: Sequence[str]) -> tuple[str, ...]:
    """All data sets that training data consists of, mixtures taken apart, each once, without what they were made from."""
    found: dict[str, None] = {}
    waiting = list(data)
    while waiting:
        name = waiting.pop(0)
        held = TRAINING_DATA[name].holds if name in TRAINING_DATA else ()
        if held:
            waiting[:0] = held
        else:
            found[name] = None
    return tuple(found)


def is_disclosed(data: Sequence[str]) -> bool:
    """Whether everything that it was trained on is named here; False for data of which nothing is said."""
    return bool(data) and not {UNDISCLOSED, OTHERS} & set(parts(data))


def sources(data: Sequence[str]) -> tuple[str, ...]:
    """Where it is stated what training data consists of, each once."""
    stated = (TRAINING_DATA[name].source for name in data if name in TRAINING_DATA)
    return tuple(dict.fromkeys(source for source in stated if source))


@functools.cache
def overlap(data: tuple[str, ...], dataset: str) -> Overlap | None:
    """How training data meets a data set, told by what weighs most and shortest; None where nothing is known.

    Args:
        data: Names of the vocabulary, as a card has them.
        dataset: A data set as this suite calls it.
    """
    return min(_overlaps(data, dataset), default=None, key=lambda found: (found.rank, len(found.path), found.path))


def _overlaps(data: tuple[str, ...], dataset: str) -> Iterator[Overlap]:
    """Every way from the training data to the data set. What a likeness leads to weighs as a likeness, what was made from
    something as derived, whatever follows."""
    waiting: list[tuple[int, tuple[str, ...]]] = [(0, (name,)) for name in data]
    while waiting:
        rank, path = waiting.pop()
        known = TRAINING_DATA.get(path[-1], TrainingData())
        if (known.dataset or path[-1].casefold()) == dataset:
            yield Overlap(rank, _KINDS[rank], path)
        for step, names in enumerate((known.holds, known.made_from, known.alike)):
            waiting += [(max(rank, step), (*path, name)) for name in names if name not in path]
