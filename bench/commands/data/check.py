"""`bench data check`: every scene and sample that is found is read, and what is wrong or left out is said."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from bench.core.cells import Track
from bench.core.errors import Unavailable, UserError
from bench.core.interfaces import Dataset
from bench.core.registry import datasets, find_datasets
from bench.core.scenes import MonocularSample, MultiViewScene
from bench.core.text import listed
from bench.machine.locations import data_root

CANNOT_RUN = 2  #: exit code where a scene or sample cannot run


@dataclass(frozen=True)
class Finding:
    """What was found of one scene or sample.

    Attributes:
        name: The scene's or sample's.
        fault: Why it cannot run; "" where it can.
        note: What was left out of it, in a line; "" for nothing.
        details: Everything else, one line each.
    """

    name: str
    fault: str = ""
    note: str = ""
    details: tuple[str, ...] = ()


def check_command(
    names: Sequence[str] | None, scenes: Sequence[str], details: bool, root: Path | None, console: Console
) -> int:
    """Read what is found of the data sets and print one line per data set, and one per scene with something to say.

    Args:
        names: Data sets; None or empty: all that are on disk.
        scenes: Only these scenes or samples, with their details; empty: all.
        details: Print format, cameras, points, and what is left out or not used, of every scene.
        root: The data root; None: as `bench.machine.locations.data_root` finds it.
        console: Where to print.

    Returns:
        0, or CANNOT_RUN where a scene cannot run.

    Raises:
        Unavailable: A data set that was named is not on disk.
        UserError: A scene that was named is in none of the data sets.
    """
    folder = data_root(root)
    find_datasets(folder)
    absent: list[str] = []
    met: set[str] = set()
    faulty = False
    for name in names or list(datasets):
        dataset = datasets[name]()
        for track in dataset.tracks:
            try:
                found = dataset.scenes(folder, track)
            except Unavailable:
                if names:
                    raise
                absent.append(name)
                break
            chosen = [scene for scene in found if not scenes or scene in scenes]
            met.update(chosen)
            if chosen:
                faulty |= _print_findings(name, track, dataset, chosen, folder, details or bool(scenes), console)
    if absent:
        _line(console, f"not on disk: {', '.join(absent)} (`bench data where` says where they are looked for and offered)")
    if unknown := sorted(set(scenes) - met):
        raise UserError(f"there is no scene or sample {listed(unknown)} in the data sets that were checked")
    return CANNOT_RUN if faulty else 0


def _print_findings(
    name: str, track: Track, dataset: Dataset, scenes: Sequence[str], root: Path, details: bool, console: Console
) -> bool:
    """Print a data set's line and its scenes' lines; returns whether a scene cannot run."""
    findings = [find(dataset, track, scene, root) for scene in scenes]
    noun = "scene" if track == "probe" else "sample"
    faults = [finding for finding in findings if finding.fault]
    state = f"{len(faults)} cannot run" if faults else "all can run" if len(findings) > 1 else "can run"
    _line(console, f"{name}: {len(findings)} {noun}{'s' if len(findings) > 1 else ''}, {state}")
    for finding in findings:
        for text in _texts(finding, details):
            _line(console, text)
    return bool(faults)


def _texts(finding: Finding, details: bool) -> Iterator[str]:
    if finding.fault:
        yield f"  {finding.name}: cannot run: {finding.fault}"
    elif details:
        yield f"  {finding.name}: can run"
        yield from (f"    {line}" for line in finding.details)
    elif finding.note:
        yield f"  {finding.name}: {finding.note}"


def find(dataset: Dataset, track: Track, name: str, root: Path | None) -> Finding:
    """Read one scene or sample whole, its points and the digest of its files with it."""
    try:
        dataset.fingerprint(root, name, track)
        if track == "geometry":
            return Finding(name, details=(_sample_line(dataset.load_sample(root, name)),))
        scene = dataset.load_scene(root, name)
    except UserError as error:
        return Finding(name, fault=str(error))
    return Finding(name, "", scene.source.note if scene.source else "", tuple(_scene_lines(scene)))


def _sample_line(sample: MonocularSample) -> str:
    height, width = sample.image.shape[:2]
    return f"{width}x{height}, {'metric' if sample.metric else 'relative'} depth"


def _scene_lines(scene: MultiViewScene) -> Iterator[str]:
    source = scene.source
    if source is not None:
        total = source.photos + len(source.left_out)
        yield f"format: {source.format}"
        yield f"photos: {source.photos} of {total} can be used; {len(scene.train)} train, {len(scene.test)} test"
        yield from (f"left out: {name}: {reason}" for name, reason in source.left_out.items())
    else:
        yield f"photos: {len(scene.train)} train, {len(scene.test)} test"
    height, width = scene.views[0].image.shape[:2]
    posed = [view.camera for view in scene.views if view.camera is not None]
    lenses = {tuple(camera.intrinsics.ravel()) for camera in posed}
    yield f"cameras: {f'{len(posed)} poses, {len(lenses)} calibrations' if posed else 'none known'}, at {width}x{height}"
    if scene.sparse is not None:
        tracked = sum(len(seen) > 0 for seen in scene.sparse.visible.values())
        yield f"points: {len(scene.sparse.points)}, tracks in {tracked} of {len(scene.views)} views"
    else:
        yield "points: none"
    known = [
        name
        for name, layers in (("depth", [view.depth for view in scene.views]), ("masks", [view.mask for view in scene.views]))
        if all(layer is not None for layer in layers)
    ]
    yield f"ground truth: {', '.join(known) or 'none'}; unit of length: {scene.unit}"
    if source is not None and source.unused:
        yield f"not used: {'; '.join(source.unused)}"


def _line(console: Console, text: str) -> None:
    console.print(text, markup=False, highlight=False, soft_wrap=True)
