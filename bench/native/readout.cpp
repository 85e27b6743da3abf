// The readout behind its first layers: bilinear interpolation of the patches' pre-activations, ReLU, and each head's second
// layer, for a block of pixels at a time. Hidden activations live in cache only; the backward pass computes them anew.
//
// The result is the same for any number of threads: a band of cells is computed by one thread, in a fixed order, and what
// several bands add to (patch gradients of the two bands beside a row of patches, gradients of the weights) is added in a
// fixed order too.

#include <atomic>
#include <exception>
#include <system_error>
#include <thread>
#include <vector>

#include "readout_layers.hpp"
#include "readout_pixels.hpp"
#include "readout_plan.hpp"
#include "readout_vector.hpp"

namespace readout {
namespace {

constexpr int64_t kBlock = 64;  // pixels whose hidden activations are held at once

struct Problem {
    int64_t h, w, hidden, channels;  // channels = heads * hidden
    const float* patches;            // (images * h, w, channels)
    const Plan& plan;
    const std::vector<Head>& heads;
};

/// Some of a block's pixels that lie in one cell and equally far down.
struct Line {
    int64_t begin, end;
    float down;
};

/// The lines begin … end of a block that lie in one cell, and where the cell's four patches are.
struct Run {
    int64_t begin, end;
    int64_t corner[4];  // upper left, upper right, lower left, lower right
};

/// What one thread works in.
struct Scratch {
    int64_t stride, product_stride = kLanes;
    std::vector<float> hidden, of_hidden, product;
    std::vector<Line> lines;
    std::vector<Run> runs;

    explicit Scratch(const Problem& problem) : stride(problem.hidden + 16) {
        for (const Head& head : problem.heads) product_stride = std::max(product_stride, head.padded);
        hidden.resize(kBlock * stride);
        of_hidden.resize(kBlock * stride);
        product.resize(kBlock * product_stride);
        lines.reserve(kBlock);
        runs.reserve(kBlock);
    }
};

void find_runs(const Problem& problem, int64_t first, int64_t pixels, Scratch& scratch) {
    const int64_t* cell = problem.plan.cell.data() + first;
    const float* down = problem.plan.down.data() + first;
    scratch.lines.clear();
    scratch.runs.clear();
    for (int64_t i = 0; i < pixels; ++i) {
        const bool same_cell = i > 0 && cell[i] == cell[i - 1];
        if (same_cell && down[i] == down[i - 1]) {
            scratch.lines.back().end = i + 1;
            continue;
        }
        scratch.lines.push_back({i, i + 1, down[i]});
        const int64_t lines = scratch.lines.size();
        if (same_cell) {
            scratch.runs.back().end = lines;
            continue;
        }
        const int64_t band = cell[i] / problem.w, x = cell[i] % problem.w;
        const int64_t right = x + 1 < problem.w ? problem.channels : 0;
        const int64_t below = band % problem.h + 1 < problem.h ? problem.w * problem.channels : 0;
        const int64_t corner = cell[i] * problem.channels;
        scratch.runs.push_back({lines - 1, lines, {corner, corner + right, corner + below, corner + right + below}});
    }
}

/// The bilinear polynomial of a cell, corner + right x + below y + twist x y, for one vector of hidden units.
struct Cell {
    Vector corner, right, below, twist;

    Cell(const float* patches, const Run& run)
        : corner(load(patches + run.corner[0])),
          right(load(patches + run.corner[1]) - corner),
          below(load(patches + run.corner[2]) - corner),
          twist(load(patches + run.corner[3]) - load(patches + run.corner[2]) - right) {}
};

/// The gradient of a `Cell`: sums over the pixels of their gradients, of these times x, times y, times x y.
struct CellGradient {
    Vector total{}, right{}, below{}, twist{};

    void add(Vector line_total, Vector line_right, float down) {
        total += line_total;
        right += line_right;
        below += down * line_total;
        twist += down * line_right;
    }

