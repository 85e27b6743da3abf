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

/// A splat's box in a tile, and its centre, both in the tile's coordinates.
struct Place {
    float x, y;
    int32_t left, right, top, bottom;

    Place(const Splat& splat, const Tile& tile)
        : x(splat.x - static_cast<float>(tile.left)),
          y(splat.y - static_cast<float>(tile.top)),
          left(std::max(splat.left - tile.left, 0)),
          right(std::min(splat.right - tile.left, tile.width - 1)),
          top(std::max(splat.top - tile.top, 0)),
          bottom(std::min(splat.bottom - tile.top, tile.height - 1)) {}

    /// From the pixels of a strip to the centre. The last strip may reach past the tile's width into the padding.
    Vector dx(int32_t column) const { return (x - static_cast<float>(column)) - to_float(lane_numbers()); }
    float dy(int32_t row) const { return y - static_cast<float>(row); }
};

/// First and last row that a splat reaches in each strip of kLanes columns of its box in a tile.
struct Reach {
    int32_t first[kStripsPadded], last[kStripsPadded];

    Reach(const Splat& splat, const Place& place) {
        first[0] = place.top, last[0] = place.bottom;
        if (place.right - place.left < kLanes) return;
        // The edge, where the opacity is 1/255: dy = tilt dx +- reach sqrt(room - bend dx^2), highest where dx = tip, lowest
        // where dx = -tip. A strip without the tip has its highest or lowest pixel in the column nearest to it.
        const float squared = splat.reach * splat.reach, tilt = splat.across * splat.shear * squared;
        const float room = splat.log2_opacity - kLog2AlphaMin, bend = splat.across * splat.down * squared;
        const float tip = splat.shear * std::sqrt(room / splat.down);
        const float top = static_cast<float>(place.top), bottom = static_cast<float>(place.bottom);
        const auto edge = [&](Vector dx, float side) {
            return tilt * dx + side * (square_root(greatest(room - bend * dx * dx, Vector{})) * splat.reach + kSlack);
        };
        for (int32_t strip = 0; strip < kStrips; strip += kLanes) {
            const float left = place.x - static_cast<float>(place.left + kLanes * strip);
            const Vector right_most = left - static_cast<float>(kLanes) * to_float(lane_numbers());
            const Vector left_most = right_most - static_cast<float>(kLanes - 1);
            const Vector above = edge(least(greatest(spread(tip), left_most), right_most), 1.0f);
            const Vector below = edge(least(greatest(spread(-tip), left_most), right_most), -1.0f);
            store(first + strip, ceiling(within(place.y - above, top, bottom + 1.0f)));
            store(last + strip, floored(within(place.y - below, top - 1.0f, bottom)));
        }
    }

    /// The rows of a strip, as bits.
    uint32_t rows(int32_t strip) const {
        return first[strip] > last[strip] ? 0 : ~0u >> (31 - last[strip] + first[strip]) << first[strip];
    }
};

/// In which rows each strip of a tile, and the padding, has open pixels, as bits.
struct Open {
    uint32_t rows[kStrips + 1] = {};

    /// Looks at all pixels; false where none is open.
    bool find(const float* transmittance) {
        uint32_t all = 0;
        for (int32_t strip = 0; strip < kStrips; ++strip) {
            rows[strip] = 0;
            for (int32_t row = 0; row < kTileHeight; ++row) {
                rows[strip] |= static_cast<uint32_t>(any(load(transmittance + row * kStride + strip * kLanes) > 0.0f)) << row;
            }
            all |= rows[strip];
        }
        return all != 0;
    }

    /// For kLanes columns that need not be a strip: those of the one or two strips that they lie in.
    uint32_t from(int32_t column) const { return rows[column / kLanes] | rows[column / kLanes + 1]; }
};

/// kLanes pixels of a row of a splat. opacity: before it is clamped at alpha_max, 0 where it is below 1/255. The forward and
/// the backward pass both come here, so that they find the same pixels.
struct Run {
    Vector u, opacity;

    Run(const Splat& splat, Vector dx, float dy) {
        u = dx - splat.shear * dy;
        const Vector exponent = (splat.log2_opacity - splat.down * dy * dy) - splat.across * u * u;
        opacity = exponent >= kLog2AlphaMin ? power_of_two(exponent) : Vector{};
    }
};

