// Fits with one unknown x, min_x sum_i w_i |a_i x - b_i|, plain and truncated, and small truncated problems by enumeration.
#pragma once
#include <utility>

#include "align_exact.hpp"

namespace align {

// The rows of such a fit: where each term is zero, and how steep it is. Rows with a = 0 are constant, and left out.
struct Line {
    std::vector<double> zero, slope;
    void clear() { zero.clear(), slope.clear(); }
    void reserve(int64_t n) { zero.reserve(n), slope.reserve(n); }
    void add(double a, double b, double w) {
        if (a != 0.0) zero.push_back(b / a), slope.push_back(w * std::fabs(a));
    }
};

// The smallest minimiser.
inline double minimise_line(const Line& line, Scratch& scratch) {
    const int64_t n = static_cast<int64_t>(line.zero.size());
    scratch.reserve(n);
    std::copy(line.zero.begin(), line.zero.end(), scratch.values[0].begin());
    std::copy(line.slope.begin(), line.slope.end(), scratch.weights[0].begin());
    double mass[1];
    sum_rows<1>(n, mass, [&](int64_t i, double* sum) { sum[0] = line.slope[i]; });
    return weighted_quantile(scratch, n, 0.5 * mass[0]);
}

// The smallest global minimiser of sum_i min(slope_i |x - zero_i|, tau): a term turns down at zero - tau / slope, up at
// zero, and is flat from zero + tau / slope on, so that a minimum is at some zero, and one sweep gives the value at each.
inline double minimise_truncated_line(const Line& line, double tau) {
    struct Turn {
        double at, bend;
        bool candidate;
    };
    std::vector<Turn> turns;
    turns.reserve(3 * line.zero.size());
    for (size_t i = 0; i < line.zero.size(); ++i) {
        const double zero = line.zero[i], slope = line.slope[i], reach = tau / slope;
        turns.push_back({zero - reach, -slope, false});
        turns.push_back({zero, 2 * slope, true});
        turns.push_back({zero + reach, -slope, false});
    }
    std::sort(turns.begin(), turns.end(), [](const Turn& a, const Turn& b) { return a.at < b.at; });
    double best = INF, at = 0.0, value = 0.0, slope = 0.0, last = turns.empty() ? 0.0 : turns[0].at;
    for (const Turn& turn : turns) {
        value += slope * (turn.at - last);
        slope += turn.bend, last = turn.at;
        if (turn.candidate && value < best) best = value, at = turn.at;
    }
    return at;
}

// The truncated optimum of a small problem: some s where two rows of a shifted channel meet, or a row of another is exact,
// is optimal, because between the hyperplanes "residual = 0" the objective is concave; the same holds for each t.
inline Tangent enumerate_truncated(const Fit& fit, double tau, std::vector<double>& points) {
    points.clear();
    for (int c = 0; c < fit.channels; ++c) {
        const Channel& rows = fit.channel[c];
        for (int64_t i = 0; i < rows.n; ++i)
            for (int64_t j = 0; j < (rows.shifted ? i : 1); ++j) {
                const double run = rows.p[i] - (rows.shifted ? rows.p[j] : 0.0),
                             rise = rows.q[i] - (rows.shifted ? rows.q[j] : 0.0);
                if (run != 0.0) points.push_back(rise / run);
            }
    }
    std::sort(points.begin(), points.end());
    points.erase(std::unique(points.begin(), points.end()), points.end());
    Tangent best;
    best.value = INF;
    std::vector<double> levels;
    for (const double s : points) {
        Tangent at;
        at.scale = s;
        for (int c = 0; c < fit.channels && at.value < best.value; ++c) {
            const Channel& rows = fit.channel[c];
            levels.resize(rows.n);
            for (int64_t i = 0; i < rows.n; ++i) levels[i] = level(rows.p[i], rows.q[i], s);
            double least = INF;
            for (int64_t j = 0; j < (rows.shifted ? rows.n : 1); ++j) {
                const double t = rows.shifted ? levels[j] : 0.0;
                double sums[1];
                sum_rows<1>(rows.n, sums,
                            [&](int64_t i, double* sum) { sum[0] = std::min(tau, rows.w[i] * std::fabs(t - levels[i])); });
                if (sums[0] < least) least = sums[0], at.shift[c] = t;
            }
            at.value += least;
        }
        if (at.value < best.value) best = at;
    }
    return best;
}

// What `enumerate_truncated` costs, in units of one row of a box of the branch and bound.
inline double enumeration_cost(const Fit& fit) {
    double scales = 0.0;
    const double n = static_cast<double>(fit.channel[0].n);
    for (int c = 0; c < fit.channels; ++c) scales += fit.channel[c].shifted ? 0.5 * n * n : n;
    return scales * n * n * fit.channels / 16;
}

}  // namespace align
