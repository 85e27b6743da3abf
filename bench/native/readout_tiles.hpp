// The second layers of a block of pixels as small matrix products in cache. All matrices are row-major.
#pragma once

#include "readout_vector.hpp"

namespace readout {

constexpr int kPixels = kManyRegisters ? 8 : 4;  // pixels in a tile; blocks are padded to a multiple of it
constexpr int kSpan = kManyRegisters ? 4 : 2;    // vectors of hidden units in a tile

/// products[p][o] = sum_k hidden[p][k] weight[o][k]: Outputs dot products for four pixels at a time.
template <int Outputs>
void dots(const float* hidden, int64_t stride, int64_t pixels, const float* weight, int64_t width, float* products,
          int64_t product_stride) {
    for (int64_t p = 0; p < pixels; p += 4, hidden += 4 * stride, products += 4 * product_stride) {
        Vector total[4][Outputs] = {};
        for (int64_t k = 0; k < width; k += kLanes) {
            Vector unit[4];
            for (int i = 0; i < 4; ++i) unit[i] = load(hidden + i * stride + k);
            for (int o = 0; o < Outputs; ++o) {
                const Vector factor = load(weight + o * width + k);
                for (int i = 0; i < 4; ++i) total[i][o] += unit[i] * factor;
            }
        }
        for (int i = 0; i < 4; ++i)
            for (int o = 0; o < Outputs; ++o) products[i * product_stride + o] = sum(total[i][o]);
    }
}

/// finish(p, o, sum_k hidden[p][k] transposed[k][o]) for Groups vectors of outputs, from o = 0 on.
template <int Groups, typename Finish>
void product(const float* hidden, int64_t stride, int64_t pixels, const float* transposed, int64_t outputs, int64_t width,
             Finish finish) {
    for (int64_t p = 0; p < pixels; p += kPixels, hidden += kPixels * stride) {
        Vector total[kPixels][Groups] = {};
        for (int64_t k = 0; k < width; ++k) {
            Vector factor[Groups];
            for (int g = 0; g < Groups; ++g) factor[g] = load(transposed + k * outputs + g * kLanes);
            for (int i = 0; i < kPixels; ++i) {
                const Vector unit = spread(hidden[i * stride + k]);
                for (int g = 0; g < Groups; ++g) total[i][g] += unit * factor[g];
            }
        }
        for (int i = 0; i < kPixels; ++i)
            for (int g = 0; g < Groups; ++g) finish(p + i, g * kLanes, total[i][g]);
    }
}

/// of_hidden[p][k] = sum_o gradient[p][o] weight[o][k], for Span vectors of hidden units.
template <int Span>
void hidden_gradient(const float* gradient, int64_t gradient_stride, int64_t pixels, const float* weight, int64_t outputs,
                     int64_t width, float* of_hidden, int64_t stride) {
    for (int64_t p = 0; p < pixels; p += 4, gradient += 4 * gradient_stride, of_hidden += 4 * stride) {
        Vector total[4][Span] = {};
        for (int64_t o = 0; o < outputs; ++o) {
            Vector factor[Span];
            for (int s = 0; s < Span; ++s) factor[s] = load(weight + o * width + s * kLanes);
            for (int i = 0; i < 4; ++i) {
                const Vector share = spread(gradient[i * gradient_stride + o]);
                for (int s = 0; s < Span; ++s) total[i][s] += share * factor[s];
            }
        }
        for (int i = 0; i < 4; ++i)
            for (int s = 0; s < Span; ++s) store(of_hidden + i * stride + s * kLanes, total[i][s]);
    }
}

/// of_weight[o][k] += sum_p gradient[p][o] hidden[p][k], for Outputs outputs and Span vectors of hidden units.
template <int Outputs, int Span>
void weight_gradient(const float* gradient, int64_t gradient_stride, int64_t pixels, const float* hidden, int64_t stride,
                     float* of_weight, int64_t width) {
    Vector total[Outputs][Span];
    for (int o = 0; o < Outputs; ++o)
        for (int s = 0; s < Span; ++s) total[o][s] = load(of_weight + o * width + s * kLanes);
    for (int64_t p = 0; p < pixels; ++p) {
        Vector unit[Span];
        for (int s = 0; s < Span; ++s) unit[s] = load(hidden + p * stride + s * kLanes);
        for (int o = 0; o < Outputs; ++o) {
            const Vector share = spread(gradient[p * gradient_stride + o]);
            for (int s = 0; s < Span; ++s) total[o][s] += share * unit[s];
        }
    }
    for (int o = 0; o < Outputs; ++o)
        for (int s = 0; s < Span; ++s) store(of_weight + o * width + s * kLanes, total[o][s]);
}

}  // namespace readout