/// Draws the tile's part of the image.
inline void composite_tile(const Scene& scene, Pass& pass, int64_t number, float* rgb, float* depth, float* alpha) {
    alignas(64) float transmittance[kPlane], red[kPlane] = {}, green[kPlane] = {}, blue[kPlane] = {}, far[kPlane] = {};
    alignas(64) int32_t closed[kPlane];
    const Tile tile(scene, pass, number);
    // A pixel is open while its transmittance is positive; closing it flips the sign. The padding is closed from the start.
    std::fill(transmittance, transmittance + kPlane, -1.0f);
    tile.each_pixel(scene, [&](int64_t, int32_t at) { transmittance[at] = 1.0f; });
    std::fill(closed, closed + kPlane, 0);

    Entry* entries = pass.entries->at(pass.tile_start[number]);
    const int64_t count = pass.tile_start[number + 1] - pass.tile_start[number];
    Open open;
    for (int64_t k = 0; k < count; ++k) {
        if (k % 64 == 0 && !open.find(transmittance)) break;
        if (k + kAhead < count) __builtin_prefetch(&pass.splats[entries[k + kAhead].splat]);
        const Splat& splat = pass.splats[entries[k].splat];
        const float r = std::max(splat.red, 0.0f), g = std::max(splat.green, 0.0f), b = std::max(splat.blue, 0.0f);
        const Integers next = spread(static_cast<int32_t>(k + 1));
        const Place place(splat, tile);
        const Reach reach(splat, place);
        for (int32_t strip = 0, column = place.left; column <= place.right; ++strip, column += kLanes) {
            const Vector dx = place.dx(column);
            uint32_t drawn_rows = 0;
            for (uint32_t rows = reach.rows(strip) & open.from(column); rows != 0; rows &= rows - 1) {
                const int32_t row = __builtin_ctz(rows), at = row * kStride + column;
                const Vector before = load(transmittance + at);
                const Vector opacity = least(Run(splat, dx, place.dy(row)).opacity, spread(scene.alpha_max));
                const Vector after = before * (1.0f - opacity);
                const Integers drawn = after > kTransmittanceMin;  // never for a closed pixel: its transmittance is negative
                const Vector weight = drawn ? opacity * before : Vector{};
                store(red + at, load(red + at) + weight * r);
                store(green + at, load(green + at) + weight * g);
                store(blue + at, load(blue + at) + weight * b);
                store(far + at, load(far + at) + weight * splat.depth);
                store(transmittance + at, drawn ? after : negative(before));
                drawn_rows |= static_cast<uint32_t>(any(weight > 0.0f)) << row;
                store(closed + at, drawn ? next : load(closed + at));
            }
            entries[k].rows[strip] = drawn_rows;
        }
    }
    int32_t used = 0;
    tile.each_pixel(scene, [&](int64_t pixel, int32_t at) {
        const float left = std::fabs(transmittance[at]);
        pass.transmittance[pixel] = left;
        pass.closed[pixel] = closed[at];
        used = std::max(used, closed[at]);
        rgb[3 * pixel] = red[at], rgb[3 * pixel + 1] = green[at], rgb[3 * pixel + 2] = blue[at];
        depth[pixel] = far[at];
        alpha[pixel] = 1.0f - left;
    });
    pass.tile_used[number] = used;
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
    const int32_t tile_column = tile.left / kTileWidth, tile_row = tile.top / kTileHeight;
    const Entry* entries = pass.entries->at(pass.tile_start[number]);
    const int64_t count = pass.tile_start[number + 1] - pass.tile_start[number];
    const auto splat_of = [&](int64_t k) -> const Splat& { return pass.splats[entries[k].splat]; };
    const auto slot_of = [&](int64_t k) { return slots + kSums * splat_of(k).slot(tile_column, tile_row); };
    for (int64_t k = count - 1; k >= 0; --k) {
        if (k >= kAhead) __builtin_prefetch(&splat_of(k - kAhead));
        if (k >= kAhead / 2) __builtin_prefetch(slot_of(k - kAhead / 2), 1);
        const Splat& splat = splat_of(k);
        float* sums = slot_of(k);
        if (k >= pass.tile_used[number]) {
            std::fill(sums, sums + kSums, 0.0f);
            continue;
        }
        const float r = std::max(splat.red, 0.0f), g = std::max(splat.green, 0.0f), b = std::max(splat.blue, 0.0f);
        const Integers entry = spread(static_cast<int32_t>(k));
        const Place place(splat, tile);
        Vector total[kSums + 2] = {};  // two more, so that they come in fours
        for (int32_t strip = 0, column = place.left; column <= place.right; ++strip, column += kLanes) {
            const Vector dx = place.dx(column);
            for (uint32_t rows = entries[k].rows[strip]; rows != 0; rows &= rows - 1) {
                const int32_t row = __builtin_ctz(rows), at = row * kStride + column;
                const float dy = place.dy(row);
                const Run run(splat, dx, dy);
                // Where the splat was not drawn its opacity is 0, and with it everything below.
                const Vector unclamped = load(closed + at) > entry ? run.opacity : Vector{};
                const Vector opacity = least(unclamped, spread(scene.alpha_max));
                const Vector inverse = 1.0f / (1.0f - opacity);
                const Vector before = load(transmittance + at) * inverse, rest = load(behind + at);
                const Vector weight = opacity * before;
                const Vector by_red = load(red + at), by_green = load(green + at), by_blue = load(blue + at);
                const Vector by_depth = load(far + at);
                const Vector value = by_red * r + by_green * g + by_blue * b + by_depth * splat.depth;
                store(transmittance + at, before);
                store(behind + at, rest + weight * value);
                const Vector gradient =
                    unclamped <= scene.alpha_max ? unclamped * (before * value - rest * inverse) : Vector{};
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
            }
        }
        const Four first = sums_of(total), second = sums_of(total + 4), third = sums_of(total + 8);
        std::memcpy(sums, &first, sizeof first);
        std::memcpy(sums + 4, &second, sizeof second);
        std::memcpy(sums + 8, &third, sizeof(float) * (kSums - 8));
    }
}

}  // namespace raster
