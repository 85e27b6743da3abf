// Differentiable rasterizer of 3D Gaussians on the CPU, float32: the native backend of bench/splat.
//
// The semantics are those of bench/splat/torch_backend.py (EWA splatting as gsplat does it).
//
// Forward: project the Gaussians (kLanes at a time), sort the visible ones by depth, list them per tile of the image, and
// composite every tile from front to back; a splat is done in strips of kLanes columns, row by row, and only in the rows where
// its opacity reaches 1/255 and pixels are still open. Backward: every tile from back to front through the rows in which the
// forward pass drew, where the transmittance in front of a splat is recovered by a division, into one slot of partial sums per
// (splat, tile); then one pass over the Gaussians adds up each one's slots and takes them back through the projection.
//
// Gradients are the same bit for bit for any number of threads: a tile and a chunk of Gaussians are each done by one thread
// in a fixed order, and what the chunks give to the pose is added up in their order at the end.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <memory>
#include <new>
#include <vector>

#include "raster_composite.hpp"
#include "raster_project.hpp"
#include "raster_scene.hpp"

namespace raster {
namespace {

// ------------------------------------------------------------------------------------------------ Gaussians to splats

/// Up to kLanes Gaussians starting with number `first`; lanes past the end repeat the last one.
Block load_block(const Scene& scene, int64_t first) {
    Block block;
    for (int lane = 0; lane < kLanes; ++lane) {
        const int64_t i = std::min(first + lane, scene.count - 1);
        for (int j = 0; j < 3; ++j) block.mean[j][lane] = scene.means[3 * i + j];
        for (int j = 0; j < 4; ++j) block.quaternion[j][lane] = scene.quaternions[4 * i + j];
        for (int j = 0; j < 3; ++j) block.scale[j][lane] = scene.scales[3 * i + j];
    }
    return block;
}

/// Unit vectors from the camera to the Gaussians, and the inverse of their distances.
struct Directions {
    Vector x, y, z, inverse;

