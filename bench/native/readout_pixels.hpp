// The readout on features that differ from pixel to pixel: both layers of all heads, a block of pixels at a time in cache. The
// hidden activations are kept for the backward pass; their gradients never leave the cache.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "readout_layers.hpp"
#include "readout_tiles.hpp"
#include "readout_vector.hpp"

namespace readout {

/// Features (count, channels) under `heads`, each with a first layer of `hidden` units. channels and hidden are multiples of
/// 16. attached: which heads send a gradient to the features.
struct Pixels {
    int64_t count, channels, hidden;
    const float* features;
    const float* weight;  // (heads * hidden, channels) of the first layers
    const float* bias;    // (heads * hidden,)
    const std::vector<Head>& heads;
    const int64_t* attached = nullptr;
};

/// Some pixels' rows, copied next to each other; rows up to a whole tile are zero. A row is one vector longer than it need be:
/// rows a power of two apart would share few lines of the cache.
class Rows {
    std::vector<Vector> storage_;  // aligned

public:
    const int64_t stride;

    Rows(int64_t rows, int64_t width) : storage_(rows * (width / kLanes + 1)), stride(width + kLanes) {}

    float* data() { return reinterpret_cast<float*>(storage_.data()); }
    const float* data() const { return reinterpret_cast<const float*>(storage_.data()); }
    float* row(int64_t i) { return data() + i * stride; }

    /// Row i becomes row which[i] of a matrix of that width.
    void gather(const float* matrix, int64_t width, const std::vector<int64_t>& which) {
        const int64_t rows = which.size();
        for (int64_t i = 0; i < rows; ++i) std::copy_n(matrix + which[i] * width, width, row(i));
        for (int64_t i = rows; i % kPixels != 0; ++i) std::fill_n(row(i), width, 0.0f);
    }
};

/// The columns of a (rows, columns) matrix in panels of three vectors (the last ones of one): each panel contiguous.
class Panels {
    std::vector<Vector> storage_;
    int64_t rows_, columns_;

    static int64_t wide(int64_t left) { return left >= 3 * kLanes ? 3 * kLanes : kLanes; }

public:
    /// element(row, column) gives the values; columns is a multiple of kLanes.
    template <typename Element>
    Panels(int64_t rows, int64_t columns, Element element)
        : storage_(rows * columns / kLanes), rows_(rows), columns_(columns) {
        float* to = reinterpret_cast<float*>(storage_.data());
        for (int64_t first = 0, width; first < columns; first += width) {
            width = wide(columns - first);
            for (int64_t row = 0; row < rows; ++row)
                for (int64_t column = first; column < first + width; ++column) *to++ = element(row, column);
        }
    }

    /// finish(row, column, sum) for every vector of the product of `pixels` rows with the matrix.
    template <typename Finish>
    void multiply(const Rows& left, int64_t pixels, Finish finish) const {
        const float* panel = reinterpret_cast<const float*>(storage_.data());
        for (int64_t first = 0, width; first < columns_; first += width, panel += rows_ * width) {
            width = wide(columns_ - first);
            const auto store_at = [&](int64_t row, int64_t column, Vector sum) { finish(row, first + column, sum); };
            if (width == kLanes)
                product<1>(left.data(), left.stride, pixels, panel, width, rows_, store_at);
            else
                product<3>(left.data(), left.stride, pixels, panel, width, rows_, store_at);
        }
    }
};

/// What one call works in.
struct PixelScratch {
    static constexpr int64_t kRows = 128;  // pixels of a block

    std::vector<int64_t> which;  // the pixels of the block
    Rows features, of_features, units, of_units, product;

    explicit PixelScratch(const Pixels& problem)
        : features(kRows, problem.channels), of_features(kRows, problem.channels), units(kRows, problem.hidden),
          of_units(kRows, problem.hidden), product(kRows, widest(problem)) {
        which.reserve(kRows);
    }

