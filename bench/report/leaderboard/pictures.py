"""The leaderboard's pictures: one held-out view a scene and model, small, as data URIs within a stated budget."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from bench.core.cells import INSTANTSPLAT, MODES
from bench.report.figures.gallery import SCENES, Pictured, Stored, pictured
from bench.report.say.cards import dataset_title, datasets_in_order, in_order, title_of
from bench.report.say.marks import condition_marks, row_marks
from bench.results.pictures import checked_picture, opened
from bench.results.record import CellRecord

BUDGET = 4_000_000  #: bytes of data URIs
LONG_SIDE = 320
QUALITY = 80  #: of WebP
#: What the slider sets against each other: after -> before, the first that is there.
BEFORE = {
    "render": ("photo",),
    "depth": ("depth-truth", "photo"),
    "normal": ("normal-truth", "photo"),
    "points": ("points-truth", "photo"),
    "error": ("photo",),
}
_FIRST = {"probe": "render", "geometry": "depth"}
_MODES = ["G", INSTANTSPLAT, "-", *(mode for mode in MODES if mode not in ("G", INSTANTSPLAT))]
_Request = tuple[Pictured, str, str]  #: a cell, its view, the kind of picture that is set after its truth


def embedded_pictures(stored: Sequence[Stored], budget: int = BUDGET) -> dict[str, Any]:
    """The pictures as the page holds them: `images` (data URIs, each picture once), `items` (one a cell: what it is, its
    view, and the place of each kind of picture in `images`), `bytes`, `budget` and `left_out` (pairs that found no room).

    Of each data set the first SCENES scenes; of each scene one view, the first; mode G before the others, and for every
    model the main pair (photo and render; true and aligned depth) before any other. Raises UserError for a lost picture.
    """
    images: dict[str, int] = {}
    known: dict[bytes, str] = {}
    items: dict[str, dict[str, Any]] = {}
    used = left_out = 0
    for (record, folder), view, after in _requests(stored):
        if used >= budget:
            left_out += 1
            continue
        names = {kind: f"{kind}.{view}" for kind in (after, _before(record, view, after))}
        encoded = {kind: _encoded(checked_picture(folder, record.key, name)[0], known) for kind, name in names.items()}
        cost = sum(len(uri) for uri in set(encoded.values()) - set(images))
        if used + cost > budget:
            used = budget  # later ones would look chosen for their size
            left_out += 1
            continue
        used += cost
        item = items.setdefault(record.key, _item(record, view))
        item["kinds"].update({kind: images.setdefault(uri, len(images)) for kind, uri in encoded.items()})
    return {
        "images": list(images),
        "items": list(items.values()),
        "bytes": sum(map(len, images)),
        "budget": budget,
        "left_out": left_out,
        "scenes_a_dataset": SCENES,
        "before": BEFORE,
    }


def _requests(stored: Sequence[Stored]) -> Iterator[_Request]:
    """Every pair that may be shown, the most wanted first."""
    chosen = pictured(stored, _view)
    scenes: dict[tuple[str, str], dict[str, int]] = {}
    for record, _ in chosen:
        of_dataset = scenes.setdefault((record.cell.track, record.cell.dataset), {})
        of_dataset.setdefault(record.cell.scene, len(of_dataset))
    models = {track: in_order((r.cell.model for r, _ in chosen), track) for track in _FIRST}
    datasets = datasets_in_order(record.cell.dataset for record, _ in chosen)
    ranked = []
    for place, (record, folder) in enumerate(chosen):
        cell, view = record.cell, _view(record)
        scene = scenes[cell.track, cell.dataset][cell.scene]
        mode = _MODES.index(cell.mode) if cell.mode in _MODES else len(_MODES)
        for kind in BEFORE:
            if f"{kind}.{view}" in record.pictures and _before(record, view, kind):
                stage = (kind != _FIRST[cell.track]) + 2 * (mode > 2)
                order = (stage, scene, datasets.index(cell.dataset), mode, models[cell.track].index(cell.model), place)
                ranked.append((order, list(BEFORE).index(kind), (record, folder), view, kind))
    for _, _, member, view, kind in sorted(ranked, key=lambda entry: entry[:2]):
        yield member, view, kind


def _view(record: CellRecord) -> str:
    """The first view that has a photo; "" where none has."""
    return min((name.partition(".")[2] for name in record.pictures if name.startswith("photo.")), default="")


def _before(record: CellRecord, view: str, after: str) -> str:
    """The kind of picture that `after` is set against; "" where it is not there."""
    return next((kind for kind in BEFORE[after] if f"{kind}.{view}" in record.pictures), "")


def _item(record: CellRecord, view: str) -> dict[str, Any]:
    cell = record.cell
    quality = next((m for m in record.measurements if m.view == view and m.status == "ok" and m.metric == "psnr"), None)
    return {
        "track": cell.track,
        "dataset": cell.dataset,
        "scene": cell.scene,
        "place": f"{dataset_title(cell.dataset)}, {cell.scene}",
        "view": view,
        "model": cell.model,
        "title": title_of(cell.model, cell.track),
        "mode": cell.mode,
        "protocol": cell.protocol,
        "pointmap": cell.pointmap,
        "weights": record.weights,
        "marks": [
            *condition_marks(cell.protocol, record.marks.start, record.marks.quick),
            *row_marks(record.marks.role, record.weights),
        ],
        "detail": f"{quality.value:.2f} dB" if quality else "",
        "kinds": {},
    }


def _encoded(path: Path, known: dict[bytes, str]) -> str:
    """A picture as a data URI: WebP, its long side at most LONG_SIDE. known: what was encoded before, by content: every
    model's cell holds the same photo."""
    content = path.read_bytes()
    if content not in known:
        small = opened(path)
        small.thumbnail((LONG_SIDE, LONG_SIDE))
        stream = io.BytesIO()
        small.save(stream, "WEBP", quality=QUALITY, method=2)
        known[content] = "data:image/webp;base64," + base64.b64encode(stream.getvalue()).decode()
    return known[content]
