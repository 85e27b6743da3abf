// The exact L1 fit with a shift; the same method as bench/geometry/align/exact.py, which says how it works, and one thing
// more: a large problem is first solved on a sample, which tells almost every row's sign before the first full pass.
#pragma once
#include "align_rows.hpp"

namespace align {

// slope * s + constant + sum over channels of (sum of the rows' w |s p + t - q| + tilt * t).
struct Fit {
    Channel channel[MAX_CHANNELS];
    int channels = 0;
    double slope = 0.0, constant = 0.0;
    int64_t rows() const {
        int64_t total = 0;
        for (int c = 0; c < channels; ++c) total += channel[c].n;
        return total;
    }
};

// F and one of its subgradients at s, and the shift that attains it.
struct Tangent {
    double scale = 0.0, value = 0.0, slope = 0.0, shift[MAX_CHANNELS] = {};
};

// The same rows in memory of their own, which `fold` may then overwrite.
struct OwnedFit {
    Fit fit;
    std::vector<double> memory;
    void copy(const Fit& other, int64_t stride = 1) {
        fit = other;
        memory.resize(3 * (other.rows() / stride + MAX_CHANNELS));
        double* next = memory.data();
        for (int c = 0; c < fit.channels; ++c) {
            const Channel& from = other.channel[c];
            Channel& to = fit.channel[c];
            to.n = stride == 1 ? from.n : from.n / stride;
            to.p = next, to.q = next + to.n, to.w = next + 2 * to.n;
            next += 3 * to.n;
            for (int64_t i = 0; i < to.n; ++i) {
                const int64_t j = i * stride + stride / 2;
                to.p[i] = from.p[j], to.q[i] = from.q[j], to.w[i] = from.w[j];
            }
        }
    }
};

inline double weight_of(const Channel& rows) {
    double mass[1];
    sum_rows<1>(rows.n, mass, [&](int64_t i, double* sums) { sums[0] = rows.w[i]; });
    return mass[0];
}

inline Tangent tangent(const Fit& fit, double s, Scratch& scratch) {
    Tangent at;
    at.scale = s, at.value = fit.slope * s + fit.constant, at.slope = fit.slope;
    for (int c = 0; c < fit.channels; ++c) {
        const Channel& rows = fit.channel[c];
        const double *p = rows.p, *q = rows.q, *w = rows.w;
        scratch.reserve(rows.n);
        double* levels = scratch.levels.data();
        for (int64_t i = 0; i < rows.n; ++i) levels[i] = level(p[i], q[i], s);
        double t = 0.0;
        if (rows.shifted && rows.n > 0) {
            double *v = scratch.values[0].data(), *u = scratch.weights[0].data();
            std::copy(levels, levels + rows.n, v);
            std::copy(w, w + rows.n, u);
            t = weighted_quantile(scratch, rows.n, 0.5 * (weight_of(rows) - rows.tilt));
        }
        double sums[5];  // value, slope, balance of weights; weight and moment of the rows tied at the median
        sum_rows<5>(rows.n, sums, [&](int64_t i, double* sum) {
            const double v = levels[i], signed_weight = v < t ? w[i] : (v > t ? -w[i] : 0.0);
            const double tied = v == t ? w[i] : 0.0;
            sum[0] = w[i] * std::fabs(t - v), sum[1] = signed_weight * p[i], sum[2] = signed_weight;
            sum[3] = tied, sum[4] = tied * p[i];
        });
        at.value += sums[0] + rows.tilt * t;
        at.slope += sums[1];
        if (rows.shifted && sums[3] > 0.0) at.slope -= (rows.tilt + sums[2]) * (sums[4] / sums[3]);
        at.shift[c] = t;
    }
    return at;
}

// A row that stays below or above [floor, ceiling] for every s in the bracket keeps its sign: it becomes linear. Rows that
// stay are moved together at `out` (which may be the row's own memory); returns the weight of rows that reach below the
// floor and above the ceiling.
inline void fold_rows(const Channel& rows, double left, double right, double floor, double ceiling, Channel& out, Fit& fit,
                      double* beyond = nullptr) {
    double slope = 0.0, constant = 0.0, tilt = 0.0, under = 0.0, over = 0.0, mass = 0.0;
    int64_t kept = 0;
    for (int64_t i = 0; i < rows.n; ++i) {
        const double p = rows.p[i], q = rows.q[i], w = rows.w[i];
        const double a = level(p, q, left), b = level(p, q, right), low = a < b ? a : b, high = a < b ? b : a;
        const double moved = high < floor ? w : (low > ceiling ? -w : 0.0);
        slope += moved * p, constant -= moved * q, tilt += moved;
        under += low < floor ? w : 0.0, over += high > ceiling ? w : 0.0, mass += w;
        out.p[kept] = p, out.q[kept] = q, out.w[kept] = w;
        kept += moved == 0.0;
    }
    out.n = kept, out.shifted = rows.shifted, out.tilt = rows.tilt + tilt;
    fit.slope += slope, fit.constant += constant;
    if (beyond) beyond[0] = under, beyond[1] = over, beyond[2] = mass;
}

// The weighted quantile of the rows' lowest (or highest) levels over the bracket.
inline double edge_quantile(const Channel& rows, double left, double right, bool highest, double target, Scratch& scratch) {
    scratch.reserve(rows.n);
    double *v = scratch.values[0].data(), *u = scratch.weights[0].data();
    for (int64_t i = 0; i < rows.n; ++i) {
        const double a = level(rows.p[i], rows.q[i], left), b = level(rows.p[i], rows.q[i], right);
        v[i] = highest ? std::max(a, b) : std::min(a, b);
    }
    std::copy(rows.w, rows.w + rows.n, u);
    return weighted_quantile(scratch, rows.n, target);
}

// The same F on [left, right] with fewer rows, in place.
inline void fold(Fit& fit, double left, double right, Scratch& scratch) {
    for (int c = 0; c < fit.channels; ++c) {
        Channel& rows = fit.channel[c];
        double floor = 0.0, ceiling = 0.0;
        if (rows.shifted && rows.n > 0) {
            const double target = 0.5 * (weight_of(rows) - rows.tilt);
            floor = edge_quantile(rows, left, right, false, target, scratch);
            ceiling = edge_quantile(rows, left, right, true, target, scratch);
        }
        fold_rows(rows, left, right, floor, ceiling, rows, fit);
    }
}

// Where the tangents at both ends of a bracket meet, and the lower bound on F there.
inline double crossing(const Tangent& left, const Tangent& right, double& bound) {
    const double fall = left.slope - right.slope;
    if (fall == 0.0) {
        bound = std::min(left.value, right.value);
        return left.scale;
    }
    const double gap = right.scale - left.scale;
    const double offset = std::clamp((right.value - left.value - right.slope * gap) / fall, 0.0, gap);
    bound = left.value + left.slope * offset;
    return left.scale + offset;
}

// The minimum among the breakpoints in the bracket, by bisection over the straight pieces between them.
inline Tangent search(const Fit& fit, Tangent left, Tangent right, double& bound, Scratch& scratch,
                      std::vector<double>& points) {
    points.clear();
    const auto add = [&](double rise, double run) {
        const double s = rise / run;
        if (run != 0.0 && s > left.scale && s < right.scale) points.push_back(s);
    };
    for (int c = 0; c < fit.channels; ++c) {
        const Channel& rows = fit.channel[c];
        for (int64_t i = 0; i < rows.n; ++i) {
            if (!rows.shifted) add(rows.q[i], rows.p[i]);
            else
                for (int64_t j = 0; j < i; ++j) add(rows.q[i] - rows.q[j], rows.p[i] - rows.p[j]);
        }
    }
    std::sort(points.begin(), points.end());
    points.erase(std::unique(points.begin(), points.end()), points.end());
    size_t first = 0, last = points.size();
    while (last - first > 1) {
        const size_t index = (first + last) / 2;
        const Tangent piece = tangent(fit, 0.5 * (points[index - 1] + points[index]), scratch);
        if (piece.slope <= 0.0) left = piece, first = index;
        else right = piece, last = index;
    }
    crossing(left, right, bound);
    Tangent best = left.value <= right.value ? left : right;
    if (first < last) {
        const Tangent vertex = tangent(fit, points[first], scratch);
        if (vertex.value < best.value) best = vertex;
    }
    return best;
}

// A guess of the minimum: a band about the least-squares scale.
inline void initial_bracket(const Fit& fit, double& left, double& right) {
    double product = 0.0, square = 0.0, size_p = 0.0, size_q = 0.0;
    for (int c = 0; c < fit.channels; ++c) {
        const Channel& rows = fit.channel[c];
        double mean_p = 0.0, mean_q = 0.0, sums[4];
        if (rows.shifted && rows.n > 0) {
            double means[3];
            sum_rows<3>(rows.n, means, [&](int64_t i, double* sum) {
                sum[0] = rows.w[i], sum[1] = rows.w[i] * rows.p[i], sum[2] = rows.w[i] * rows.q[i];
            });
            mean_p = means[1] / means[0], mean_q = means[2] / means[0];
        }
        sum_rows<4>(rows.n, sums, [&](int64_t i, double* sum) {
            const double p = rows.p[i] - mean_p, q = rows.q[i] - mean_q, w = rows.w[i];
            sum[0] = w * p * q, sum[1] = w * p * p, sum[2] = w * std::fabs(p), sum[3] = w * std::fabs(q);
        });
        product += sums[0], square += sums[1], size_p += sums[2], size_q += sums[3];
    }
    const double middle = square > 0.0 ? product / square : 1.0;
    double half = 0.05 * std::fabs(middle) + (size_p > 0.0 ? 1e-6 * size_q / size_p : 0.0);
    half = std::max(half, 8 * EPS * std::fabs(middle));
    if (half == 0.0) half = 1.0;
    left = middle - half, right = middle + half;
}

// The memory that minimisations share.
struct Workspace {
    Scratch scratch;
    std::vector<double> points;
    OwnedFit sample, tilted, rest;
};

// A minimiser of F and a lower bound on F. [first, last] need not hold the minimum. Overwrites the rows of `fit`.
inline Tangent minimise(Fit fit, double first, double last, double& bound, Workspace& work) {
    constexpr int64_t FEW = 24;
    Scratch& scratch = work.scratch;
    Tangent left = tangent(fit, first, scratch), right = tangent(fit, last, scratch);
    double size = std::fabs(fit.slope), step = std::max({last - first, 1e-12 * std::fabs(first), 1e-300});
    for (int c = 0; c < fit.channels; ++c) {
        const Channel& rows = fit.channel[c];
        double sums[1];
        sum_rows<1>(rows.n, sums, [&](int64_t i, double* sum) { sum[0] = rows.w[i] * std::fabs(rows.p[i]); });
        size += sums[0];
    }
    const double flat = 16 * EPS * size;  // a slope below this is rounding
    for (int k = 0; k < 2000 && left.slope > flat; ++k, step *= 2)
        right = left, left = tangent(fit, left.scale - step, scratch);
    for (int k = 0; k < 2000 && right.slope < -flat; ++k, step *= 2)
        left = right, right = tangent(fit, right.scale + step, scratch);
    double width = INF, low_share = 1.0, high_share = 1.0;
    for (int trial = 0; trial < 300; ++trial) {
        if (std::fabs(left.slope) <= flat) return bound = left.value, left;
        if (std::fabs(right.slope) <= flat) return bound = right.value, right;
        const Tangent& best = left.value <= right.value ? left : right;
        const double gap = right.scale - left.scale, meet = crossing(left, right, bound);
        if (best.value - bound <= 2 * EPS * std::fabs(best.value)) return best;
        if (gap <= 4 * EPS * std::max(std::fabs(left.scale), std::fabs(right.scale))) return best;
        if (fit.rows() > FEW && gap < 0.3 * width) fold(fit, left.scale, right.scale, scratch), width = gap;
        if (fit.rows() <= FEW) return search(fit, left, right, bound, scratch, work.points);
        double middle = meet;
        if (trial % 3 !=
            2) {  // regula falsi on the slopes (Illinois); every third step the crossing, which ends on a vertex
            const double low = left.slope * low_share, high = right.slope * high_share;
            middle = left.scale + gap * std::clamp(-low / (high - low), 0.02, 0.98);
        }
        if (!(left.scale < middle && middle < right.scale)) middle = left.scale + 0.5 * gap;
        const Tangent at = tangent(fit, middle, scratch);
        if (at.slope <= 0.0) {
            high_share = low_share == 1.0 ? 0.5 * high_share : 1.0;
            left = at, low_share = 1.0;
        } else {
            low_share = high_share == 1.0 ? 0.5 * low_share : 1.0;
            right = at, high_share = 1.0;
        }
    }
    crossing(left, right, bound);
    return left.value <= right.value ? left : right;
}

}  // namespace align