    Directions(const Camera& camera, const Block& block) {
        x = block.mean[0] - camera.centre[0], y = block.mean[1] - camera.centre[1], z = block.mean[2] - camera.centre[2];
        inverse = 1.0f / square_root(x * x + y * y + z * z);
        x *= inverse, y *= inverse, z *= inverse;
    }
};

Four load_four(const float* from) {
    Four value;
    std::memcpy(&value, from, sizeof value);
    return value;
}

/// Does not touch what lies behind.
Four load_three(const float* from) { return Four{from[0], from[1], from[2], 0.0f}; }

void project_block(const Scene& scene, const Camera& camera, int64_t first, Pass& pass) {
    const Block block = load_block(scene, first);
    const Projection p(camera, block, scene.low_pass);
    const Directions towards(camera, block);
    Vector basis[16];
    harmonics(scene.evaluated, towards.x, towards.y, towards.z, basis);

    const float half_log2e = 0.72134752f;  // exp(-q / 2) = 2^(-half_log2e q)
    const Vector shear = p.xy / p.yy, across = half_log2e * p.yy / p.determinant, down = half_log2e / p.yy;
    const Vector reach = square_root(p.determinant / (half_log2e * p.xx)), x = p.x - 0.5f, y = p.y - 0.5f;
    // Whatever is not finite makes this sum NaN or infinity, and x - x is 0 only for finite numbers.
    const Vector all = x + y + shear + across + down + reach;
    const Integers sound = (all - all == 0.0f) & (p.determinant > 0.0f) & (p.camera[2] >= scene.near) &
                           (p.camera[2] <= kDepthMax);

    Vector log2_opacity;
    for (int lane = 0; lane < kLanes; ++lane) {
        log2_opacity[lane] = std::log2(scene.opacities[std::min(first + lane, scene.count - 1)]);
    }
    const Vector extent = square_root((log2_opacity - kLog2AlphaMin) / half_log2e);  // NaN: too faint to be seen
    const Vector extent_x = extent * square_root(p.xx) + kSlack, extent_y = extent * square_root(p.yy) + kSlack;
    const float width = static_cast<float>(scene.width), height = static_cast<float>(scene.height);
    const Integers left = ceiling(within(x - extent_x, 0.0f, width));
    const Integers right = floored(within(x + extent_x, -1.0f, width - 1.0f));
    const Integers top = ceiling(within(y - extent_y, 0.0f, height));
    const Integers bottom = floored(within(y + extent_y, -1.0f, height - 1.0f));
    const Integers visible = sound & (left <= right) & (top <= bottom);

    for (int lane = 0; lane < kLanes && first + lane < scene.count; ++lane) {
        const int64_t i = first + lane;
        Splat& splat = pass.splats[i];
        splat.left = 0, splat.right = -1;
        if (!visible[lane]) continue;
        splat.left = left[lane], splat.right = right[lane], splat.top = top[lane], splat.bottom = bottom[lane];
        splat.x = x[lane], splat.y = y[lane];
        splat.shear = shear[lane], splat.across = across[lane], splat.down = down[lane], splat.reach = reach[lane];
        splat.log2_opacity = log2_opacity[lane];
        splat.depth = p.camera[2][lane];
        const float* coefficients = scene.harmonics + 3 * i * scene.stored;
        Four colour = {0.5f, 0.5f, 0.5f, 0.0f};
        for (int k = 0; k + 1 < scene.evaluated; ++k) colour += basis[k][lane] * load_four(coefficients + 3 * k);
        const int last = scene.evaluated - 1;
        colour += basis[last][lane] * load_three(coefficients + 3 * last);
        splat.red = colour[0], splat.green = colour[1], splat.blue = colour[2];
    }
}

// ---------------------------------------------------------------------------------------------- sorting and tile lists

/// A visible splat and its depth's bits: depths are positive, so the bits sort as they do.
struct Key {
    uint32_t depth, splat;
};

/// Sorts front to back, ties in the order given: a radix sort, 11 bits at a time, over the bits in which the depths differ.
void sort_by_depth(std::vector<Key>& keys) {
    constexpr int kDigit = 11;
    uint32_t nearest = UINT32_MAX, farthest = 0;
    for (const Key key : keys) nearest = std::min(nearest, key.depth), farthest = std::max(farthest, key.depth);
    std::vector<Key> sorted(keys.size());
    for (int shift = 0; shift < 32 && !keys.empty() && (farthest - nearest) >> shift != 0; shift += kDigit) {
        size_t start[(1 << kDigit) + 1] = {};
        const auto digit = [&](Key key) { return ((key.depth - nearest) >> shift) & ((1u << kDigit) - 1); };
        for (const Key key : keys) ++start[digit(key) + 1];
        for (int i = 1; i <= 1 << kDigit; ++i) start[i] += start[i - 1];
        for (const Key key : keys) sorted[start[digit(key)]++] = key;
        keys.swap(sorted);
    }
}

/// Gives every visible splat its slots and fills the tiles' lists, each front to back.
void list_tiles(const Scene& scene, Pass& pass) {
    const auto each_tile = [&](const Splat& splat, const auto& visit) {
        for (int32_t row = splat.first_row(); row <= splat.last_row(); ++row) {
            for (int32_t column = splat.first_column(); column <= splat.last_column(); ++column) {
                visit(static_cast<size_t>(row) * pass.columns + column);
            }
        }
    };
    std::vector<Key> keys;
    keys.reserve(static_cast<size_t>(scene.count));
    for (int64_t i = 0; i < scene.count; ++i) {
        Splat& splat = pass.splats[i];
        if (!splat.visible()) continue;
        Key key{0, static_cast<uint32_t>(i)};
        std::memcpy(&key.depth, &splat.depth, sizeof key.depth);
        keys.push_back(key);
        if (pass.slots + splat.tiles() > INT32_MAX) throw std::bad_alloc();  // the slots would take 80 GB
        splat.first_slot = static_cast<uint32_t>(pass.slots);
        pass.slots += splat.tiles();
        each_tile(splat, [&](size_t tile) { ++pass.tile_start[tile + 1]; });
    }
    sort_by_depth(keys);
    for (size_t i = 1; i < pass.tile_start.size(); ++i) pass.tile_start[i] += pass.tile_start[i - 1];
    pass.entries = std::make_unique<Buffer<Entry>>(pass.slots);
    std::vector<int64_t> cursor(pass.tile_start.begin(), pass.tile_start.end() - 1);
    for (size_t i = 0; i < keys.size(); ++i) {
        if (i + kAhead < keys.size()) __builtin_prefetch(&pass.splats[keys[i + kAhead].splat]);
        each_tile(pass.splats[keys[i].splat], [&](size_t tile) { (*pass.entries)[cursor[tile]++].splat = keys[i].splat; });
    }
}

// ------------------------------------------------------------------------------------------------ splats to Gaussians

/// Where the gradients go.
struct Gradients {
    float *means, *quaternions, *scales, *opacities, *harmonics, *world_to_camera;
};

void clear_gaussian(const Scene& scene, const Gradients& out, int64_t i) {
    std::fill_n(out.means + 3 * i, 3, 0.0f);
    std::fill_n(out.quaternions + 4 * i, 4, 0.0f);
    std::fill_n(out.scales + 3 * i, 3, 0.0f);
    out.opacities[i] = 0.0f;
    std::fill_n(out.harmonics + 3 * i * scene.stored, 3 * static_cast<int64_t>(scene.stored), 0.0f);
}

/// Takes a block's slots back to its Gaussians and adds its share to the pose's sums.
void project_block_backward(const Scene& scene, const Camera& camera, const Pass& pass, const float* slots, int64_t first,
                            const Gradients& out, Vector* pose) {
    Vector sums[kSums] = {}, shear{}, basis[16], by_basis[16] = {};
    Integers visible{};
    const Block block = load_block(scene, first);
    const Projection p(camera, block, scene.low_pass);
    const Directions towards(camera, block);
    harmonics(scene.evaluated, towards.x, towards.y, towards.z, basis);
    for (int lane = 0; lane < kLanes && first + lane < scene.count; ++lane) {
        const int64_t i = first + lane;
        const Splat& splat = pass.splats[i];
        if (!splat.visible()) {
            clear_gaussian(scene, out, i);
            continue;
        }
        visible[lane] = -1;
        float total[kSums] = {};
        const float* slot = slots + kSums * static_cast<int64_t>(splat.first_slot);
        for (int64_t tile = splat.tiles(); tile > 0; --tile, slot += kSums) {
            for (int j = 0; j < kSums; ++j) total[j] += slot[j];
        }
        for (int j = 0; j < kSums; ++j) sums[j][lane] = total[j];
        shear[lane] = splat.shear;
        out.opacities[i] = total[kG] / scene.opacities[i];
        const Four colour = {splat.red >= 0 ? total[kRed] : 0, splat.green >= 0 ? total[kGreen] : 0,
                             splat.blue >= 0 ? total[kBlue] : 0, 0.0f};
        const float* coefficients = scene.harmonics + 3 * i * scene.stored;
        float* gradient = out.harmonics + 3 * i * scene.stored;
        Four products[16] = {};
        const int end = scene.evaluated - 1;
        for (int k = 0; k < end; ++k) {
            const Four by = basis[k][lane] * colour;
            std::memcpy(gradient + 3 * k, &by, sizeof by);
            products[k] = load_four(coefficients + 3 * k) * colour;
        }
        for (int channel = 0; channel < 3; ++channel) gradient[3 * end + channel] = basis[end][lane] * colour[channel];
        products[end] = load_three(coefficients + 3 * end) * colour;
        for (int k = 0; k < scene.evaluated; k += 4) {
            const Four sum = sums_of_fours(products + k);
            for (int j = 0; j < 4; ++j) by_basis[k + j][lane] = sum[j];
        }
        std::fill(gradient + 3 * scene.evaluated, gradient + 3 * scene.stored, 0.0f);
    }

    // With d = (dx, dy) and Q the inverse of the covariance, Q d = (a u, b dy - shear a u), a = yy / det, b = 1 / yy. The
    // gradient by the centre is -sum g Q d, the one by the covariance half of sum g (Q d)(Q d)^T.
    const Vector a = p.yy / p.determinant, b = 1.0f / p.yy;
    const Vector au = a * sums[kGU], auu = a * a * sums[kGUU], audy = a * b * sums[kGUDy];
    SplatGradient by;
    by.x = -au;
    by.y = shear * au - b * sums[kGDy];
    by.xx = 0.5f * auu;
    by.xy = 0.5f * (audy - shear * auu);
    by.yy = 0.5f * (b * b * sums[kGDyDy] - shear * (2.0f * audy - shear * auu));
    by.depth = sums[kDepth];
    BlockGradient g;
    project_backward(camera, block, p, by, g);

    Vector direction[3];
    harmonics_backward(scene.evaluated, towards.x, towards.y, towards.z, by_basis, direction);
    const Vector radial = direction[0] * towards.x + direction[1] * towards.y + direction[2] * towards.z;
    const Vector unit[3] = {towards.x, towards.y, towards.z};
    for (int j = 0; j < 3; ++j) {
        direction[j] = (direction[j] - radial * unit[j]) * towards.inverse;
        g.mean[j] += direction[j];
    }
    for (int lane = 0; lane < kLanes; ++lane) {
        const int64_t i = first + lane;
        if (!visible[lane]) continue;
        for (int j = 0; j < 3; ++j) out.means[3 * i + j] = g.mean[j][lane];
        for (int j = 0; j < 4; ++j) out.quaternions[4 * i + j] = g.quaternion[j][lane];
        for (int j = 0; j < 3; ++j) out.scales[3 * i + j] = g.scale[j][lane];
    }
    // Selected, not multiplied: a culled Gaussian's lane may hold NaN.
    for (int j = 0; j < 9; ++j) pose[j] += visible ? g.pose_rotation[j / 3][j % 3] : Vector{};
    for (int j = 0; j < 3; ++j) pose[9 + j] += visible ? g.pose_translation[j] : Vector{};
    for (int j = 0; j < 3; ++j) pose[12 + j] -= visible ? direction[j] : Vector{};
}

/// Adds up the chunks' shares and writes the pose's gradient (4, 4). The centre is c = -R^-1 t, so dc = -R^-1 (dt + dR c).
void pose_gradient(const Camera& camera, const std::vector<double>& shares, float* out) {
    double total[kPose] = {};
    for (size_t i = 0; i < shares.size(); ++i) total[i % kPose] += shares[i];
    for (int i = 0; i < 3; ++i) {
        double translation = 0;  // -R^-T times the gradient by the centre
        for (int j = 0; j < 3; ++j) translation -= camera.inverse[j][i] * total[12 + j];
        for (int j = 0; j < 3; ++j) {
            out[4 * i + j] = static_cast<float>(total[3 * i + j] + translation * static_cast<double>(camera.centre[j]));
        }
        out[4 * i + 3] = static_cast<float>(total[9 + i] + translation);
    }
    std::fill_n(out + 12, 4, 0.0f);
}

int64_t chunks(const Scene& scene) { return (scene.count + kChunk - 1) / kChunk; }

/// Calls visit(first) for every block of the chunk.
template <typename Visit>
void each_block(const Scene& scene, int64_t chunk, const Visit& visit) {
    const int64_t end = std::min((chunk + 1) * kChunk, scene.count);
    for (int64_t first = chunk * kChunk; first < end; first += kLanes) visit(first);
}

}  // namespace
}  // namespace raster

