"""Which photo belongs to which depth map: by name, by a list that comes with them, by rank only where that is asked for."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal, get_args

from bench.core.errors import UserError
from bench.core.text import listed
from bench.machine.pictures.depths import DEPTH_EXTENSIONS
from bench.machine.pictures.images import EXTENSIONS
from bench.machine.text import plain_path, read_json, read_text

Pairing = Literal["name", "rank"]
PAIRINGS: tuple[Pairing, ...] = get_args(Pairing)

ANNOTATIONS = "test_annotations.json"
PHOTO_FOLDERS = ("rgb", "image", "images", "color", "colour")
DEPTH_FOLDERS = ("depth", "depths", "groundtruth_depth")
#: TUM's lists: one of associated files, or one of each kind by time stamp.
ASSOCIATIONS = ("associations.txt", "associate.txt", "association.txt")
TIME_LISTS = ("rgb.txt", "depth.txt")
MOST_APART = 0.02  #: seconds between a photo and its depth map, as in TUM's own tool

#: Words that say what kind of picture a file is; names must agree in all other words and in all numbers.
_KIND_WORDS = frozenset(
    {"color", "colour", "d", "depth", "depths", "frame", "frames", "ground", "groundtruth", "gt", "image", "images"}
    | {"img", "map", "photo", "pic", "rgb", "sync", "truth"}
)
_USED_FIELDS = {"rgb", "depth", "cam_in", "depth_scale"}


@dataclass(frozen=True)
class Pair:
    """A photo and its depth map.

    name: of the sample. valid: a mask of where depth was measured. camera: the annotation's words for it, not yet read.
    units_per_metre: of the stored depth, where an annotation says it.
    """

    name: str
    photo: Path
    depth: Path
    valid: Path | None = None
    camera: Any = None
    units_per_metre: float | None = None


@dataclass(frozen=True)
class Found:
    """The pairs of a folder. pairing: how they were found. unused: what lies in the folder and was not used."""

    pairs: tuple[Pair, ...]
    pairing: str
    unused: tuple[str, ...] = ()


def find_pairs(source: Path, pairing: Pairing = "name", apart_from: Path | None = None) -> Found:
    """The photos of a folder with their depth maps; no picture is opened.

    Tried in this order: annotations (ANNOTATIONS), TUM's lists, a folder of photos beside one of depth maps, and photos
    beside `<name>_depth.*`, as DIODE has them.

    Args:
        source: The folder.
        pairing: "name", or "rank": the n-th photo with the n-th depth map of the two folders.
        apart_from: A folder that may lie inside and is not looked into.

    Raises:
        UserError: A photo or a depth map is left over, several fit, or two samples would have one name.
    """
    if not source.is_dir():
        what = "is a file; name the folder with photos and depth maps" if source.is_file() else "there is no such folder"
        raise UserError(f"{source}: {what}")
    if (source / ANNOTATIONS).is_file():
        found = _annotated(source)
    elif any((source / name).is_file() for name in ASSOCIATIONS):
        found = _associated(source)
    elif all((source / name).is_file() for name in TIME_LISTS):
        found = _timed(source)
    else:
        photos, depths = _only_folder(source, PHOTO_FOLDERS), _only_folder(source, DEPTH_FOLDERS)
        if photos is not None and depths is not None:
            found = _two_folders(source, photos, depths, pairing)
        else:
            found = _side_by_side(source, apart_from)
    if pairing == "rank" and found.pairing != "rank":
        raise UserError(
            f"{source}: --pair rank is for a folder of photos beside one of depth maps; here names or lists pair"
        )
    check_names([pair.name for pair in found.pairs], source)
    return found


def check_names(names: Sequence[str], where: Path) -> None:
    """Raises UserError where names of samples are equal, lie in one another, are hidden, or hold control characters."""
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise UserError(f"{where}: several photos would become the sample {listed(twice)}; give them distinct names")
    taken = set(names)
    for name in names:
        path = PurePosixPath(name)
        is_hidden = any(part.startswith(".") for part in path.parts)
        if is_hidden or any(unicodedata.category(letter) in {"Cc", "Cs"} for letter in name):
            raise UserError(f"{where}: {name!r} cannot name a sample (hidden, or no plain text); rename the file")
        over = next((str(parent) for parent in path.parents if str(parent) in taken), None)
        if over is not None:
            raise UserError(f"{where}: the sample {name!r} would lie in the folder of the sample {over!r}; rename one")


# ------------------------------------------------------------------------------------------------------------- by name


def _only_folder(source: Path, names: Sequence[str]) -> Path | None:
    there = [source / name for name in names if (source / name).is_dir()]
    if len(there) > 1:
        raise UserError(f"{source}: which folder is meant, {listed([folder.name for folder in there])}? Leave one of them")
    return there[0] if there else None


def _two_folders(source: Path, photos: Path, depths: Path, pairing: Pairing) -> Found:
    images, maps = _files(photos, EXTENSIONS), _files(depths, DEPTH_EXTENSIONS)
    masks = _masks(maps)
    maps = [path for path in maps if path not in masks.values()]
    for folder, files, what, extensions in (
        (photos, images, "photo", EXTENSIONS),
        (depths, maps, "depth map", DEPTH_EXTENSIONS),
    ):
        if not files:
            others = sorted({path.suffix.lower() for path in _files(folder, None)} - {""})
            there = f"; there are {listed(others)} files" if others else ""
            raise UserError(f"{folder}: no {what} there ({', '.join(sorted(extensions))}){there}")
    couples = _by_rank(source, images, maps) if pairing == "rank" else _by_name(source, photos, images, depths, maps)
    pairs = tuple(Pair(_name(photo, photos), photo, depth, masks.get(depth)) for photo, depth in couples)
    used = {path for pair in pairs for path in (pair.photo, pair.depth, pair.valid)}
    inside = [
        path.relative_to(source).as_posix() for path in (*_files(photos, None), *_files(depths, None)) if path not in used
    ]
    return Found(pairs, pairing, (*_left_over(source, {photos.name, depths.name, "intrinsics"}), *inside))


def _by_rank(source: Path, images: Sequence[Path], maps: Sequence[Path]) -> list[tuple[Path, Path]]:
    if len(images) != len(maps):
        raise UserError(f"{source}: {len(images)} photos and {len(maps)} depth maps cannot be paired by rank")
    return list(zip(images, maps, strict=True))


def _by_name(
    source: Path, photos: Path, images: Sequence[Path], depths: Path, maps: Sequence[Path]
) -> list[tuple[Path, Path]]:
    """Equal paths first; then paths that agree in every number and in every word that does not say what kind they are."""
    couples: list[tuple[Path, Path]] = []
    lonely, unpaired = list(images), list(maps)
    for key in (_name, _loose_key):
        images_by, maps_by = _grouped(lonely, photos, key), _grouped(unpaired, depths, key)
        found = []
        for name in images_by.keys() & maps_by.keys():
            if not name:
                continue
            if len(images_by[name]) > 1 or len(maps_by[name]) > 1:
                several = [*images_by[name], *maps_by[name]]
                names = listed([path.relative_to(source).as_posix() for path in several])
                raise UserError(f"{source}: which of these belong together: {names}? Give each pair a name of its own")
            found.append((images_by[name][0], maps_by[name][0]))
        couples += found
        lonely = [path for path in lonely if path not in {photo for photo, _ in found}]
        unpaired = [path for path in unpaired if path not in {depth for _, depth in found}]
    if lonely or unpaired:
        names = listed([path.relative_to(source).as_posix() for path in (*lonely, *unpaired)])
        raise UserError(
            f"{source}: no photo and depth map pair for {names}: their names must agree but for words as rgb and depth; "
            "or give --pair rank where the n-th photo belongs to the n-th depth map"
        )
    return sorted(couples)


def _grouped(paths: Sequence[Path], folder: Path, key: Any) -> dict[Any, list[Path]]:
    groups: dict[Any, list[Path]] = {}
    for path in paths:
        groups.setdefault(key(path, folder), []).append(path)
    return groups


def _name(path: Path, folder: Path) -> str:
    """The path below the folder without its extension, in composed Unicode letters."""
    return unicodedata.normalize("NFC", path.relative_to(folder).with_suffix("").as_posix())


def _loose_key(path: Path, folder: Path) -> tuple[Any, ...]:
    """A name's words and numbers in order, without words for the kind of picture: 7 and 007 are one number."""
    key: list[Any] = []
    for part in _name(path, folder).split("/"):
        words = re.findall(r"\d+|[^\W\d_]+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", part))
        own = [int(word) if word.isdecimal() else word.casefold() for word in words if word.casefold() not in _KIND_WORDS]
        key += [*own, "/"] if own else []
    return tuple(key)