    static int64_t widest(const Pixels& problem) {
        int64_t width = kLanes;
        for (const Head& head : problem.heads) width = std::max(width, head.padded);
        return width;
    }
};

/// The transposed first layer of each head.
inline std::vector<Panels> first_layers(const Pixels& problem) {
    std::vector<Panels> layers;
    for (size_t number = 0; number < problem.heads.size(); ++number) {
        const float* weight = problem.weight + number * problem.hidden * problem.channels;
        layers.emplace_back(problem.channels, problem.hidden,
                            [&](int64_t row, int64_t column) { return weight[column * problem.channels + row]; });
    }
    return layers;
}

/// hidden: (heads, count, hidden), the activations. outputs: (count, outputs) of each head.
inline void pixels_forward(const Pixels& problem, float* hidden, float* const* outputs) {
    const std::vector<Panels> layers = first_layers(problem);
    PixelScratch scratch(problem);
    for (int64_t first = 0; first < problem.count; first += PixelScratch::kRows) {
        const int64_t pixels = std::min(PixelScratch::kRows, problem.count - first);
        scratch.which.resize(pixels);
        for (int64_t i = 0; i < pixels; ++i) scratch.which[i] = first + i;
        scratch.features.gather(problem.features, problem.channels, scratch.which);
        for (size_t number = 0; number < problem.heads.size(); ++number) {
            const Head& head = problem.heads[number];
            const int64_t offset = number * problem.hidden;
            float* kept = hidden + offset * problem.count;
            layers[number].multiply(scratch.features, pixels, [&](int64_t pixel, int64_t unit, Vector sum) {
                store(scratch.units.row(pixel) + unit, positive_part(sum + load(problem.bias + offset + unit)));
            });
            second_layer(head, problem.hidden, scratch.units.data(), scratch.units.stride, pixels, scratch.product.data(),
                         scratch.product.stride);
            for (int64_t i = 0; i < pixels; ++i) {
                std::copy_n(scratch.units.row(i), problem.hidden, kept + (first + i) * problem.hidden);
                float* to = outputs[number] + (first + i) * head.outputs;
                for (int64_t o = 0; o < head.outputs; ++o) to[o] = scratch.product.row(i)[o] + head.bias[o];
            }
        }
    }
}

/// The next pixels, from `next` on, that any output's gradient reaches: the others change nothing.
inline void next_reached(const Pixels& problem, const float* const* gradients, int64_t& next, std::vector<int64_t>& which) {
    which.clear();
    for (; next < problem.count && static_cast<int64_t>(which.size()) < PixelScratch::kRows; ++next) {
        bool reached = false;
        for (size_t number = 0; number < problem.heads.size() && !reached; ++number) {
            const int64_t outputs = problem.heads[number].outputs;
            const float* gradient = gradients[number] + next * outputs;
            reached = std::any_of(gradient, gradient + outputs, [](float value) { return value != 0.0f; });
        }
        if (reached) which.push_back(next);
    }
}

/// of_units, behind the ReLU on entry and before it on return; adds its sum to of_bias.
inline void through_relu(PixelScratch& scratch, int64_t pixels, int64_t hidden, float* of_bias) {
    for (int64_t k = 0; k < hidden; k += kLanes) {
        Vector total = load(of_bias + k);
        for (int64_t i = 0; i < pixels; ++i) {
            float* at = scratch.of_units.row(i) + k;
            const Vector share = where_positive(load(scratch.units.row(i) + k), load(at));
            store(at, share);
            total += share;
        }
        store(of_bias + k, total);
    }
}

/// of_weight (hidden, channels) += of_units' features.
inline void first_layer_gradient(const Pixels& problem, const PixelScratch& scratch, int64_t pixels, float* of_weight) {
    const float *of_units = scratch.of_units.data(), *features = scratch.features.data();
    const int64_t stride = scratch.of_units.stride, step = scratch.features.stride, width = problem.channels;
    each_span(
        width,
        [&](int64_t k) {
            weight_gradient_rows<kSpan>(of_units, stride, problem.hidden, pixels, features + k, step, of_weight + k, width);
        },
        [&](int64_t k) {
            weight_gradient_rows<1>(of_units, stride, problem.hidden, pixels, features + k, step, of_weight + k, width);
        });
}

/// hidden: as of `pixels_forward`. gradients: (count, outputs) of each head. All gradients are zero on entry: of_features
/// (count, channels), or null; of_weight, of_bias of the first layers; of_second: (outputs, hidden) of all heads in turn.
inline void pixels_backward(const Pixels& problem, const float* hidden, const float* const* gradients, float* of_features,
                            float* of_weight, float* of_bias, float* of_second) {
    std::vector<Panels> layers;  // of the attached heads
    for (size_t number = 0; number < problem.heads.size() && of_features; ++number)
        layers.emplace_back(problem.hidden, problem.channels, [&](int64_t row, int64_t column) {
            return problem.weight[(number * problem.hidden + row) * problem.channels + column];
        });
    PixelScratch scratch(problem);
    for (int64_t next = 0; next < problem.count;) {
        next_reached(problem, gradients, next, scratch.which);
        const int64_t pixels = scratch.which.size();
        scratch.features.gather(problem.features, problem.channels, scratch.which);
        for (int64_t i = 0; i < pixels; ++i) std::fill_n(scratch.of_features.row(i), problem.channels, 0.0f);
        float* of_own = of_second;
        for (size_t number = 0; number < problem.heads.size(); ++number) {
            const Head& head = problem.heads[number];
            const int64_t offset = number * problem.hidden;
            scratch.product.gather(gradients[number], head.outputs, scratch.which);
            scratch.units.gather(hidden + offset * problem.count, problem.hidden, scratch.which);
            second_layer_gradient(head, problem.hidden, scratch.product.data(), scratch.product.stride, pixels,
                                  scratch.units.data(), scratch.of_units.data(), scratch.units.stride, of_own);
            through_relu(scratch, pixels, problem.hidden, of_bias + offset);
            first_layer_gradient(problem, scratch, pixels, of_weight + offset * problem.channels);
            if (of_features && problem.attached[number])
                layers[number].multiply(scratch.of_units, pixels, [&](int64_t pixel, int64_t channel, Vector sum) {
                    add_to(scratch.of_features.row(pixel) + channel, sum);
                });
            of_own += head.outputs * problem.hidden;
        }
        for (int64_t i = 0; i < pixels && of_features; ++i)
            std::copy_n(scratch.of_features.row(i), problem.channels, of_features + scratch.which[i] * problem.channels);
    }
}

}  // namespace readout
