"""Photos as the models see them, on the grid that Gaussians stand on, and at the size that they are rendered at."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from bench.core.errors import UserError
from bench.core.interfaces import FeatureInput
from bench.core.protocols import ProbeProtocol
from bench.core.scenes import Array, MultiViewScene, View, nearest

MULTIPLE = 16
Framing = Literal["squeeze", "crop"]


@dataclass(frozen=True, eq=False)
class ProbeScene:
    """One scene of the probe track in its three sizes, the same views in each.

    Attributes:
        prepared: What features are taken from.
        grid: What Gaussians stand on, one for each pixel; with the truth.
        photos: What is rendered and compared.
    """

    prepared: MultiViewScene
    grid: MultiViewScene
    photos: MultiViewScene


def probe_scene(loaded: MultiViewScene, protocol: ProbeProtocol) -> ProbeScene:
    """The sizes of a scene, as loaded, under a protocol.

    Raises:
        UserError: As `prepare_scene` and `to_grid` say.
    """
    prepared = prepare_scene(loaded, protocol.feature_long_side, protocol.framing)
    grid = to_grid(prepared, protocol.grid_long_side)
    widest = protocol.photo_width
    photos = grid if widest is None else full_size(loaded, protocol.feature_long_side, widest, protocol.framing)
    return ProbeScene(prepared, grid, photos)


def photos_to_start_from(
    scene: ProbeScene, protocol: ProbeProtocol, least: int, load: Callable[[], MultiViewScene]
) -> MultiViewScene:
    """The photos that an initialiser sees: those that features are taken from, or larger ones of the same field of view.

    Args:
        scene: In its three sizes, under the protocol.
        protocol: Where it cuts photos, what is cut depends on the size: then they stay as they are.
        least: The long side that the initialiser wants (PointmapInitialiser.photo_side).
        load: Gives the scene as loaded.
    """
    if least <= protocol.feature_long_side or protocol.framing == "crop":
        return scene.prepared
    return prepare_scene(load(), least, protocol.framing)


def one_size(scene: MultiViewScene) -> tuple[int, int]:
    """(height, width) of the photos. Raises UserError where they differ."""
    sizes = {view.image.shape[:2] for view in scene.views}
    if len(sizes) != 1:
        raise UserError(
            f"{scene.dataset}/{scene.name}: the photos are of different sizes ({sorted(sizes)}); a probe needs one grid"
        )
    return sizes.pop()


def prepare_scene(scene: MultiViewScene, long_side: int = 512, framing: Framing = "squeeze") -> MultiViewScene:
    """The scene with every view brought to the input that all feature providers share.

    The photo's long side becomes `long_side` (Lanczos down, bicubic up); then its sides become multiples of 16. Depth,
    normal and mask are resampled nearest; the camera follows.

    Args:
        scene: As loaded.
        long_side: Pixels.
        framing: "squeeze": each side is resampled to the multiple of 16 below it (linear, as the official code does), the
            whole photo is kept. "crop": the centre is cut out, of a square photo 4:3 (as DUSt3R's own loader does).

    Raises:
        UserError: Where a photo is too elongated to leave 16 pixels, or its ground truth has another size.
    """
    return _map_views(scene, lambda view: _prepared(view, long_side, framing))


def to_grid(scene: MultiViewScene, long_side: int) -> MultiViewScene:
    """The prepared scene on the probe's grid: the same field of view in photos whose long side is `long_side`.

    Photos are averaged over area; depth, normal and mask are taken at the nearest pixel. The scene itself where the size is
    right. Raises UserError where the grid would be finer than the prepared photos.
    """
    return _map_views(scene, lambda view: _on_grid(view, long_side))


def full_size(scene: MultiViewScene, long_side: int, widest: int, framing: Framing = "squeeze") -> MultiViewScene:
    """The photos of a scene, as loaded, at their own size: of each what `prepare_scene` keeps, all in the size of the
    smallest and at most `widest` pixels wide (bicubic).

    They carry neither camera nor ground truth: the probe renders them from the initialiser's cameras.
    """
    boxes = {id(view): _own_box(view, long_side, framing) for view in scene.views}
    left, top, right, bottom = min(boxes.values(), key=lambda box: box[2] - box[0])
    width = min(widest, round(right - left))
    size = width, round(width * (bottom - top) / (right - left))

    def cut(view: View) -> View:
        photo = Image.fromarray(view.image).resize(size, Image.Resampling.BICUBIC, boxes[id(view)])
        return View(view.name, np.array(photo))

    return _map_views(scene, cut)


def image_tensor(views: Sequence[View]) -> Tensor:
    """The photos as (B, 3, H, W) float32 in [0, 1]. Raises UserError where they are of different sizes."""
    sizes = {view.image.shape[:2] for view in views}
    if len(sizes) != 1:
        listed = ", ".join(f"{view.name} {view.image.shape[1]}x{view.image.shape[0]}" for view in views)
        raise UserError(f"the photos of one scene must be of one size to be probed together: {listed or 'there are none'}")
    return torch.from_numpy(np.stack([view.image for view in views])).permute(0, 3, 1, 2).float() / 255.0


def feature_input(views: Sequence[View]) -> FeatureInput:
    """What a feature provider may see of these photos: with ground-truth world positions (NaN or infinite where there is no
    surface) if every view has depth and a camera. Raises UserError where the photos are of different sizes."""
    images = image_tensor(views)
    points = [view.camera.unproject(view.depth) for view in views if view.camera is not None and view.depth is not None]
    known = len(points) == len(views)
    return FeatureInput(images, torch.from_numpy(np.stack(points)).float() if known else None)


def _map_views(scene: MultiViewScene, change: Callable[[View], View]) -> MultiViewScene:
    return replace(scene, train=tuple(map(change, scene.train)), test=tuple(map(change, scene.test)))


def _prepared(view: View, long_side: int, framing: Framing) -> View:
    size = _scaled_size(view.image, long_side)
    resized = _resampled(view, *size, _photo_resized)
    kept = _kept(view.name, *size, framing)
    return _cropped(resized, *kept) if framing == "crop" else _resampled(resized, *kept[2:], _photo_squeezed)


def _kept(name: str, width: int, height: int, framing: Framing) -> tuple[int, int, int, int]:
    """What is kept of a resized photo: left, top, width, height (of a photo that is squeezed, only the size counts)."""
    kept_width, kept_height = width // MULTIPLE * MULTIPLE, height // MULTIPLE * MULTIPLE
    if width == height and framing == "crop":
        kept_height = kept_width * 3 // 4
    if not kept_width or not kept_height:
        raise UserError(f"{name}: a photo of {width}x{height} pixels leaves no {MULTIPLE} pixels on its short side")
    return width // 2 - kept_width // 2, height // 2 - kept_height // 2, kept_width, kept_height


def _own_box(view: View, long_side: int, framing: Framing) -> tuple[float, float, float, float]:
    """The same in the pixels of the photo as loaded: left, top, right, bottom."""
    full_height, full_width = view.image.shape[:2]
    size = _scaled_size(view.image, long_side)
    left, top, width, height = _kept(view.name, *size, framing)
    if framing == "squeeze":
        return 0.0, 0.0, float(full_width), float(full_height)
    across, down = full_width / size[0], full_height / size[1]
    # Rounding must not lead out of the photo.
    return left * across, top * down, min((left + width) * across, full_width), min((top + height) * down, full_height)


def _on_grid(view: View, long_side: int) -> View:
    if long_side > max(view.image.shape[:2]):
        size = f"{view.image.shape[1]}x{view.image.shape[0]}"
        raise UserError(f"{view.name}: the probe's grid ({long_side}) cannot be finer than the prepared photo ({size})")
    return _resampled(view, *_scaled_size(view.image, long_side), _photo_averaged)


def _scaled_size(image: Array, long_side: int) -> tuple[int, int]:
    """(width, height) when the long side becomes `long_side`."""
    height, width = image.shape[:2]
    scale = long_side / max(height, width)
    return max(1, round(width * scale)), max(1, round(height * scale))


def _resampled(view: View, width: int, height: int, photo: Callable[[Array, int, int], Array]) -> View:
    layers = {name: layer for name in ("depth", "normal", "mask") if (layer := getattr(view, name)) is not None}
    for name, layer in layers.items():
        if layer.shape[:2] != view.image.shape[:2]:
            raise UserError(f"{view.name}: {name} has shape {layer.shape[:2]}, its photo {view.image.shape[:2]}")
    if view.image.shape[:2] == (height, width):
        return view
    resampled: dict[str, Any] = {name: nearest(layer, height, width) for name, layer in layers.items()}
    return replace(
        view,
        image=photo(view.image, width, height),
        camera=view.camera and view.camera.resized(width, height),
        **resampled,
    )


def _cropped(view: View, left: int, top: int, width: int, height: int) -> View:
    def cut(layer: Array | None) -> Array | None:
        return None if layer is None else layer[top : top + height, left : left + width]

    return replace(
        view,
        image=view.image[top : top + height, left : left + width],
        camera=view.camera and view.camera.cropped(left, top, width, height),
        depth=cut(view.depth),
        normal=cut(view.normal),
        mask=cut(view.mask),
    )


def _photo_resized(image: Array, width: int, height: int) -> Array:
    smaller = max(width, height) < max(image.shape[:2])
    resampling = Image.Resampling.LANCZOS if smaller else Image.Resampling.BICUBIC
    return np.asarray(Image.fromarray(image).resize((width, height), resampling))


def _photo_squeezed(image: Array, width: int, height: int) -> Array:
    """Linear between the two nearest pixel centres in each direction, without averaging: the official code's resampling."""
    planes = torch.tensor(image).permute(2, 0, 1)[None].float()
    resampled = torch.nn.functional.interpolate(planes, (height, width), mode="bilinear", align_corners=False)
    return resampled[0].permute(1, 2, 0).round().to(torch.uint8).numpy()


def _photo_averaged(image: Array, width: int, height: int) -> Array:
    rows, columns = _overlaps(image.shape[0], height), _overlaps(image.shape[1], width)
    averaged = np.einsum("ij,jkc,lk->ilc", rows, image.astype(np.float64), columns, optimize=True)
    return np.clip(np.rint(averaged), 0, 255).astype(np.uint8)


def _overlaps(source: int, target: int) -> Array:
    """(target, source): the share that each source pixel takes of each target pixel's extent; rows sum to 1."""
    edges = np.arange(target + 1) * (source / target)
    pixels = np.arange(source)
    covered = np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels)
    return np.clip(covered, 0, None) * (target / source)