    void add_to_patches(float* of_patches, const Run& run) const {
        add_to(of_patches + run.corner[0], (total - right) - (below - twist));
        add_to(of_patches + run.corner[1], right - twist);
        add_to(of_patches + run.corner[2], below - twist);
        add_to(of_patches + run.corner[3], twist);
    }
};

/// Hidden activations (pixels, hidden) of a block; rows up to a whole tile are zero.
void activate(const Problem& problem, int64_t first, int64_t pixels, int64_t head, Scratch& scratch) {
    const int64_t hidden = problem.hidden, stride = scratch.stride;
    const float* patches = problem.patches + head * hidden;
    const float* across = problem.plan.across.data() + first;
    float* units = scratch.hidden.data();
    const Line* lines = scratch.lines.data();
    for (const Run run : scratch.runs) {
        for (int64_t k = 0; k < hidden; k += kLanes) {
            const Cell cell(patches + k, run);
            for (int64_t j = run.begin; j < run.end; ++j) {
                const Line line = lines[j];
                const Vector left = cell.corner + line.down * cell.below, right = cell.right + line.down * cell.twist;
                for (int64_t i = line.begin; i < line.end; ++i)
                    store(units + i * stride + k, positive_part(left + across[i] * right));
            }
        }
    }
    for (int64_t i = pixels; i % kPixels != 0; ++i)
        std::fill_n(scratch.hidden.begin() + i * scratch.stride, problem.hidden, 0.0f);
}

void forward_band(const Problem& problem, int64_t band, float* const* outputs, Scratch& scratch) {
    const Plan& plan = problem.plan;
    for (int64_t first = plan.band[band]; first < plan.band[band + 1]; first += kBlock) {
        const int64_t pixels = std::min(kBlock, plan.band[band + 1] - first);
        find_runs(problem, first, pixels, scratch);
        for (size_t number = 0; number < problem.heads.size(); ++number) {
            const Head& head = problem.heads[number];
            activate(problem, first, pixels, number, scratch);
            second_layer(head, problem.hidden, scratch.hidden.data(), scratch.stride, pixels, scratch.product.data(),
                         scratch.product_stride);
            for (int64_t i = 0; i < pixels; ++i) {
                float* to = outputs[number] + plan.row[first + i] * head.outputs;
                const float* from = scratch.product.data() + i * scratch.product_stride;
                for (int64_t o = 0; o < head.outputs; ++o) to[o] = from[o] + head.bias[o];
            }
        }
    }
}

/// Gradients of the outputs (pixels, outputs) of a block; rows up to a whole tile are zero.
void gather(const Plan& plan, int64_t first, int64_t pixels, int64_t outputs, const float* gradient, Scratch& scratch) {
    float* to = scratch.product.data();
    for (int64_t i = 0; i < pixels; ++i, to += scratch.product_stride)
        std::copy_n(gradient + plan.row[first + i] * outputs, outputs, to);
    for (int64_t i = pixels; i % kPixels != 0; ++i, to += scratch.product_stride) std::fill_n(to, outputs, 0.0f);
}

/// The transpose of `activate`: adds a block's share to the gradient of the patches.
void scatter(const Problem& problem, int64_t first, int64_t head, const Scratch& scratch, float* of_patches) {
    const int64_t hidden = problem.hidden, stride = scratch.stride;
    of_patches += head * hidden;
    const float* across = problem.plan.across.data() + first;
    const float *units = scratch.hidden.data(), *of_units = scratch.of_hidden.data();
    const Line* lines = scratch.lines.data();
    for (const Run run : scratch.runs) {
        for (int64_t k = 0; k < hidden; k += kLanes) {
            CellGradient cell;
            for (int64_t j = run.begin; j < run.end; ++j) {
                const Line line = lines[j];
                Vector total{}, right{};
                for (int64_t i = line.begin; i < line.end; ++i) {
                    const Vector share = where_positive(load(units + i * stride + k), load(of_units + i * stride + k));
                    total += share;
                    right += across[i] * share;
                }
                cell.add(total, right, line.down);
            }
            cell.add_to_patches(of_patches + k, run);
        }
    }
}

/// `activate`, `second_layer_gradient` and `scatter` of a head of few outputs at once, in registers.
template <int Outputs>
void narrow_gradient(const Problem& problem, int64_t first, int64_t head, const Scratch& scratch, float* of_patches,
                     float* of_weight) {
    const int64_t hidden = problem.hidden, offset = head * hidden, stride = scratch.product_stride;
    const float* across = problem.plan.across.data() + first;
    const float *patches = problem.patches, *weight = problem.heads[head].weight, *gradients = scratch.product.data();
    const Line* lines = scratch.lines.data();
    for (const Run run : scratch.runs) {
        for (int64_t k = 0; k < hidden; k += kLanes) {
            const Cell cell(patches + offset + k, run);
            CellGradient of_cell;
            Vector factor[Outputs], of_factor[Outputs];
            for (int o = 0; o < Outputs; ++o) factor[o] = load(weight + o * hidden + k);
            for (int o = 0; o < Outputs; ++o) of_factor[o] = load(of_weight + o * hidden + k);
            for (int64_t j = run.begin; j < run.end; ++j) {
                const Line line = lines[j];
                const Vector left = cell.corner + line.down * cell.below, right = cell.right + line.down * cell.twist;
                Vector line_total{}, line_right{};
                for (int64_t i = line.begin; i < line.end; ++i) {
                    const float* gradient = gradients + i * stride;
                    const Vector unit = positive_part(left + across[i] * right);
                    Vector share{};
                    for (int o = 0; o < Outputs; ++o) {
                        share += gradient[o] * factor[o];
                        of_factor[o] += gradient[o] * unit;
                    }
                    share = where_positive(unit, share);
                    line_total += share;
                    line_right += across[i] * share;
                }
                of_cell.add(line_total, line_right, line.down);
            }
            of_cell.add_to_patches(of_patches + offset + k, run);
            for (int o = 0; o < Outputs; ++o) store(of_weight + o * hidden + k, of_factor[o]);
        }
    }
}

void head_gradient(const Problem& problem, int64_t first, int64_t pixels, int64_t number, Scratch& scratch,
                   float* of_patches, float* of_weight) {
    const Head& head = problem.heads[number];
    switch (head.outputs) {
        case 1: return narrow_gradient<1>(problem, first, number, scratch, of_patches, of_weight);
        case 2: return narrow_gradient<2>(problem, first, number, scratch, of_patches, of_weight);
        case 3: return narrow_gradient<3>(problem, first, number, scratch, of_patches, of_weight);
        case 4: return narrow_gradient<4>(problem, first, number, scratch, of_patches, of_weight);
    }
    activate(problem, first, pixels, number, scratch);
    second_layer_gradient(head, problem.hidden, scratch.product.data(), scratch.product_stride, pixels, scratch.hidden.data(),
                          scratch.of_hidden.data(), scratch.stride, of_weight);
    scatter(problem, first, number, scratch, of_patches);
}

/// of_weights: this band's share, (outputs, hidden) of each head in turn.
void backward_band(const Problem& problem, int64_t band, const float* const* gradients, float* of_patches, float* of_weights,
                   Scratch& scratch) {
    const Plan& plan = problem.plan;
    for (int64_t first = plan.band[band]; first < plan.band[band + 1]; first += kBlock) {
        const int64_t pixels = std::min(kBlock, plan.band[band + 1] - first);
        find_runs(problem, first, pixels, scratch);
        float* of_weight = of_weights;
        for (size_t number = 0; number < problem.heads.size(); ++number) {
            const Head& head = problem.heads[number];
            gather(plan, first, pixels, head.outputs, gradients[number], scratch);
            head_gradient(problem, first, pixels, number, scratch, of_patches, of_weight);
            of_weight += head.outputs * problem.hidden;
        }
    }
}

/// Calls work(band, scratch) for every band, on so many threads.
template <typename Work>
void for_bands(const Problem& problem, int threads, Work work) {
    const int64_t bands = static_cast<int64_t>(problem.plan.band.size()) - 1;
    std::atomic<int64_t> next{0};
    threads = std::max(1, threads);
    std::vector<Scratch> scratch;
    scratch.reserve(threads);
    for (int i = 0; i < threads; ++i) scratch.emplace_back(problem);
    const auto run = [&](Scratch& own) {
        for (int64_t band = next.fetch_add(1); band < bands; band = next.fetch_add(1)) work(band, own);
    };
    std::vector<std::thread> others;
    others.reserve(threads);
    try {
        for (int i = 1; i < threads; ++i) others.emplace_back([&run, &own = scratch[i]] { run(own); });
    } catch (const std::system_error&) {
        // The system gives no more threads: the ones that there are do all the work.
    }
    run(scratch[0]);
    for (std::thread& other : others) other.join();
}

}  // namespace
}  // namespace readout