def _files(folder: Path, extensions: Collection[str] | None) -> list[Path]:
    """The files below a folder, sorted; hidden ones, and what hidden folders hold, are never data."""
    return sorted(
        path
        for path in folder.rglob("*")
        if (extensions is None or path.suffix.lower() in extensions)
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
        and path.is_file()
    )


def _masks(maps: Sequence[Path]) -> dict[Path, Path]:
    """Depth map -> its mask: `<name>_mask.npy` beside it, as DIODE has it."""
    by_place = {(path.parent, path.stem): path for path in maps}
    return {
        path: mask
        for path in maps
        if (mask := by_place.get((path.parent, f"{path.stem}_mask"))) is not None and mask.suffix.lower() == ".npy"
    }


def _left_over(source: Path, used: Collection[str]) -> tuple[str, ...]:
    """What lies right in the folder and was not looked at."""
    return tuple(
        sorted(
            f"{path.name}/" if path.is_dir() else path.name
            for path in source.iterdir()
            if path.name not in used and not path.name.startswith(".")
        )
    )


def _side_by_side(source: Path, apart_from: Path | None) -> Found:
    """Photos with `<name>_depth.*` beside them, wherever they lie below the folder."""
    files = [path for path in _files(source, None) if apart_from is None or not path.is_relative_to(apart_from)]
    maps = [path for path in files if path.suffix.lower() in DEPTH_EXTENSIONS]
    masks = _masks(maps)
    by_place: dict[tuple[Path, str], list[Path]] = {}
    for path in maps:
        if path.stem.endswith("_depth"):
            by_place.setdefault((path.parent, path.stem.removesuffix("_depth")), []).append(path)
    pairs, used = [], set()
    for path in files:
        depths = by_place.get((path.parent, path.stem), []) if path.suffix.lower() in EXTENSIONS else []
        if len(depths) > 1:
            raise UserError(f"{path}: which is its depth map, {listed([depth.name for depth in depths])}? Leave one of them")
        if depths:
            pairs.append(Pair(_name(path, source), path, depths[0], masks.get(depths[0])))
            used |= {path, depths[0], masks.get(depths[0])}
    if not pairs:
        raise UserError(
            f"{source}: no photos with depth maps there. Looked for {ANNOTATIONS}; {' and '.join(TIME_LISTS)}; a folder "
            f"{' or '.join(PHOTO_FOLDERS)} beside a folder {' or '.join(DEPTH_FOLDERS)}; photos beside <name>_depth.*"
        )
    lonely = [path.relative_to(source).as_posix() for path in maps if path not in used]
    if any(path.stem.endswith("_depth") for path in maps if path not in used):
        raise UserError(f"{source}: no photo for {listed([name for name in lonely if '_depth.' in name])}")
    return Found(tuple(pairs), "name", tuple(path.relative_to(source).as_posix() for path in files if path not in used))