#define RASTER_API extern "C" __attribute__((visibility("default")))

/// Renders into rgb (H, W, 3), depth (H, W) and alpha (H, W). Gives what raster_backward needs, to be freed with
/// raster_free; null where there is not enough memory.
RASTER_API void* raster_forward(const raster::Scene* scene, float* rgb, float* depth, float* alpha) {
    using namespace raster;
    try {
        if (scene->count > UINT32_MAX) return nullptr;
        auto pass = std::make_unique<Pass>(*scene);
        const Camera camera(scene->world_to_camera, scene->intrinsics, scene->width, scene->height);
        in_parallel(scene->threads, chunks(*scene), [&](int64_t chunk) {
            each_block(*scene, chunk, [&](int64_t first) { project_block(*scene, camera, first, *pass); });
        });
        list_tiles(*scene, *pass);
        in_parallel(scene->threads, pass->tiles(),
                    [&](int64_t tile) { composite_tile(*scene, *pass, tile, rgb, depth, alpha); });
        return pass.release();
    } catch (const std::bad_alloc&) {
        return nullptr;
    }
}

/// Gradients by everything, given those by the outputs (each may be null, for zero) and the forward pass of the same scene.
/// 0, or 1 where there is not enough memory.
RASTER_API int raster_backward(const raster::Scene* scene, const void* forward, const float* rgb, const float* depth,
                               const float* alpha, float* means, float* quaternions, float* scales, float* opacities,
                               float* harmonics, float* world_to_camera) {
    using namespace raster;
    try {
        const Pass& pass = *static_cast<const Pass*>(forward);
        const Camera camera(scene->world_to_camera, scene->intrinsics, scene->width, scene->height);
        const Gradients out{means, quaternions, scales, opacities, harmonics, world_to_camera};
        Buffer<float> slots(pass.slots * kSums);
        in_parallel(scene->threads, pass.tiles(), [&](int64_t tile) {
            composite_tile_backward(*scene, pass, {rgb, depth, alpha}, tile, slots.at(0));
        });
        std::vector<double> shares(static_cast<size_t>(chunks(*scene)) * kPose);
        in_parallel(scene->threads, chunks(*scene), [&](int64_t chunk) {
            Vector pose[kPose] = {};
            each_block(*scene, chunk, [&](int64_t first) {
                project_block_backward(*scene, camera, pass, slots.at(0), first, out, pose);
            });
            for (int j = 0; j < kPose; ++j) shares[static_cast<size_t>(chunk) * kPose + j] = sum(pose[j]);
        });
        pose_gradient(camera, shares, out.world_to_camera);
        return 0;
    } catch (const std::bad_alloc&) {
        return 1;
    }
}

RASTER_API void raster_free(void* forward) { delete static_cast<raster::Pass*>(forward); }
