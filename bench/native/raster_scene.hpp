// The scene that is rendered, its splats, and what the forward pass keeps for the backward pass.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <exception>
#include <memory>
#include <thread>
#include <vector>

#include "raster_simd.hpp"

namespace raster {

constexpr int32_t kTileWidth = 32, kTileHeight = 32;      // a tile's planes about fill the first-level cache
constexpr int32_t kStride = kTileWidth + kLanes;          // a vector may start at a row's last pixel
constexpr int32_t kPlane = kStride * kTileHeight;
constexpr int32_t kStrips = kTileWidth / kLanes;          // a vector wide each
constexpr int32_t kStripsPadded = (kStrips + kLanes - 1) / kLanes * kLanes;
static_assert(kTileHeight <= 32, "a tile's rows are the bits of a word");
constexpr int64_t kChunk = 1024;                          // Gaussians per unit of parallel work
constexpr int64_t kAhead = 16;                            // how far ahead splats are fetched into the cache
constexpr float kLog2AlphaMin = -7.994353436858858f;      // log2(1/255)
constexpr float kTransmittanceMin = 1e-4f, kDepthMax = 1e10f;
constexpr float kSlack = 1e-3f;  // pixels: bounds are rounded outwards, the exact test of alpha comes pixel by pixel
constexpr int kSums = 10;        // partial sums per slot, in the order of SlotSum
constexpr int kPose = 15;        // sums for the pose: rotation, translation, and the camera's centre

/// What the caller passes (class _Scene in native_backend.py).
struct Scene {
    const float *means, *quaternions, *scales, *opacities, *harmonics, *world_to_camera, *intrinsics;
    int64_t count;
    int32_t stored, evaluated, width, height, threads;  // stored and evaluated: spherical harmonics per channel
    float alpha_max, near, low_pass;
};

/// An array that is not filled when it is made.
template <typename T>
class Buffer {
  public:
    explicit Buffer(int64_t size) : data_(new T[static_cast<size_t>(size)]) {}
    T& operator[](int64_t i) { return data_[static_cast<size_t>(i)]; }
    const T& operator[](int64_t i) const { return data_[static_cast<size_t>(i)]; }
    T* at(int64_t i) { return data_.get() + i; }

  private:
    std::unique_ptr<T[]> data_;
};

/// A Gaussian as the image sees it; one cache line. Its opacity at (dx, dy) from the centre is
/// 2^(log2_opacity - across u^2 - down dy^2), u = dx - shear dy: a sum of squares, so that nothing cancels in thin splats.
struct alignas(64) Splat {
    float x, y;  // centre, in units where a pixel's centre is a whole number
    float shear, across, down, log2_opacity;
    float reach;  // times the square root of what is left of the exponent: half of the splat's height there
    float red, green, blue, depth;  // colours before they are clamped at 0
    int32_t left, right, top, bottom;  // pixels that it can reach, clipped to the image; right < left: not visible
    uint32_t first_slot;

    bool visible() const { return left <= right; }
    int32_t first_column() const { return left / kTileWidth; }
    int32_t last_column() const { return right / kTileWidth; }
    int32_t first_row() const { return top / kTileHeight; }
    int32_t last_row() const { return bottom / kTileHeight; }
    int64_t tiles() const {
        return static_cast<int64_t>(last_column() - first_column() + 1) * (last_row() - first_row() + 1);
    }
    int64_t slot(int32_t column, int32_t row) const {
        const int64_t before = static_cast<int64_t>(row - first_row()) * (last_column() - first_column() + 1);
        return first_slot + before + column - first_column();
    }
};
static_assert(sizeof(Splat) == 64, "a splat fills one cache line");

/// A splat in a tile's list. rows: for each strip of the tile from the splat's left on, the rows in which it was drawn, as
/// bits; filled by the forward pass as far as it comes before all pixels are closed.
struct Entry {
    uint32_t splat, rows[kStrips];
};

/// What the forward pass keeps for the backward pass.
struct Pass {
    int32_t columns, rows;  // of tiles
    int64_t slots = 0;
    Buffer<Splat> splats;
    std::vector<int64_t> tile_start;  // into entries, and the end
    std::unique_ptr<Buffer<Entry>> entries;  // tile by tile, front to back
    std::vector<int64_t> tile_used;  // entries of each tile up to the last that was drawn
    Buffer<float> transmittance;  // of each pixel behind everything
    Buffer<int32_t> closed;       // how many of its tile's entries came before the pixel was closed

    explicit Pass(const Scene& scene)
        : columns((scene.width + kTileWidth - 1) / kTileWidth),
          rows((scene.height + kTileHeight - 1) / kTileHeight),
          splats(scene.count),
          tile_start(static_cast<size_t>(columns) * rows + 1),
          tile_used(static_cast<size_t>(columns) * rows),
          transmittance(static_cast<int64_t>(scene.width) * scene.height),
          closed(static_cast<int64_t>(scene.width) * scene.height) {}

    int64_t tiles() const { return static_cast<int64_t>(columns) * rows; }
};

/// Calls work(0) ... work(count - 1), each once, on that many threads; work must not throw.
template <typename Work>
void in_parallel(int32_t threads, int64_t count, const Work& work) {
    std::atomic<int64_t> next{0};
    const auto worker = [&] {
        for (int64_t i = next++; i < count; i = next++) work(i);
    };
    std::vector<std::thread> others;
    others.reserve(static_cast<size_t>(std::min<int64_t>(threads, count)));
    try {
        while (static_cast<int64_t>(others.size()) + 1 < std::min<int64_t>(threads, count)) others.emplace_back(worker);
    } catch (const std::exception&) {  // no more threads to be had: those that run do all the work
    }
    worker();
    for (auto& other : others) other.join();
}

}  // namespace raster