# ------------------------------------------------------------------------------------------------------------- by lists


def _annotated(source: Path) -> Found:
    path = source / ANNOTATIONS
    entries = read_json(path, "JSON file of annotations")
    entries = entries.get("files") if isinstance(entries, dict) else None
    if not isinstance(entries, list) or not entries:
        raise UserError(f"{path}: expected a list of photos under 'files'")
    couples, unused = [], set()
    for number, entry in enumerate(entries):
        where = f"{path}: entry {number}"
        missing = [field for field in ("rgb", "depth") if not isinstance(entry, dict) or field not in entry]
        if missing:
            raise UserError(f"{where} lacks the field {missing[0]!r}")
        unused |= entry.keys() - _USED_FIELDS
        scale = entry.get("depth_scale")
        if scale is not None and not (isinstance(scale, int | float) and not isinstance(scale, bool) and 0 < scale < 1e9):
            raise UserError(f"{where}: 'depth_scale' must be positive, not {scale!r}")
        photo, depth = (_located(source, where, entry[field]) for field in ("rgb", "depth"))
        couples.append(Pair("", photo, depth, None, entry.get("cam_in"), scale))
    return Found(
        _named(source, path, couples), "annotations", tuple(sorted(f"{path.name}: field {field!r}" for field in unused))
    )


