"""Galleries: models side by side, pictures copied beside the report."""

from __future__ import annotations

import functools
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import quote

from bench.core.cells import INSTANTSPLAT, MODES, Cell
from bench.machine.files import write_atomically
from bench.metrics.catalogue import headline
from bench.report.say.cards import dataset_title, in_order, title_of
from bench.report.say.marks import row_marks
from bench.report.tables.papers import DEPTH_BLOCKS, POINT_BLOCKS
from bench.results.packs import cell_file
from bench.results.pictures import checked_picture, file_name
from bench.results.record import CellRecord, from_file

_ALIGNMENTS = {**POINT_BLOCKS, **DEPTH_BLOCKS}
#: An estimator's pictures show the first of these that can be measured (bench.geometry.evaluate.aligned_prediction).
PICTURED = (
    "points_metric",
    "points_scale_invariant",
    "points_affine_invariant",
    "depth_metric",
    "depth_scale_invariant",
    "depth_affine_invariant",
    "disparity_affine_invariant",
)
#: kind of picture -> what the column is called, in the order shown
COLUMNS = {
    "probe": {
        "features": "features (PCA)",
        "photo": "photo",
        "render": "render",
        "error": "error",
        "depth": "depth",
        "depth-truth": "true depth",
        "normal": "normal",
        "normal-truth": "true normal",
        "visible": "compared",
    },
    "geometry": {
        "photo": "photo",
        "depth-truth": "true depth",
        "depth": "aligned depth",
        "error": "relative error",
        "points-truth": "true points",
        "points": "aligned points",
    },
}
SCENES = 4  #: how many scenes of a data set a report shows
MODE_TITLES = {"-": "", INSTANTSPLAT: "InstantSplat", **{mode: f"mode {mode}" for mode in MODES if mode != INSTANTSPLAT}}


@dataclass(frozen=True)
class Picture:
    """A picture of a results folder, and where it will lie in the report (a relative path)."""

    folder: Path
    key: str
    name: str

    @property
    def target(self) -> str:
        return f"pictures/{self.key[:12]}/{file_name(self.name)}"

    @property
    def url(self) -> str:
        return quote(self.target)

    @functools.cached_property
    def size(self) -> tuple[int, int]:
        """(width, height) in pixels, so that a page keeps the room of a picture that is not loaded yet."""
        return checked_picture(self.folder, self.key, self.name)[1]


