"""Procedural textures: functions of texture coordinates that give sRGB colours in [0, 1]. Every one is deterministic."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

import numpy as np

from bench.types import Array

#: (N,) and (N,) texture coordinates -> (N, 3) sRGB in [0, 1].
Texture = Callable[[Array, Array], Array]
Colour = tuple[float, float, float]

_NOISE_SIZE = 512
SMOOTH = 2.3  #: exponent of noise without fine grain


@functools.lru_cache(maxsize=2)
def _noise_tile(exponent: float) -> Array:
    """A periodic fractal-noise bitmap with an amplitude spectrum of 1/f^exponent, of unit deviation."""
    rng = np.random.default_rng(20241209)
    spectrum = np.fft.rfft2(rng.normal(size=(_NOISE_SIZE, _NOISE_SIZE)))
    rows, columns = np.fft.fftfreq(_NOISE_SIZE)[:, None], np.fft.rfftfreq(_NOISE_SIZE)[None]
    frequency = np.hypot(rows, columns)
    frequency[0, 0] = np.inf
    tile = np.fft.irfft2(spectrum / frequency**exponent, s=(_NOISE_SIZE, _NOISE_SIZE))
    return (tile / tile.std()).astype(np.float32)


def noise(u: Array, v: Array, size: float = 1.0, exponent: float = 1.4) -> Array:
    """Fractal noise of zero mean and unit deviation, of period `size`; bilinear. A larger exponent is smoother."""
    tile = _noise_tile(exponent)
    x, y = u * (_NOISE_SIZE / size), v * (_NOISE_SIZE / size)
    column, row = np.floor(x).astype(np.int32), np.floor(y).astype(np.int32)
    right, down = (x - column).astype(np.float32), (y - row).astype(np.float32)
    mask = _NOISE_SIZE - 1
    c0, c1, r0, r1 = column & mask, (column + 1) & mask, row & mask, (row + 1) & mask
    top = tile[r0, c0] * (1 - right) + tile[r0, c1] * right
    bottom = tile[r1, c0] * (1 - right) + tile[r1, c1] * right
    return top * (1 - down) + bottom * down


def chance(*cells: Array) -> Array:
    """A pseudo-random number in [0, 1) for each integer cell (Wang-style integer hash)."""
    state = np.zeros(np.broadcast_shapes(*(np.shape(cell) for cell in cells)), np.uint32)
    for cell in cells:
        state = (state ^ np.asarray(cell).astype(np.int64).astype(np.uint32)) * np.uint32(0x9E3779B1)
        state = (state ^ (state >> np.uint32(15))) * np.uint32(0x85EBCA77)
        state = state ^ (state >> np.uint32(13))
    return state.astype(np.float64) / 2.0**32


def mix(first: Array | Colour, second: Array | Colour, share: Array) -> Array:
    """first where share is 0, second where it is 1."""
    share = np.clip(share, 0, 1)[..., None]
    return np.asarray(first) * (1 - share) + np.asarray(second) * share


def smooth(edge_low: float, edge_high: float, value: Array) -> Array:
    """The cubic step from 0 at edge_low to 1 at edge_high."""
    t = np.clip((value - edge_low) / (edge_high - edge_low), 0, 1)
    return t * t * (3 - 2 * t)


def plain(colour: Colour, mottle: float = 0.0, size: float = 1.0) -> Texture:
    """One colour, lightly mottled: painted walls, ceramic, stone."""

    def texture(u: Array, v: Array) -> Array:
        base = np.broadcast_to(np.asarray(colour), (len(u), 3))
        return base * (1 + mottle * noise(u, v, size))[:, None] if mottle else base

    return texture


def stripes(colours: Sequence[Colour], width: float, across: bool = False) -> Texture:
    """Bands of the given colours, each `width` wide, along v (or along u where `across`)."""
    palette = np.array(colours)

    def texture(u: Array, v: Array) -> Array:
        band = np.floor((v if across else u) / width).astype(int) % len(palette)
        return palette[band] * (1 + 0.03 * noise(u, v, 0.4))[:, None]

    return texture


def checker(first: Colour, second: Colour, size: float, weave: float = 0.04) -> Texture:
    """A gingham cloth: two crossing sets of stripes, their overlap darker."""

    def texture(u: Array, v: Array) -> Array:
        share = 0.5 * (np.floor(u / size) % 2) + 0.5 * (np.floor(v / size) % 2)
        return mix(first, second, share) * (1 + weave * noise(u, v, 0.25))[:, None]

    return texture


def tiles(colours: Sequence[Colour], grout: Colour, size: float, joint: float = 0.06) -> Texture:
    """Square tiles of randomly chosen colours with mottled glaze and grout between them; joint: its share of a side."""
    palette = np.array(colours)

    def texture(u: Array, v: Array) -> Array:
        x, y = u / size, v / size
        column, row = np.floor(x), np.floor(y)
        edge = np.minimum(np.minimum(x - column, column + 1 - x), np.minimum(y - row, row + 1 - y))
        kind = (chance(column, row) * len(palette)).astype(int)
        tone = 0.9 + 0.2 * chance(column, row, np.array(7))
        tile = palette[kind] * (tone + 0.06 * noise(u + 0.37 * column, v, 3 * size))[:, None]
        return mix(grout, tile, smooth(joint * 0.4, joint * 0.6, edge))

    return texture


def chequered_marble(first: Colour, second: Colour, size: float) -> Texture:
    """A floor of marble slabs in two alternating colours, with veins."""

    def texture(u: Array, v: Array) -> Array:
        column, row = np.floor(u / size), np.floor(v / size)
        shift = 3 * chance(column, row)
        vein = np.abs(np.sin(7 * (u + v) + 2.2 * noise(u + shift, v + shift, 1.5, SMOOTH)))
        base = mix(first, second, (column + row) % 2)
        vein_colour = mix(second, first, (column + row) % 2)
        edge = np.minimum(np.abs(u / size - np.round(u / size)), np.abs(v / size - np.round(v / size)))
        slab = mix(base, 0.5 * base + 0.5 * vein_colour, 0.75 * (1 - smooth(0.0, 0.22, vein)))
        return slab * (0.75 + 0.25 * smooth(0.005, 0.012, edge))[:, None]

    return texture


def wood(light: Colour, dark: Colour, plank: float = 0.12, length: float = 1.1) -> Texture:
    """Planks along u, `plank` wide, staggered, with grain and rings."""

    def texture(u: Array, v: Array) -> Array:
        row = np.floor(v / plank)
        shifted = u + length * chance(row)
        column = np.floor(shifted / length)
        own = chance(row, column)
        grain = noise(shifted * 0.12 + 5 * own, v * 1.6 + 3 * own, 1.0)
        rings = np.sin(70 * (v + 0.05 * noise(shifted * 0.25 + own, v + 7 * own, 1.0)) + 20 * own)
        share = 0.35 + 0.22 * grain + 0.12 * rings + 0.35 * (own - 0.5)
        gap = np.minimum(v / plank - row, row + 1 - v / plank) * plank
        end = np.minimum(shifted / length - column, column + 1 - shifted / length) * length
        seam = smooth(0.0012, 0.0035, np.minimum(gap, end))
        return mix(light, dark, share) * (0.45 + 0.55 * seam)[:, None]

    return texture


def bricks(colours: Sequence[Colour], mortar: Colour, length: float = 0.25, height: float = 0.085) -> Texture:
    """A running bond of bricks, u along the wall and v upwards."""
    palette = np.array(colours)

    def texture(u: Array, v: Array) -> Array:
        row = np.floor(v / height)
        x = u / length + 0.5 * (row % 2)
        column = np.floor(x)
        edge = np.minimum(
            np.minimum(x - column, column + 1 - x) * length, np.minimum(v / height - row, row + 1 - v / height) * height
        )
        kind = (chance(column, row) * len(palette)).astype(int)
        rough = noise(u + column, v + row, 0.5)
        tone = 0.85 + 0.3 * chance(column, row, np.array(3)) + 0.08 * rough
        return mix(
            np.asarray(mortar) * (1 + 0.06 * rough)[:, None], palette[kind] * tone[:, None], smooth(0.004, 0.009, edge)
        )

    return texture


def cobbles(colours: Sequence[Colour], joint: Colour, size: float) -> Texture:
    """Irregular paving stones: the cells of jittered points, with joints where two cells meet."""
    palette = np.array(colours)

    def texture(u: Array, v: Array) -> Array:
        x, y = u / size, v / size
        column, row = np.floor(x), np.floor(y)
        nearest, second, owner = np.full(len(u), np.inf), np.full(len(u), np.inf), np.zeros(len(u))
        for step_x in (-1, 0, 1):
            for step_y in (-1, 0, 1):
                c, r = column + step_x, row + step_y
                away = np.hypot(c + 0.2 + 0.6 * chance(c, r) - x, r + 0.2 + 0.6 * chance(r, c, np.array(1)) - y)
                closer = away < nearest
                second = np.where(closer, nearest, np.minimum(second, away))
                owner = np.where(closer, chance(c, r, np.array(2)), owner)
                nearest = np.where(closer, away, nearest)
        kind = (owner * len(palette)).astype(int)
        tone = 0.8 + 0.35 * ((owner * 17) % 1) + 0.07 * noise(u, v, 1.0)
        return mix(joint, palette[kind] * tone[:, None], smooth(0.04, 0.12, second - nearest))

    return texture


def meadow(first: Colour, second: Colour, flower: Colour) -> Texture:
    """Short grass: three scales of noise and a few flowers."""

    def texture(u: Array, v: Array) -> Array:
        share = 0.5 + 0.25 * noise(u, v, 6.0) + 0.22 * noise(u, v, 1.3)
        green = mix(first, second, share) * (1 + 0.16 * noise(v, u, 0.7))[:, None]
        cell = 0.16
        c, r = np.floor(u / cell), np.floor(v / cell)
        away = np.hypot(u / cell - c - 0.25 - 0.5 * chance(c, r), v / cell - r - 0.25 - 0.5 * chance(r, c))
        blossom = (chance(c, r, np.array(5)) > 0.8) * (1 - smooth(0.1, 0.16, away))
        return mix(green, flower, blossom)

    return texture


def birch() -> Texture:
    """White bark with dark horizontal scars; u around the trunk in [0, 1], v upwards in metres."""

    def texture(u: Array, v: Array) -> Array:
        scars = noise(u * 0.5, v * 2.2, 1.0) + 0.6 * noise(u * 2.0, v * 7.0, 1.0)
        bark = mix((0.93, 0.91, 0.86), (0.78, 0.72, 0.64), 0.4 + 0.3 * noise(u, v, 1.0))
        return mix(bark, (0.13, 0.11, 0.10), smooth(1.0, 1.35, scars))

    return texture


def pottery(
    base: Colour, bands: Sequence[tuple[float, float, Colour]], zigzag: Colour, at: float, teeth: int = 12
) -> Texture:
    """Glazed pottery: bands (from, to, colour) along v and one zigzag ring at height `at`, u around in [0, 1]."""

    def texture(u: Array, v: Array) -> Array:
        colour = np.asarray(base) * (1 + 0.04 * noise(u, v, 0.6))[:, None]
        for low, high, band in bands:
            colour = mix(colour, band, (v > low) & (v < high))
        wave = np.abs((u * teeth) % 1 - 0.5) * 0.05
        return mix(colour, zigzag, np.abs(v - at - wave + 0.0125) < 0.008)

    return texture


def fruit(base: Colour, blush: Colour) -> Texture:
    """Skin with a blush and speckles."""

    def texture(u: Array, v: Array) -> Array:
        share = 0.5 + 0.5 * np.sin(2 * np.pi * u) + 0.35 * noise(u, 4 * v, 1.0)
        speckle = (chance(np.floor(u * 60), np.floor(v * 180)) > 0.93) * 0.12
        return np.clip(mix(base, blush, share) + speckle[:, None], 0, 1)

    return texture


def foliage(first: Colour, second: Colour) -> Texture:
    """Leaves of two greens in small cells."""

    def texture(u: Array, v: Array) -> Array:
        share = chance(np.floor(u * 40), np.floor(v * 26)) * 0.7 + 0.15 + 0.25 * noise(u, v, 0.8)
        return mix(first, second, share)

    return texture
