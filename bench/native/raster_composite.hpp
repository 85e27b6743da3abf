// Compositing of one tile, forward and backward.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>

#include "raster_scene.hpp"
#include "raster_simd.hpp"

namespace raster {

/// The part of the image that a tile covers.
struct Tile {
    int32_t left, top, width, height;

    Tile(const Scene& scene, const Pass& pass, int64_t number)
        : left(static_cast<int32_t>(number % pass.columns) * kTileWidth),
          top(static_cast<int32_t>(number / pass.columns) * kTileHeight),
          width(std::min(kTileWidth, scene.width - left)),
          height(std::min(kTileHeight, scene.height - top)) {}

    /// Calls visit(pixel in the image, pixel in the tile's planes) for every pixel.
    template <typename Visit>
    void each_pixel(const Scene& scene, const Visit& visit) const {
        for (int32_t y = 0; y < height; ++y) {
            const int64_t line = static_cast<int64_t>(top + y) * scene.width + left;
            for (int32_t x = 0; x < width; ++x) visit(line + x, y * kStride + x);
        }
    }
};

/// kLanes pixels of a splat. opacity: before it is clamped at alpha_max; 0 where it is below 1/255.
struct Run {
    Vector u, opacity;
};

/// Calls visit(pixel in the planes, dy, run) for the pixels of a tile where a splat's opacity reaches 1/255. A run may reach
/// past the tile's width into the padding. The forward and the backward pass both come here, so that they find the same
/// pixels. Forced inline: the sums that `visit` adds to must stay in registers.
template <typename Visit>
__attribute__((always_inline)) inline void each_run(const Splat& splat, const Tile& tile, const Visit& visit) {
    const Vector offsets = to_float(lane_numbers());
    const float x = splat.x - static_cast<float>(tile.left), y = splat.y - static_cast<float>(tile.top);
    const float right = static_cast<float>(tile.width - 1);
    const int32_t top = std::max(splat.top - tile.top, 0);
    const int32_t bottom = std::min(splat.bottom - tile.top, tile.height - 1);
    for (int32_t part = top; part <= bottom; part += kLanes) {
        // Of kLanes rows at once: the distance to the centre, the log2 of the largest opacity, where that is, and how far
        // the splat reaches to both sides.
        const Vector dys = (y - static_cast<float>(part)) - offsets;
        const Vector peaks = splat.log2_opacity - splat.down * dys * dys;
        const Vector middles = x - splat.shear * dys;
        const Vector halves = square_root(greatest(peaks - kLog2AlphaMin, Vector{})) * splat.reach + kSlack;
        const Integers firsts = ceiling(within(middles - halves, 0.0f, right + 1.0f));
        const Integers lasts = floored(within(middles + halves, -1.0f, right));
        float dy[kLanes], peak[kLanes], middle[kLanes];
        int32_t first[kLanes], last[kLanes];
        store(dy, dys), store(peak, peaks), store(middle, middles), store(first, firsts), store(last, lasts);
        for (int32_t i = 0; i < std::min(kLanes, bottom - part + 1); ++i) {
            for (int32_t column = first[i]; column <= last[i]; column += kLanes) {
                Run run;
                run.u = (middle[i] - static_cast<float>(column)) - offsets;
                const Vector exponent = peak[i] - splat.across * run.u * run.u;
                run.opacity = exponent >= kLog2AlphaMin ? power_of_two(exponent) : Vector{};
                visit((part + i) * kStride + column, dy[i], run);
            }
        }
    }
}

/// Draws the tile's part of the image.
inline void composite_tile(const Scene& scene, Pass& pass, int64_t number, float* rgb, float* depth, float* alpha) {
    alignas(64) float transmittance[kPlane], red[kPlane] = {}, green[kPlane] = {}, blue[kPlane] = {}, far[kPlane] = {};
    alignas(64) int32_t closed[kPlane];
    const Tile tile(scene, pass, number);
    // A pixel is open while its transmittance is positive; closing it flips the sign. The padding is closed from the start.
    std::fill(transmittance, transmittance + kPlane, -1.0f);
    tile.each_pixel(scene, [&](int64_t, int32_t at) { transmittance[at] = 1.0f; });
    std::fill(closed, closed + kPlane, 0);

    const uint32_t* entries = pass.entries->at(pass.tile_start[number]);
    const int64_t count = pass.tile_start[number + 1] - pass.tile_start[number];
    int64_t k = 0;
    for (; k < count; ++k) {
        if (k % 64 == 63 && std::none_of(transmittance, transmittance + kPlane, [](float t) { return t > 0.0f; })) break;
        if (k + kAhead < count) __builtin_prefetch(&pass.splats[entries[k + kAhead]]);
        const Splat& splat = pass.splats[entries[k]];
        const float r = std::max(splat.red, 0.0f), g = std::max(splat.green, 0.0f), b = std::max(splat.blue, 0.0f);
        const Integers next = spread(static_cast<int32_t>(k + 1));
        each_run(splat, tile, [&](int32_t at, float, const Run& run) {
            const Vector opacity = least(run.opacity, spread(scene.alpha_max));
            const Vector before = load(transmittance + at);
            const Vector after = before * (1.0f - opacity);
            const Integers drawn = after > kTransmittanceMin;  // never for a closed pixel, whose transmittance is negative
            const Vector weight = drawn ? opacity * before : Vector{};
            store(red + at, load(red + at) + weight * r);
            store(green + at, load(green + at) + weight * g);
            store(blue + at, load(blue + at) + weight * b);
            store(far + at, load(far + at) + weight * splat.depth);
            store(transmittance + at, drawn ? after : negative(before));
            store(closed + at, drawn ? next : load(closed + at));
        });
    }
    pass.tile_used[number] = k;
    tile.each_pixel(scene, [&](int64_t pixel, int32_t at) {
        const float left = std::fabs(transmittance[at]);
        pass.transmittance[pixel] = left;
        pass.closed[pixel] = closed[at];
        rgb[3 * pixel] = red[at], rgb[3 * pixel + 1] = green[at], rgb[3 * pixel + 2] = blue[at];
        depth[pixel] = far[at];
        alpha[pixel] = 1.0f - left;
    });
}

/// Sums over the pixels of a splat in a tile; g is the loss's gradient by log(opacity in the pixel).
enum SlotSum { kRed, kGreen, kBlue, kDepth, kG, kGU, kGDy, kGUU, kGUDy, kGDyDy };

/// The loss's gradients by the three outputs; each may be null, for zero.
struct ImageGradient {
    const float *rgb, *depth, *alpha;
};

/// Fills the tile's slots.
inline void composite_tile_backward(const Scene& scene, const Pass& pass, const ImageGradient& image, int64_t number,
                                    float* slots) {
    alignas(64) float transmittance[kPlane] = {}, behind[kPlane] = {};
    alignas(64) float red[kPlane] = {}, green[kPlane] = {}, blue[kPlane] = {}, far[kPlane] = {};
    alignas(64) int32_t closed[kPlane] = {};
    const Tile tile(scene, pass, number);
    tile.each_pixel(scene, [&](int64_t pixel, int32_t at) {
        transmittance[at] = pass.transmittance[pixel];
        closed[at] = pass.closed[pixel];
        if (image.rgb) {
            red[at] = image.rgb[3 * pixel], green[at] = image.rgb[3 * pixel + 1], blue[at] = image.rgb[3 * pixel + 2];
        }
        if (image.depth) far[at] = image.depth[pixel];
        // What lies behind a splat, times the gradient by it: at first the black background, which alpha = 1 - T leaves out.
        if (image.alpha) behind[at] = -pass.transmittance[pixel] * image.alpha[pixel];
    });
    const int32_t column = tile.left / kTileWidth, row = tile.top / kTileHeight;
    const int64_t start = pass.tile_start[number], count = pass.tile_start[number + 1] - start;
    for (int64_t k = count - 1; k >= 0; --k) {
        const Splat& splat = pass.splats[(*pass.entries)[start + k]];
        float* sums = slots + kSums * splat.slot(column, row);
        if (k >= pass.tile_used[number]) {
            std::fill(sums, sums + kSums, 0.0f);
            continue;
        }
        if (k >= kAhead) __builtin_prefetch(&pass.splats[(*pass.entries)[start + k - kAhead]]);
        const float r = std::max(splat.red, 0.0f), g = std::max(splat.green, 0.0f), b = std::max(splat.blue, 0.0f);
        const Integers entry = spread(static_cast<int32_t>(k));
        Vector total[kSums + 2] = {};  // two more, so that they come in fours
        each_run(splat, tile, [&](int32_t at, float dy, const Run& run) {
            // Where the splat was not drawn its opacity is 0, and with it everything below.
            const Vector unclamped = load(closed + at) > entry ? run.opacity : Vector{};
            const Vector opacity = least(unclamped, spread(scene.alpha_max));
            const Vector inverse = 1.0f / (1.0f - opacity);
            const Vector before = load(transmittance + at) * inverse, rest = load(behind + at), weight = opacity * before;
            const Vector by_red = load(red + at), by_green = load(green + at), by_blue = load(blue + at);
            const Vector by_depth = load(far + at);
            const Vector value = by_red * r + by_green * g + by_blue * b + by_depth * splat.depth;
            store(transmittance + at, before);
            store(behind + at, rest + weight * value);
            const Vector gradient = unclamped <= scene.alpha_max ? unclamped * (before * value - rest * inverse) : Vector{};
            const Vector along = gradient * run.u;
            total[kRed] += weight * by_red;
            total[kGreen] += weight * by_green;
            total[kBlue] += weight * by_blue;
            total[kDepth] += weight * by_depth;
            total[kG] += gradient;
            total[kGU] += along;
            total[kGDy] += gradient * dy;
            total[kGUU] += along * run.u;
            total[kGUDy] += along * dy;
            total[kGDyDy] += gradient * (dy * dy);
        });
        const Four first = sums_of(total), second = sums_of(total + 4), third = sums_of(total + 8);
        std::memcpy(sums, &first, sizeof first);
        std::memcpy(sums + 4, &second, sizeof second);
        std::memcpy(sums + 8, &third, sizeof(float) * (kSums - 8));
    }
}

}  // namespace raster
