// The heads' second layers on a block of pixels, forward and backward.
#pragma once

#include <cstdint>
#include <vector>

#include "readout_tiles.hpp"
#include "readout_vector.hpp"

namespace readout {

constexpr int64_t kNarrow = 4;  // heads of so few outputs have kernels of their own

struct Head {
    int64_t outputs, padded;
    const float* weight;            // (outputs, hidden)
    const float* bias;              // (outputs,)
    std::vector<float> transposed;  // (hidden, padded) where the head is not narrow

    Head(int64_t outputs, int64_t hidden, const float* weight, const float* bias)
        : outputs(outputs), padded((outputs + kLanes - 1) / kLanes * kLanes), weight(weight), bias(bias) {
        if (outputs <= kNarrow) return;
        transposed.resize(hidden * padded);
        for (int64_t o = 0; o < outputs; ++o)
            for (int64_t k = 0; k < hidden; ++k) transposed[k * padded + o] = weight[o * hidden + k];
    }
};

inline std::vector<Head> heads_of(int64_t count, int64_t hidden, const int64_t* outputs, const float* const* weights,
                                  const float* const* biases) {
    std::vector<Head> heads;
    for (int64_t i = 0; i < count; ++i) heads.emplace_back(outputs[i], hidden, weights[i], biases[i]);
    return heads;
}

/// products (pixels, outputs) of the hidden activations (pixels, hidden) of a block, without the bias.
inline void second_layer(const Head& head, int64_t hidden, const float* units, int64_t stride, int64_t pixels, float* products,
                         int64_t product_stride) {
    switch (head.outputs) {
        case 1: return dots<1>(units, stride, pixels, head.weight, hidden, products, product_stride);
        case 2: return dots<2>(units, stride, pixels, head.weight, hidden, products, product_stride);
        case 3: return dots<3>(units, stride, pixels, head.weight, hidden, products, product_stride);
        case 4: return dots<4>(units, stride, pixels, head.weight, hidden, products, product_stride);
    }
    const auto at = [&](int64_t o) {
        return [=](int64_t pixel, int64_t column, Vector sum) { store(products + pixel * product_stride + o + column, sum); };
    };
    int64_t o = 0;
    for (; o + 3 * kLanes <= head.padded; o += 3 * kLanes)
        product<3>(units, stride, pixels, head.transposed.data() + o, head.padded, hidden, at(o));
    for (; o < head.padded; o += kLanes)
        product<1>(units, stride, pixels, head.transposed.data() + o, head.padded, hidden, at(o));
}

/// of_weight (outputs, width) += gradient' units, for Span vectors of the columns of `units` and `of_weight`.
template <int Span>
void weight_gradient_rows(const float* gradient, int64_t gradient_stride, int64_t outputs, int64_t pixels, const float* units,
                          int64_t stride, float* of_weight, int64_t width) {
    int64_t o = 0;
    for (; o + 5 <= outputs; o += 5)
        weight_gradient<5, Span>(gradient + o, gradient_stride, pixels, units, stride, of_weight + o * width, width);
    gradient += o;
    of_weight += o * width;
    switch (outputs - o) {
        case 1: return weight_gradient<1, Span>(gradient, gradient_stride, pixels, units, stride, of_weight, width);
        case 2: return weight_gradient<2, Span>(gradient, gradient_stride, pixels, units, stride, of_weight, width);
        case 3: return weight_gradient<3, Span>(gradient, gradient_stride, pixels, units, stride, of_weight, width);
        case 4: return weight_gradient<4, Span>(gradient, gradient_stride, pixels, units, stride, of_weight, width);
    }
}

/// Calls wide(k) for every kSpan vectors of `width` and narrow(k) for each vector that is left.
template <typename Wide, typename Narrow>
void each_span(int64_t width, Wide wide, Narrow narrow) {
    int64_t k = 0;
    for (; k + kSpan * kLanes <= width; k += kSpan * kLanes) wide(k);
    for (; k < width; k += kLanes) narrow(k);
}

/// From the gradients (pixels, outputs) of a block to those of its hidden activations, before the ReLU, and to a share of the
/// weight's.
inline void second_layer_gradient(const Head& head, int64_t hidden, const float* gradient, int64_t gradient_stride,
                                  int64_t pixels, const float* units, float* of_units, int64_t stride, float* of_weight) {
    each_span(
        hidden,
        [&](int64_t k) {
            hidden_gradient<kSpan>(gradient, gradient_stride, pixels, head.weight + k, head.outputs, hidden, of_units + k,
                                   stride);
            weight_gradient_rows<kSpan>(gradient, gradient_stride, head.outputs, pixels, units + k, stride, of_weight + k,
                                        hidden);
        },
        [&](int64_t k) {
            hidden_gradient<1>(gradient, gradient_stride, pixels, head.weight + k, head.outputs, hidden, of_units + k, stride);
            weight_gradient_rows<1>(gradient, gradient_stride, head.outputs, pixels, units + k, stride, of_weight + k, hidden);
        });
}

}  // namespace readout
