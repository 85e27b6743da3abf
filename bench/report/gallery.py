"""Galleries: models side by side, pictures copied beside the report."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.files import write_atomically
from bench.store import CellRecord
from bench.types import UserError

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


@dataclass(frozen=True)
class GalleryRow:
    """One model's pictures: paths relative to the report, None where there is no such picture."""

    label: str
    detail: str
    pictures: tuple[str | None, ...]
    marks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Gallery:
    """The pictures of one scene, models below each other."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[GalleryRow, ...]


def galleries(records: Sequence[tuple[CellRecord, Path]], out: Path, views: int = 1) -> list[Gallery]:
    """One gallery a scene and mode, `views` held-out views of each; the pictures are copied into out/pictures.

    records: finished cells of one data set with the results folder that each lies in.
    """
    groups: dict[tuple[str, str], list[tuple[CellRecord, Path]]] = {}
    for record, folder in records:
        if record.pictures:
            mode = "" if record.cell.mode == "instantsplat" else record.cell.mode
            groups.setdefault((record.cell.scene, mode), []).append((record, folder))
    shared = {scene: members for (scene, mode), members in groups.items() if not mode}
    made = []
    for (scene, mode), members in sorted(groups.items()):
        if not mode and any(other != (scene, mode) and other[0] == scene for other in groups):
            continue  # InstantSplat stands beside every mode rather than alone
        everyone = members + (shared.get(scene, []) if mode else [])
        gallery = _gallery(scene, mode, sorted(everyone, key=lambda member: _order(member[0])), out, views)
        if gallery.rows:
            made.append(gallery)
    return made


def _order(record: CellRecord) -> tuple[bool, bool, str]:
    return record.cell.mode == "instantsplat", "+" in record.cell.model, record.cell.model


def _gallery(scene: str, mode: str, members: Sequence[tuple[CellRecord, Path]], out: Path, views: int) -> Gallery:
    titles = COLUMNS[members[0][0].cell.track]
    present = {kind for record, _ in members for kind in (name.partition(".")[0] for name in record.pictures)}
    kinds = [kind for kind in titles if kind in present]
    rows = []
    for record, folder in members:
        names = set(record.pictures)
        shown = sorted({name.partition(".")[2] for name in names if not name.startswith("features.")})[:views]
        first_feature = min((name for name in names if name.startswith("features.")), default=None)
        for view in shown:
            wanted = [first_feature if kind == "features" else f"{kind}.{view}" for kind in kinds]
            pictures = tuple(_copied(record, folder, name, out) if name in names else None for name in wanted)
            label = "InstantSplat" if record.cell.model == "-" else record.cell.model
            marks = ("random weights",) if record.weights == "random" else ()
            rows.append(GalleryRow(label, _detail(record, view), pictures, marks))
    title = f"{scene}, mode {mode}" if mode not in ("", "-") else scene
    return Gallery(title, tuple(titles[kind] for kind in kinds), tuple(rows))


def _detail(record: CellRecord, view: str) -> str:
    """The view and its main number."""
    for metric, text in (("psnr", "{:.2f} dB"), ("rel", "Rel {:.1%}")):
        for measurement in record.measurements:
            if measurement.metric == metric and measurement.view == view and measurement.status == "ok":
                return f"{view}: {text.format(measurement.value)}"
    return view


def _copied(record: CellRecord, folder: Path, name: str, out: Path) -> str:
    """Copy a picture into the report and give its path there. Raises UserError where the results folder lost it."""
    source = folder / "pictures" / record.key / f"{name}.png"
    if not source.is_file():
        raise UserError(f"{source} is missing: the results folder was changed; run the cell again")
    target = Path("pictures") / record.key[:12] / f"{name}.png"
    write_atomically(out / target, lambda path: shutil.copyfile(source, path))
    return target.as_posix()