@dataclass(frozen=True)
class GalleryRow:
    """One model's pictures, None where there is no such picture."""

    label: str
    detail: str
    pictures: tuple[Picture | None, ...]
    marks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Gallery:
    """The pictures of one scene, models below each other."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[GalleryRow, ...]
    marks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Stored:
    """A finished cell of a results folder, whose file is read when its pictures are wanted."""

    folder: Path
    key: str
    cell: Cell
    weights: str


Pictured = tuple[CellRecord, Path]  #: a cell that has pictures, and the results folder that it lies in


def pictured(stored: Sequence[Stored], shows: Callable[[CellRecord], object]) -> list[Pictured]:
    """The cells whose pictures a page shows; only these, and those before them that have none, are read.

    Of each data set the first SCENES scenes that have pictures; of each model, mode and kind of weights there the first seed
    that has. A folder whose pictures were all left out, as a submission may, has none.

    Args:
        stored: Cells of one or more folders.
        shows: Whether a cell has the pictures that are wanted.
    """
    places: dict[tuple[str, str, str], dict[tuple[Cell, str], list[Stored]]] = {}
    for each in sorted(stored, key=lambda each: (each.cell, each.weights)):
        cell = each.cell
        seeds = places.setdefault((cell.track, cell.dataset, cell.scene), {})
        seeds.setdefault((replace(cell, seed=0), each.weights), []).append(each)
    there = {folder for folder in {each.folder for each in stored} if (folder / "pictures").is_dir()}
    shown: dict[tuple[str, str], int] = {}
    found: list[Pictured] = []
    for (track, dataset, _), models in places.items():
        if shown.get((track, dataset), 0) == SCENES:
            continue
        seeds_of = ([each for each in seeds if each.folder in there] for seeds in models.values())
        records = (((_record_of(each), each.folder) for each in seeds) for seeds in seeds_of)
        firsts = [first for seeds in records if (first := next((one for one in seeds if shows(one[0])), None))]
        if firsts:
            shown[track, dataset] = shown.get((track, dataset), 0) + 1
            found += firsts
    return found


def _record_of(stored: Stored) -> CellRecord:
    """The cell from its file, its model named as rows name it."""
    record = from_file(cell_file(stored.folder, stored.key))
    return replace(record, cell=replace(record.cell, model=record.cell.model_in_rows))


def galleries(stored: Sequence[Stored], marks: tuple[str, ...] = ()) -> list[Gallery]:
    """One gallery a scene and mode, one held-out view of each model (`pictured`); InstantSplat stands beside every mode."""
    by_scene: dict[tuple[str, str], list[Pictured]] = {}
    for record, folder in pictured(stored, lambda record: record.pictures):
        by_scene.setdefault((record.cell.dataset, record.cell.scene), []).append((record, folder))
    made = []
    for (dataset, scene), members in sorted(by_scene.items()):
        modes = dict.fromkeys(record.cell.mode for record, _ in members)
        own = [mode for mode in (*MODES, "-") if mode in modes and mode != INSTANTSPLAT] or list(modes)
        for mode in own:
            chosen = [member for member in members if member[0].cell.mode in (mode, INSTANTSPLAT)]
            title = ", ".join(part for part in (dataset_title(dataset), scene, MODE_TITLES.get(mode, mode)) if part)
            made.append(_gallery(title, chosen, marks))
    return made


def _gallery(title: str, members: Sequence[Pictured], marks: tuple[str, ...]) -> Gallery:
    track = members[0][0].cell.track
    titles = COLUMNS[track]
    present = {name.partition(".")[0] for record, _ in members for name in record.pictures}
    kinds = [kind for kind in titles if kind in present]
    order = in_order((record.cell.model for record, _ in members), track)
    rows = []
    for record, folder in sorted(members, key=lambda member: (order.index(member[0].cell.model), member[0].weights)):
        names = set(record.pictures)
        views = sorted({name.partition(".")[2] for name in names if not name.startswith("features.")})
        if not views:
            continue
        first_feature = min((name for name in names if name.startswith("features.")), default=None)
        wanted = [first_feature if kind == "features" else f"{kind}.{views[0]}" for kind in kinds]
        pictures = tuple(_picture(record, folder, name) if name in names else None for name in wanted)
        label = title_of(record.cell.model, track)
        rows.append(GalleryRow(label, _detail(record, views[0]), pictures, row_marks(record.marks.role, record.weights)))
    return Gallery(title, tuple(titles[kind] for kind in kinds), tuple(rows), marks)


def _detail(record: CellRecord, view: str) -> str:
    """What the row's pictures show, the view or the alignment, and its track's headline metric."""
    metric = headline(record.cell.track)
    found = {
        measurement.alignment: metric.told(measurement.value)
        for measurement in record.measurements
        if measurement.metric == metric.name and measurement.view == view and measurement.status == "ok"
    }
    if record.cell.track == "probe":
        return ": ".join([f"view {view}", *found.values()])
    alignment = next((alignment for alignment in PICTURED if alignment in found), None)
    return f"{_ALIGNMENTS[alignment]}: {metric.label} {found[alignment]}" if alignment else f"view {view}"


def _picture(record: CellRecord, folder: Path, name: str) -> Picture:
    return Picture(folder, record.key, name)


def copy_pictures(gallery: Gallery, out: Path) -> None:
    """Copy the pictures of a gallery into the report. Raises UserError where the results folder lost one, or where one is no
    picture that may be shown (bench.results.pictures)."""
    for picture in (picture for row in gallery.rows for picture in row.pictures if picture):
        source, _ = checked_picture(picture.folder, picture.key, picture.name)
        write_atomically(out / picture.target, functools.partial(shutil.copyfile, source))
