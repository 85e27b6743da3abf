"""Some pictures of a run under names that stay: `python -m bench.report.figures.excerpt RESULTS SCENE OUT`."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from bench.core.cells import INSTANTSPLAT
from bench.core.errors import UserError
from bench.results.pictures import checked_picture, file_name
from bench.results.store import Store

MODES = ("G", INSTANTSPLAT)
KINDS = ("render", "depth", "normal")


def write_excerpt(results: Path, scene: str, out: Path) -> list[Path]:
    """Copy the first held-out view of a scene, as the geometry mode of each model and InstantSplat show it, and its photo.

    The files are photo.png and <kind>-<model>.png. Raises UserError where the results hold no such probe.
    """
    records = [
        record
        for record in Store(results, create=False).records()
        if record.cell.track == "probe" and record.cell.scene == scene and record.cell.mode in MODES and record.pictures
    ]
    if not records:
        raise UserError(f"{results}: no probe of scene {scene!r} in mode {' or '.join(MODES)} has pictures")
    view = min(name.partition(".")[2] for name in records[0].pictures if name.startswith("render."))
    written = set()
    out.mkdir(parents=True, exist_ok=True)
    for record in records:
        model = record.cell.model if record.cell.mode == "G" else record.cell.mode
        for kind, target in (("photo", "photo"), *((kind, f"{kind}-{model}") for kind in KINDS)):
            source, _ = checked_picture(results, record.key, f"{kind}.{view}")
            written.add(out / file_name(target))
            shutil.copyfile(source, out / file_name(target))
    return sorted(written)


if __name__ == "__main__":
    write_excerpt(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]))
