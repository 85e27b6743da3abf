"""Pictures, rugs, wallpapers and book spines for the procedural scenes; (u, v) in [0, 1] unless said otherwise."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bench.types import Array
from registry.datasets.procedural.textures import SMOOTH, Colour, Texture, chance, mix, noise, smooth


def framed(picture: Texture, frame: Colour, border: float = 0.06, mount: float = 0.07) -> Texture:
    """A picture with a wooden frame and a pale mount about it; widths as shares of the sides."""

    def texture(u: Array, v: Array) -> Array:
        edge = np.minimum(np.minimum(u, 1 - u), np.minimum(v, 1 - v))
        inner = border + mount
        scale = 1 - 2 * inner
        inside = picture(np.clip((u - inner) / scale, 0, 1), np.clip((v - inner) / scale, 0, 1))
        wooden = np.asarray(frame) * (1 + 0.1 * noise(u, v, 0.6))[:, None]
        return np.where((edge < border)[:, None], wooden, np.where((edge < inner)[:, None], (0.93, 0.92, 0.88), inside))

    return texture


def hills(sky: tuple[Colour, Colour], sun: Colour, ridges: Sequence[Colour]) -> Texture:
    """Mountain ridges one before another under a graded sky with a sun."""

    def texture(u: Array, v: Array) -> Array:
        colour = mix(sky[0], sky[1], smooth(0.35, 1.0, v))
        colour = mix(colour, sun, 1 - smooth(0.095, 0.11, np.hypot(u - 0.66, v - 0.68)))
        for number, ridge in enumerate(ridges):
            crest = 0.62 - 0.15 * number + 0.06 * noise(u * 0.35 + 0.31 * number, np.full_like(u, 0.17 * number), 1.0)
            shade = 1 + 0.08 * noise(u, v, 0.6)
            colour = np.where((v < crest)[:, None], np.asarray(ridge) * shade[:, None], colour)
        return np.clip(colour, 0, 1)

    return texture


def discs(ground: Colour, palette: Sequence[Colour], cells: int = 4) -> Texture:
    """Concentric discs in a grid of squares."""
    colours = np.array(palette)

    def texture(u: Array, v: Array) -> Array:
        x, y = u * cells, v * cells
        column, row = np.floor(x), np.floor(y)
        away = np.hypot(x - column - 0.5, y - row - 0.5)
        colour = np.asarray(ground) * (0.85 + 0.3 * chance(column, row, np.array(9)))[:, None]
        for ring, radius in enumerate((0.46, 0.33, 0.2, 0.09)):
            kind = (chance(column, row, np.array(ring + 20)) * len(colours)).astype(int)
            colour = np.where((away < radius)[:, None], colours[kind], colour)
        return np.clip(colour * (1 + 0.05 * noise(u, v, 0.8))[:, None], 0, 1)

    return texture


def blocks(palette: Sequence[Colour], seed: int = 1, depth: int = 5) -> Texture:
    """A rectangle split again and again, dark lines between the coloured parts."""
    rng = np.random.default_rng(seed)
    parts: list[tuple[float, float, float, float]] = [(0.0, 1.0, 0.0, 1.0)]
    for _ in range(depth):
        split: list[tuple[float, float, float, float]] = []
        for left, right, low, high in parts:
            share = rng.uniform(0.3, 0.7)
            if min(right - left, high - low) < 0.16 or rng.uniform() < 0.12:
                split.append((left, right, low, high))
            elif right - left > high - low:
                middle = left + share * (right - left)
                split += [(left, middle, low, high), (middle, right, low, high)]
            else:
                middle = low + share * (high - low)
                split += [(left, right, low, middle), (left, right, middle, high)]
        parts = split
    fills = [palette[int(rng.integers(len(palette)))] for _ in parts]

    def texture(u: Array, v: Array) -> Array:
        colour = np.zeros((len(u), 3)) + 0.1
        for (left, right, low, high), fill in zip(parts, fills, strict=True):
            edge = np.minimum(np.minimum(u - left, right - u), np.minimum(v - low, high - v))
            colour = np.where((edge > 0.012)[:, None], fill, colour)
        return np.clip(colour * (1 + 0.03 * noise(u, v, 0.5))[:, None], 0, 1)

    return texture


def swirls(palette: Sequence[Colour], size: float = 1.0) -> Texture:
    """Marbled paper: contour bands of warped noise."""
    colours = np.array(palette)

    def texture(u: Array, v: Array) -> Array:
        warp = noise(u, v, 2.2 * size, SMOOTH)
        level = 2.2 * noise(u + 0.1 * size * warp, v - 0.08 * size * warp, 1.9 * size, SMOOTH) + 10
        band = np.floor(level).astype(int)
        inside = level - band
        colour = mix(colours[band % len(colours)], colours[(band + 1) % len(colours)], smooth(0.8, 1.0, inside))
        return colour * (0.75 + 0.25 * smooth(0.02, 0.08, inside))[:, None]

    return texture


def wallpaper(ground: Colour, motif: Colour, size: float = 0.28) -> Texture:
    """Staggered rosettes with eight petals and small dots between them; (u, v) in metres."""

    def texture(u: Array, v: Array) -> Array:
        row = np.floor(v / size)
        x = u / size + 0.5 * (row % 2)
        dx, dy = x - np.floor(x) - 0.5, v / size - row - 0.5
        radius, angle = np.hypot(dx, dy), np.arctan2(dy, dx)
        petal = 0.2 + 0.1 * np.cos(8 * angle)
        share = 1 - smooth(petal - 0.02, petal + 0.02, radius)
        share = share * smooth(0.05, 0.08, radius)
        corner = np.hypot(np.abs(dx) - 0.5, dy)
        share = np.maximum(share, 1 - smooth(0.045, 0.065, corner))
        return mix(np.asarray(ground) * (1 + 0.02 * noise(u, v, 0.7))[:, None], motif, 0.8 * share)

    return texture


def rug(ground: Colour, border: Colour, motif: Colour, accent: Colour) -> Texture:
    """A woven rug: borders, a field of diamonds, a central medallion; mirrored in both directions."""

    def texture(u: Array, v: Array) -> Array:
        x, y = np.abs(u - 0.5) * 2, np.abs(v - 0.5) * 2
        edge = np.minimum((1 - x) * 1.4, 1 - y)
        colour = np.broadcast_to(np.asarray(ground), (len(u), 3))
        diamond = np.abs((x * 7) % 1 - 0.5) + np.abs((y * 5) % 1 - 0.5)
        colour = np.where(
            (diamond < 0.2)[:, None], accent, np.where((np.abs(diamond - 0.36) < 0.07)[:, None], motif, colour)
        )
        medallion = x / 0.62 + y / 0.7
        star = medallion + 0.08 * np.cos(10 * np.arctan2(y, x + 1e-9))
        colour = np.where((star < 1)[:, None], border, colour)
        colour = np.where((np.abs(star - 0.86) < 0.05)[:, None] | (star < 0.32)[:, None], accent, colour)
        colour = np.where((np.abs(star - 0.58) < 0.06)[:, None], motif, colour)
        colour = np.where((edge < 0.2)[:, None], border, colour)
        teeth = np.abs(((x + y) * 12) % 1 - 0.5)
        colour = np.where((np.abs(edge - 0.11) < 0.03 + 0.06 * teeth)[:, None], motif, colour)
        colour = np.where((edge < 0.03)[:, None], accent, colour)
        thread = 1 + 0.06 * noise(u, v, 0.35) + 0.05 * np.sin(2 * np.pi * 110 * v)
        return np.clip(colour * thread[:, None], 0, 1)

    return texture


def spines(count: int, palette: Sequence[Colour], seed: int) -> Texture:
    """A row of book spines along u, with title bars; (u, v) in [0, 1]."""
    rng = np.random.default_rng(seed)
    edges = np.concatenate([[0], np.cumsum(rng.uniform(0.6, 1.6, count))])
    edges /= edges[-1]
    colours = np.array([palette[int(rng.integers(len(palette)))] for _ in range(count)]) * rng.uniform(0.75, 1.1, (count, 1))
    titles, marks = rng.uniform(0.45, 0.7, count), rng.uniform(0.1, 0.25, count)

    def texture(u: Array, v: Array) -> Array:
        book = np.clip(np.searchsorted(edges, u, side="right") - 1, 0, count - 1)
        inside = (u - edges[book]) / (edges[book + 1] - edges[book])
        colour = colours[book] * (0.75 + 0.35 * np.sin(np.pi * np.clip(inside, 0, 1)))[:, None]
        label = (np.abs(v - titles[book]) < 0.11) & (np.abs(inside - 0.5) < 0.3)
        letters = (chance(np.floor(v * 90), book) > 0.4) & (np.abs(inside - 0.5) < 0.18)
        colour = np.where(
            label[:, None], np.where((label & letters)[:, None], (0.2, 0.17, 0.15), (0.88, 0.82, 0.66)), colour
        )
        band = np.abs(v - marks[book]) < 0.018
        return np.clip(np.where(band[:, None], (0.85, 0.7, 0.35), colour), 0, 1)

    return texture


def clouds(zenith: Colour, horizon: Colour, cloud: Colour) -> Texture:
    """A sky; u: azimuth in turns, v: elevation in quarter turns (0 at the horizon, 1 overhead)."""

    def texture(u: Array, v: Array) -> Array:
        blue = mix(horizon, zenith, smooth(-0.05, 0.6, v))
        cover = noise(u * 2.0, v * 1.4, 1.0) + 0.35 * noise(u * 6, v * 5, 1.0)
        return mix(blue, cloud, 0.85 * smooth(0.35, 1.5, cover) * smooth(0.0, 0.15, v))

    return texture
