// Rows of an L1 fit, sums over them in eight independent lanes (fixed order: the same result on every run), and weighted
// quantiles.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

namespace align {

constexpr int LANES = 8;
constexpr int MAX_CHANNELS = 3;
constexpr double INF = std::numeric_limits<double>::infinity();
constexpr double EPS = std::numeric_limits<double>::epsilon();
constexpr double TINY = std::numeric_limits<double>::min();

// term(i, sums) adds row i to sums[0 .. SUMS); the lanes let the compiler use vectors without reassociating anything
// itself.
template <int SUMS, class Term>
inline void sum_rows(int64_t n, double* totals, Term term) {
    double lanes[SUMS][LANES] = {};
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (int lane = 0; lane < LANES; ++lane) {
            double terms[SUMS] = {};
            term(i + lane, terms);
            for (int k = 0; k < SUMS; ++k) lanes[k][lane] += terms[k];
        }
    for (; i < n; ++i) {
        double terms[SUMS] = {};
        term(i, terms);
        for (int k = 0; k < SUMS; ++k) lanes[k][i % LANES] += terms[k];
    }
    for (int k = 0; k < SUMS; ++k) {
        double* l = lanes[k];
        totals[k] = ((l[0] + l[4]) + (l[1] + l[5])) + ((l[2] + l[6]) + (l[3] + l[7]));
    }
}

// q - s p, rounded in the same way wherever it is computed: two rows that tie here must tie there.
inline double level(double p, double q, double s) {
#if defined(__FMA__) || defined(__ARM_FEATURE_FMA)
    return std::fma(-s, p, q);
#else
    return q - s * p;
#endif
}

inline double sign(double x) { return (x > 0.0 ? 1.0 : 0.0) - (x < 0.0 ? 1.0 : 0.0); }

// One channel: rows p, q, w, and the linear term tilt * t that rows folded away have left.
struct Channel {
    double *p = nullptr, *q = nullptr, *w = nullptr;
    int64_t n = 0;
    bool shifted = false;
    double tilt = 0.0;
};

// Values with weights in two buffers that a selection throws its rows to and fro between, and a buffer of levels q - s p.
struct Scratch {
    std::vector<double> values[2], weights[2], levels;
    void reserve(int64_t n) {
        if (static_cast<int64_t>(levels.size()) >= n) return;
        for (int k = 0; k < 2; ++k) values[k].resize(n), weights[k].resize(n);
        levels.resize(n);
    }
};

inline double middle_of(double a, double b, double c) { return std::max(std::min(a, b), std::min(std::max(a, b), c)); }

// The smallest of the first n values of scratch.values[0] such that the rows up to it weigh at least target; the largest
// value where there is none. Quickselect; the partition has no branches to mispredict: every row is written to both ends,
// and one end moves.
inline double weighted_quantile(Scratch& scratch, int64_t n, double target) {
    int from = 0;
    double *v = scratch.values[0].data(), *w = scratch.weights[0].data();
    while (n > 16) {
        double pivot;
        if (n > 128) {
            const int64_t step = n / 9;
            pivot = middle_of(middle_of(v[0], v[step], v[2 * step]), middle_of(v[3 * step], v[4 * step], v[5 * step]),
                              middle_of(v[6 * step], v[7 * step], v[8 * step]));
        } else {
            pivot = middle_of(v[0], v[n / 2], v[n - 1]);
        }
        double *to_v = scratch.values[1 - from].data(), *to_w = scratch.weights[1 - from].data();
        to_v += v - scratch.values[from].data();
        to_w += w - scratch.weights[from].data();
        int64_t low = 0, high = n - 1;
        double below[2] = {};
        for (int64_t i = 0; i < n; ++i) {
            const double x = v[i], y = w[i];
            const bool less = x < pivot;
            to_v[low] = x, to_w[low] = y;
            to_v[high] = x, to_w[high] = y;
            low += less, high -= !less;
            below[i & 1] += less ? y : 0.0;
        }
        const double weight_below = below[0] + below[1];
        from = 1 - from;
        if (low > 0 && target <= weight_below) {
            v = to_v, w = to_w, n = low;
            continue;
        }
        // The rows from `low` on are pivots or above: the pivots go out, the rest moves together.
        double equal = 0.0;
        int64_t above = low;
        for (int64_t i = low; i < n; ++i) {
            const double x = to_v[i], y = to_w[i];
            to_v[above] = x, to_w[above] = y;
            above += x > pivot;
            equal += x > pivot ? 0.0 : y;
        }
        if (target <= weight_below + equal || above == low) return pivot;
        target -= weight_below + equal;
        v = to_v + low, w = to_w + low, n = above - low;
    }
    for (int64_t i = 1; i < n; ++i) {
        const double x = v[i], y = w[i];
        int64_t j = i;
        for (; j > 0 && v[j - 1] > x; --j) v[j] = v[j - 1], w[j] = w[j - 1];
        v[j] = x, w[j] = y;
    }
    double mass = 0.0;
    for (int64_t i = 0; i < n; ++i) {
        mass += w[i];
        if (mass >= target) return v[i];
    }
    return n > 0 ? v[n - 1] : 0.0;
}

}  // namespace align
