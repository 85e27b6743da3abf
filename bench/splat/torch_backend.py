"""The rasterizer in plain PyTorch: vectorised, on any device, in any float type. The oracle of the other backends.

EWA splatting (Zwicker et al. 2001) as 3D Gaussian Splatting (arXiv:2308.04079) and gsplat (arXiv:2409.06765) define it.
Every pair of a splat and a pixel that it touches is one row; rows are sorted by pixel, then by depth, and the transmittance
in front of a row is a segmented cumulative sum of log(1 - alpha). What is discrete (which pairs count, in which order) is
found without gradients; the values of the surviving pairs are then computed with them.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from bench.splat.cameras import rotation_matrix
from bench.splat.gaussians import COEFFICIENTS, SH_0, Gaussians
from bench.splat.settings import ALPHA_MIN, DEPTH_MAX, TRANSMITTANCE_MIN, Settings


@dataclass(frozen=True, eq=False)
class Splats:
    """Gaussians seen by a camera. x, y: pixels. xx, xy, yy: 2D covariance, pixels squared. All (M,)."""

    x: Tensor
    y: Tensor
    depth: Tensor
    xx: Tensor
    xy: Tensor
    yy: Tensor
    determinant: Tensor


def render(
    gaussians: Gaussians, world_to_camera: Tensor, intrinsics: Tensor, settings: Settings
) -> tuple[Tensor, Tensor, Tensor]:
    """rgb (H, W, 3), accumulated depth (H, W) and alpha (H, W), differentiable by the Gaussians and the pose."""
    with torch.no_grad():
        everything = _project(gaussians, world_to_camera, intrinsics, settings)
        chosen, rectangles = _visible(everything, gaussians.opacities, settings)
    # Only what is visible is projected again with gradients: a culled Gaussian may hold 1 / 0, and 0 times inf is NaN.
    seen = gaussians.select(chosen)
    splats = _project(seen, world_to_camera, intrinsics, settings)
    with torch.no_grad():
        splat, pixel = _pairs(splats, seen.opacities, rectangles, settings)
        still_open = _still_open(*_composite(splats, seen.opacities, splat, pixel, settings), pixel, settings)
        splat, pixel = splat.index_select(0, still_open), pixel.index_select(0, still_open)
    alphas, transmittances = _composite(splats, seen.opacities, splat, pixel, settings)
    values = torch.cat([_colours(seen, world_to_camera, settings.degree), splats.depth[:, None]], dim=1)
    weights = (alphas * transmittances)[:, None]
    size = settings.width * settings.height
    image = values.new_zeros(size, 4).index_add(0, pixel, weights * values.index_select(0, splat))
    # 1 - the product of (1 - alpha) is the sum of the weights, without the cancellation.
    alpha = values.new_zeros(size).index_add(0, pixel, weights[:, 0])
    shape = (settings.height, settings.width)
    return image[:, :3].reshape(*shape, 3), image[:, 3].reshape(shape), alpha.reshape(shape)


def _project(gaussians: Gaussians, world_to_camera: Tensor, intrinsics: Tensor, settings: Settings) -> Splats:
    """EWA projection: the mean exactly, the covariance by the projection's Jacobian at the mean."""
    rotation, translation = world_to_camera[:3, :3], world_to_camera[:3, 3]
    x, y, z = (gaussians.means @ rotation.T + translation).unbind(-1)
    fx, fy, cx, cy = intrinsics[0, 0], intrinsics[1, 1], intrinsics[0, 2], intrinsics[1, 2]
    # The Jacobian is taken at a point clamped to 15 % of the image size beyond the image's border (gsplat): the linear
    # approximation is useless far outside and would smear such Gaussians over the whole image.
    margin_x, margin_y = 0.15 * settings.width / fx, 0.15 * settings.height / fy
    slope_x = torch.clamp(x / z, -(cx / fx + margin_x), (settings.width - cx) / fx + margin_x)
    slope_y = torch.clamp(y / z, -(cy / fy + margin_y), (settings.height - cy) / fy + margin_y)
    row_x = (fx / z)[:, None] * (rotation[0] - slope_x[:, None] * rotation[2])
    row_y = (fy / z)[:, None] * (rotation[1] - slope_y[:, None] * rotation[2])
    axes = rotation_matrix(gaussians.quaternions) * gaussians.scales[:, None, :]
    image_x = torch.einsum("ni,nij->nj", row_x, axes)  # the Gaussian's three axes as seen in the image, x and y parts
    image_y = torch.einsum("ni,nij->nj", row_y, axes)
    square_x, square_y = image_x.square().sum(-1), image_y.square().sum(-1)
    # det(A A^T + e I) by Lagrange's identity: no cancellation for long thin splats.
    area = torch.linalg.cross(image_x, image_y).square().sum(-1)
    return Splats(
        x=fx * x / z + cx,
        y=fy * y / z + cy,
        depth=z,
        xx=square_x + settings.low_pass,
        xy=(image_x * image_y).sum(-1),
        yy=square_y + settings.low_pass,
        determinant=area + settings.low_pass * (square_x + square_y) + settings.low_pass**2,
    )