#define EXPORT extern "C" __attribute__((visibility("default")))

/// grid: images, h, w, height, width, heads, hidden (a multiple of 16). patches: (images, h, w, heads * hidden)
/// pre-activations. channels: outputs of each head; weights: (channels, hidden), biases: (channels,) of each. pixels: count
/// flat indices into (images, height, width), or null for all of them, in order. outputs: (count, channels) of each head.
/// Returns 0, or 1 for a pixel outside the grid, or 2 where memory ran out.
EXPORT int readout_forward(const int64_t* grid, const float* patches, const int64_t* channels, const float* const* weights,
                           const float* const* biases, const int64_t* pixels, int64_t count, float* const* outputs,
                           int threads) try {
    using namespace readout;
    const Plan plan(grid[0], grid[1], grid[2], grid[3], grid[4], pixels, count);
    if (!plan.valid) return 1;
    const std::vector<Head> heads = heads_of(grid[5], grid[6], channels, weights, biases);
    const Problem problem{grid[1], grid[2], grid[6], grid[5] * grid[6], patches, plan, heads};
    for_bands(problem, threads,
              [&](int64_t band, Scratch& scratch) { forward_band(problem, band, outputs, scratch); });
    return 0;
} catch (const std::exception&) {
    return 2;
}

/// The same, and: gradients: (count, channels) of each head. of_patches: like patches, zero on entry; of_weights: (channels,
/// hidden) of all heads in turn, zero on entry. (The gradient of a bias is the sum of its column of `gradients`.)
EXPORT int readout_backward(const int64_t* grid, const float* patches, const int64_t* channels, const float* const* weights,
                            const float* const* biases, const int64_t* pixels, int64_t count,
                            const float* const* gradients, float* of_patches, float* of_weights, int threads) try {
    using namespace readout;
    const Plan plan(grid[0], grid[1], grid[2], grid[3], grid[4], pixels, count);
    if (!plan.valid) return 1;
    const std::vector<Head> heads = heads_of(grid[5], grid[6], channels, weights, biases);
    const Problem problem{grid[1], grid[2], grid[6], grid[5] * grid[6], patches, plan, heads};
    int64_t size = 0;
    for (const Head& head : heads) size += head.outputs * problem.hidden;
    const int64_t bands = static_cast<int64_t>(plan.band.size()) - 1;
    std::vector<float> shares(bands * size);
    // Two bands that touch add to the same row of patches: every other row of cells first, then the rest.
    for (int64_t parity = 0; parity < 2; ++parity)
        for_bands(problem, threads, [&](int64_t band, Scratch& scratch) {
            if (band % problem.h % 2 == parity)
                backward_band(problem, band, gradients, of_patches, shares.data() + band * size, scratch);
        });
    for (int64_t band = 0; band < bands; ++band)
        for (int64_t i = 0; i < size; ++i) of_weights[i] += shares[band * size + i];
    return 0;
} catch (const std::exception&) {
    return 2;
}