def _associated(source: Path) -> Found:
    path = next(source / name for name in ASSOCIATIONS if (source / name).is_file())
    couples = []
    for number, words in _lines(path):
        if len(words) != 4:
            raise UserError(f"{path}: line {number}: expected a time and a file, twice, found {len(words)} words")
        files = [_located(source, f"{path}: line {number}", word) for word in words[1::2]]
        kinds = ["depth" in file.relative_to(source).as_posix() for file in files]
        if kinds[0] == kinds[1]:
            raise UserError(f"{path}: line {number}: which of its files is the depth map? Name it in a folder depth/")
        photo, depth = files if kinds[1] else files[::-1]
        couples.append(Pair("", photo, depth))
    if not couples:
        raise UserError(f"{path}: lists no pair")
    return Found(_named(source, path, couples), "list", _left_over(source, {path.name, *PHOTO_FOLDERS, *DEPTH_FOLDERS}))


def _timed(source: Path) -> Found:
    """Photos and depth maps whose time stamps are nearest to one another, at most MOST_APART."""
    photos, depths = (_stamped(source, source / name) for name in TIME_LISTS)
    near = sorted(
        (abs(time - other), photo, depth)
        for time, photo in photos
        for other, depth in depths
        if abs(time - other) < MOST_APART
    )
    couples: dict[Path, Path] = {}
    taken: set[Path] = set()
    for _, photo, depth in near:
        if photo not in couples and depth not in taken:
            couples[photo] = depth
            taken.add(depth)
    if not couples:
        raise UserError(f"{source / TIME_LISTS[1]}: no depth map lies within {MOST_APART} s of a photo")
    pairs = [Pair("", photo, couples[photo]) for _, photo in photos if photo in couples]
    left = len(photos) + len(depths) - 2 * len(pairs)
    unused = [f"{left} photos and depth maps without a partner within {MOST_APART} s"] if left else []
    unused += _left_over(source, {*TIME_LISTS, *PHOTO_FOLDERS, *DEPTH_FOLDERS})
    return Found(_named(source, source / TIME_LISTS[0], pairs), "time stamps", tuple(unused))


def _stamped(source: Path, path: Path) -> list[tuple[float, Path]]:
    stamped = []
    for number, words in _lines(path):
        try:
            time, name = float(words[0]), words[1]
        except (ValueError, IndexError) as error:
            raise UserError(f"{path}: line {number}: expected a time and a file, found {' '.join(words)[:80]!r}") from error
        stamped.append((time, _located(source, f"{path}: line {number}", name)))
    return stamped


def _lines(path: Path) -> list[tuple[int, list[str]]]:
    """Number and words of each line that says something."""
    lines = enumerate(read_text(path).splitlines(), 1)
    return [(number, line.split()) for number, line in lines if line.strip() and not line.lstrip().startswith("#")]


def _located(source: Path, where: str, named: Any) -> Path:
    """A file that a list names: below the folder, or by the longest ending of its path that is, where the list was moved.

    Never outside of the folder.
    """
    if not isinstance(named, str):
        raise UserError(f"{where} names {str(named)[:80]!r}, which is no file name")
    parts = [part for part in plain_path(named).split("/") if part != ".."]
    for start in range(max(1, len(parts) - 1)):
        candidate = source.joinpath(*parts[start:])
        if candidate.is_file():
            return candidate
    raise UserError(f"{where} names {named}, which is not under {source}")


def _named(source: Path, path: Path, couples: Sequence[Pair]) -> tuple[Pair, ...]:
    """The pairs with their samples' names: the photos' paths below the folder that all of them share."""
    for what, files in (("photo", [pair.photo for pair in couples]), ("depth map", [pair.depth for pair in couples])):
        twice = [file.relative_to(source).as_posix() for file, count in Counter(files).items() if count > 1]
        if twice:
            raise UserError(f"{path}: several entries mean the {what} {listed(twice)}; each may stand once")
    shared = couples[0].photo.parent
    while not all(pair.photo.is_relative_to(shared) for pair in couples):
        shared = shared.parent
    return tuple(
        Pair(_name(pair.photo, shared), pair.photo, pair.depth, pair.valid, pair.camera, pair.units_per_metre)
        for pair in couples
    )