def _visible(splats: Splats, opacities: Tensor, settings: Settings) -> tuple[Tensor, Tensor]:
    """Indices (M,) of the Gaussians that can reach ALPHA_MIN in the image, front to back, and the pixel rectangle of each:
    (M, 4) first column, first row, columns, rows."""
    reach = 2 * torch.log(opacities / ALPHA_MIN).clamp(min=0)
    reach_x, reach_y = (reach * splats.xx).sqrt(), (reach * splats.yy).sqrt()
    slack = 1e-3  # pixels: rounding must not lose a pair; the exact test of alpha comes later
    left = torch.ceil(splats.x - reach_x - 0.5 - slack).clamp(min=0)
    right = torch.floor(splats.x + reach_x - 0.5 + slack).clamp(max=settings.width - 1)
    top = torch.ceil(splats.y - reach_y - 0.5 - slack).clamp(min=0)
    bottom = torch.floor(splats.y + reach_y - 0.5 + slack).clamp(max=settings.height - 1)
    usable = (splats.depth >= settings.near) & (splats.depth <= DEPTH_MAX) & (opacities >= ALPHA_MIN)
    usable &= (splats.determinant > 0) & torch.isfinite(splats.determinant)
    chosen = torch.nonzero(usable & (left <= right) & (top <= bottom))[:, 0]
    chosen = chosen[torch.argsort(splats.depth[chosen], stable=True)]
    rectangles = torch.stack([left, top, right - left + 1, bottom - top + 1], dim=-1)
    return chosen, rectangles[chosen].long()


def _pairs(splats: Splats, opacities: Tensor, rectangles: Tensor, settings: Settings) -> tuple[Tensor, Tensor]:
    """Splat and pixel of every pair with alpha >= ALPHA_MIN, sorted by pixel, then front to back."""
    left, top, columns, rows = rectangles.unbind(-1)
    # A run is a row of a rectangle; pairs come of runs by counting on.
    runs = torch.repeat_interleave(rows)
    row = _count_from_zero(rows)
    start = (top.index_select(0, runs) + row) * settings.width + left.index_select(0, runs)
    lengths = columns.index_select(0, runs)
    splat = torch.repeat_interleave(runs, lengths)
    pixel = torch.repeat_interleave(start, lengths) + _count_from_zero(lengths)
    touched = torch.nonzero(_alpha(splats, opacities, splat, pixel, settings) >= ALPHA_MIN)[:, 0]
    pixel, order = torch.sort(pixel.index_select(0, touched), stable=True)
    return splat.index_select(0, touched.index_select(0, order)), pixel


def _count_from_zero(lengths: Tensor) -> Tensor:
    """0, 1, ... lengths[0] - 1, 0, 1, ... lengths[1] - 1, and so on."""
    first = torch.repeat_interleave(torch.cumsum(lengths, 0) - lengths, lengths)
    return torch.arange(len(first), device=lengths.device) - first


