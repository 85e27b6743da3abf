"""What the study looks at: protocols, networks, and the cells of each part."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from bench.core.cells import Weights
from bench.core.protocols import PROBE_PROTOCOLS, ProbeProtocol
from bench.perf.selectivity.cells import AS_PUBLISHED, PAPER, Probed, Source, grid

NETWORKS = ("aliked", "disk", "efficientnet-lite0", "xfeat")
PAIRS: list[tuple[str, Weights]] = [
    *((name, "pretrained") for name in NETWORKS),
    *((name, "random") for name in NETWORKS),
]
SCENES = ("courtyard", "room")
EMBEDDED = ("courtyard", "gallery", "grove", "room", "tabletop")
FERN = "fern"  #: of LLFF, for who has it
SCALES = (0.03, 0.1, 0.3, 3.0, 10.0, 30.0)  #: 1 is quick-v2 itself
_QUICK = PROBE_PROTOCOLS["quick-v2"]
_QUICK_1_CALIBRATED = replace(PROBE_PROTOCOLS["quick-v1"], feature_deviation=1.0)
_CANDIDATE = replace(_QUICK_1_CALIBRATED, framing="squeeze", masked_visibility=False)


def _candidate(name: str, long_side: int, channels: int, warm_start: int, rate: float) -> ProbeProtocol:
    """quick-v1's rendering stage after a warm start of that many iterations, on features of one deviation."""
    return replace(
        _CANDIDATE,
        name=name,
        feature_long_side=long_side,
        pca_channels=channels,
        warm_start=warm_start,
        iterations=warm_start + 90,
        warm_start_rate=(rate, rate / 100),
    )


CANDIDATES = (
    _candidate("s128-p32", 128, 32, 300, 3.5e-2),
    _candidate("s128-p64", 128, 64, 300, 3.5e-2),
    _candidate("s256-p64", 256, 64, 300, 3.5e-2),
    _candidate("s512-p128", 512, 128, 110, 2e-2),
)
SCALED = {f"quick-v2*{scale:g}": replace(_QUICK, feature_deviation=scale) for scale in SCALES}
PUBLISHED_UNIT = f"quick-v2{AS_PUBLISHED}"
STUDIED: dict[str, ProbeProtocol] = {
    **{each.name: each for each in CANDIDATES},
    **{name: PROBE_PROTOCOLS[name] for name in (PAPER, "quick-v1", "quick-v2")},
    "quick-v1*1": _QUICK_1_CALIBRATED,
    **SCALED,
    PUBLISHED_UNIT: replace(_QUICK, feature_deviation=None),
}
_BOUNDS: list[tuple[str, Weights]] = [("iuvrgb", "pretrained"), ("oracle-xyz", "pretrained")]
_CONTROLS: list[tuple[str, Weights]] = [(name, "pretrained") for name in ("constant", "daisy", "iuvrgb", "random-vit")]
_ORACLE: list[tuple[str, Weights]] = [("oracle-xyz", "pretrained")]
_CURVES: list[tuple[str, Weights]] = [*PAIRS, ("daisy", "pretrained"), ("random-vit", "pretrained")]
_ALL_SCENES = (*EMBEDDED, FERN)
_OF_QUICK_1 = (*SCENES, FERN)  #: a cell of quick-v1 takes two to three times as long
PARTS: dict[str, list[Probed]] = {
    "candidates": grid([each.name for each in CANDIDATES], SCENES, PAIRS, ["G"], [0]),
    "signs": grid(["quick-v2"], SCENES, [*_BOUNDS, ("aliked", "pretrained"), ("aliked", "random")], ["A", "G", "T"], [0]),
    "variants": grid(["quick-v2"], ["room"], [("aliked", "pretrained")], ["Gft", "Tft"], [0])
    + grid(["quick-v2"], ["room"], [("aliked+iuvrgb", "pretrained")], ["G", "T"], [0]),
    "scale": grid(["quick-v2", PUBLISHED_UNIT, *SCALED], SCENES, _CURVES, ["G"], [0]),
    "seeds": grid(["quick-v2"], _ALL_SCENES, PAIRS, ["G"], [0, 1, 2])
    + grid(["quick-v2"], _ALL_SCENES, _CONTROLS, ["G"], [0])
    + grid(["quick-v2"], EMBEDDED, _ORACLE, ["G"], [0])
    + grid(["quick-v1"], _OF_QUICK_1, PAIRS, ["G"], [0, 1, 2])
    + grid(["quick-v1"], _OF_QUICK_1, _CONTROLS, ["G"], [0])
    + grid(["quick-v1"], SCENES, _ORACLE, ["G"], [0])
    + grid(["quick-v1*1"], _OF_QUICK_1, PAIRS, ["G"], [0]),
}


def sources(root: Path | None) -> dict[str, Source]:
    """Where the study's scenes are. root: the data root that holds LLFF; None: without fern."""
    embedded = {scene: Source() for scene in EMBEDDED}
    return embedded if root is None else {**embedded, FERN: Source("llff", "sparse", root)}