/// sizes: count, channels, heads, hidden (channels and hidden multiples of 16). features: (count, channels). weight, bias:
/// (heads * hidden, channels) and (heads * hidden,), of the first layers. outputs: of each head; second_weights, second_biases:
/// (outputs, hidden) and (outputs,) of each. hidden: (heads, count, hidden), the activations; results: (count, outputs) of
/// each head. Returns 0, or 2 where memory ran out.
EXPORT int pixels_forward(const int64_t* sizes, const float* features, const float* weight, const float* bias,
                          const int64_t* outputs, const float* const* second_weights, const float* const* second_biases,
                          float* hidden, float* const* results) try {
    using namespace readout;
    const std::vector<Head> heads = heads_of(sizes[2], sizes[3], outputs, second_weights, second_biases);
    pixels_forward(Pixels{sizes[0], sizes[1], sizes[3], features, weight, bias, heads}, hidden, results);
    return 0;
} catch (const std::exception&) {
    return 2;
}

/// The same, and: gradients: (count, outputs) of each head. attached: for each head whether it sends a gradient to the
/// features. All results are zero on entry: of_features, or null; of_weight, of_bias; of_second: (outputs, hidden) of all heads
/// in turn.
EXPORT int pixels_backward(const int64_t* sizes, const float* features, const float* weight, const float* bias,
                           const int64_t* outputs, const float* const* second_weights, const float* const* second_biases,
                           const float* hidden, const float* const* gradients, const int64_t* attached, float* of_features,
                           float* of_weight, float* of_bias, float* of_second) try {
    using namespace readout;
    const std::vector<Head> heads = heads_of(sizes[2], sizes[3], outputs, second_weights, second_biases);
    const Pixels problem{sizes[0], sizes[1], sizes[3], features, weight, bias, heads, attached};
    pixels_backward(problem, hidden, gradients, of_features, of_weight, of_bias, of_second);
    return 0;
} catch (const std::exception&) {
    return 2;
}