def _alpha(splats: Splats, opacities: Tensor, splat: Tensor, pixel: Tensor, settings: Settings) -> Tensor:
    """Opacity of each pair: the splat's density at the pixel's centre, at most alpha_max."""
    inverse = 0.5 / splats.determinant
    table = [splats.x, splats.y, splats.yy * inverse, -2 * splats.xy * inverse, splats.xx * inverse, opacities]
    x, y, xx, xy, yy, opacity = torch.stack(table, dim=-1).index_select(0, splat).unbind(-1)  # one gather, not six
    row = pixel // settings.width
    dx, dy = x - 0.5 - (pixel - row * settings.width), y - 0.5 - row
    return (opacity * torch.exp(-(xx * dx * dx + xy * dx * dy + yy * dy * dy))).clamp(max=settings.alpha_max)


def _composite(splats: Splats, opacities: Tensor, splat: Tensor, pixel: Tensor, settings: Settings) -> tuple[Tensor, Tensor]:
    """Alpha of each pair and the transmittance in front of it."""
    alphas = _alpha(splats, opacities, splat, pixel, settings)
    # The sum runs over the whole image, so it needs double precision whatever the type of the rest.
    logs = torch.log1p(-alphas).double()
    before = torch.cumsum(logs, 0) - logs
    return alphas, torch.exp(before - before.index_select(0, _first_of_pixel(pixel, settings))).to(alphas.dtype)


def _first_of_pixel(pixel: Tensor, settings: Settings) -> Tensor:
    """For each pair the position of the first pair of its pixel."""
    counts = torch.bincount(pixel, minlength=settings.width * settings.height)
    return (torch.cumsum(counts, 0) - counts).index_select(0, pixel)


def _still_open(alphas: Tensor, transmittances: Tensor, pixel: Tensor, settings: Settings) -> Tensor:
    """Indices of the pairs that come before their pixel's transmittance falls to TRANSMITTANCE_MIN."""
    closing = (transmittances * (1 - alphas) <= TRANSMITTANCE_MIN).long()
    closed_before = torch.cumsum(closing, 0) - closing
    closed_in_others = closed_before.index_select(0, _first_of_pixel(pixel, settings))
    return torch.nonzero(closed_before + closing == closed_in_others)[:, 0]


def _colours(gaussians: Gaussians, world_to_camera: Tensor, degree: int) -> Tensor:
    """(M, 3) colours seen from the camera's centre."""
    rotation, translation = world_to_camera[:3, :3], world_to_camera[:3, 3]
    centre = -torch.linalg.solve(rotation, translation)
    directions = torch.nn.functional.normalize(gaussians.means - centre, dim=-1)
    basis = harmonics_basis(directions, degree)
    coefficients = gaussians.spherical_harmonics[:, : COEFFICIENTS[degree]]
    return (torch.einsum("nk,nkc->nc", basis, coefficients) + 0.5).clamp(min=0)


def harmonics_basis(directions: Tensor, degree: int) -> Tensor:
    """Real spherical harmonics (..., (degree + 1)^2) at unit vectors (..., 3), in the order and with the signs of 3DGS."""
    x, y, z = directions.unbind(-1)
    basis = [torch.full_like(x, SH_0)]
    if degree >= 1:
        basis += [-0.4886025119029199 * y, 0.4886025119029199 * z, -0.4886025119029199 * x]
    if degree >= 2:
        basis += [
            1.0925484305920792 * x * y,
            -1.0925484305920792 * y * z,
            0.31539156525252005 * (3 * z * z - 1),
            -1.0925484305920792 * x * z,
            0.5462742152960396 * (x * x - y * y),
        ]
    if degree >= 3:
        basis += [
            -0.5900435899266435 * y * (3 * x * x - y * y),
            2.890611442640554 * x * y * z,
            -0.4570457994644658 * y * (5 * z * z - 1),
            0.3731763325901154 * z * (5 * z * z - 3),
            -0.4570457994644658 * x * (5 * z * z - 1),
            1.445305721320277 * z * (x * x - y * y),
            -0.5900435899266435 * x * (x * x - 3 * y * y),
        ]
    return torch.stack(basis, dim=-1)
