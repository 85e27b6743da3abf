// The exact fit of many rows. A sample's fit, tilted by a few standard errors of its slope to either side, gives a bracket
// for s, and its weighted quantiles a band for every t; one pass over all rows folds what keeps its sign there and counts
// enough to prove that the optimum is inside. Where the proof fails the margins are doubled; after that, everything is done
// without the sample.
#pragma once
#include "align_exact.hpp"

namespace align {

constexpr int64_t SAMPLED_FROM = 3000;  // rows per channel

// The standard error of the sampled slope, in units of the sample: what the slope of F would move by if other rows had been
// drawn.
inline double slope_error(const Fit& fit, double margin) {
    double squares = 0.0, size = 0.0;
    for (int c = 0; c < fit.channels; ++c) {
        const Channel& rows = fit.channel[c];
        double mean = 0.0, sums[2];
        if (rows.shifted) {
            sum_rows<2>(rows.n, sums, [&](int64_t i, double* sum) { sum[0] = rows.w[i], sum[1] = rows.w[i] * rows.p[i]; });
            mean = sums[1] / sums[0];
        }
        sum_rows<2>(rows.n, sums, [&](int64_t i, double* sum) {
            const double term = rows.w[i] * std::fabs(rows.p[i] - mean);
            sum[0] = term * term, sum[1] = term;
        });
        squares += sums[0], size += sums[1];
    }
    return std::min(margin * std::sqrt(squares), 0.25 * size);
}

// Folds all rows for s in [left, right] and t in the bands that the sample suggests. False where the counts do not prove
// that t stays in its band.
inline bool fold_by_sample(const Fit& all, const Fit& sample, double left, double right, double margin, Workspace& work) {
    Fit& rest = work.rest.fit;
    rest = Fit{};
    rest.channels = all.channels;
    work.rest.memory.resize(3 * all.rows() + MAX_CHANNELS);
    double* next = work.rest.memory.data();
    bool proven = true;
    for (int c = 0; c < all.channels && proven; ++c) {
        const Channel &rows = all.channel[c], &few = sample.channel[c];
        double floor = 0.0, ceiling = 0.0;
        if (rows.shifted) {
            double sums[2];
            sum_rows<2>(few.n, sums, [&](int64_t i, double* sum) { sum[0] = few.w[i], sum[1] = few.w[i] * few.w[i]; });
            const double reach = 0.5 * margin * std::sqrt(sums[1]);
            floor = edge_quantile(few, left, right, false, std::max(0.5 * sums[0] - reach, 0.0), work.scratch);
            ceiling = edge_quantile(few, left, right, true, std::min(0.5 * sums[0] + reach, sums[0]), work.scratch);
        }
        Channel& kept = rest.channel[c];
        kept.p = next, kept.q = next + rows.n, kept.w = next + 2 * rows.n;
        next += 3 * rows.n;
        double beyond[3];
        fold_rows(rows, left, right, floor, ceiling, kept, rest, beyond);
        proven = !rows.shifted || (2 * beyond[0] <= beyond[2] && 2 * beyond[1] <= beyond[2] && kept.n > 0);
    }
    return proven;
}

// A minimiser of F over all rows (which stay as they are), and a lower bound on F.
inline Tangent minimise_all(const Fit& all, double& bound, Workspace& work) {
    double first, last;
    const int64_t n = all.channel[0].n;
    if (n >= SAMPLED_FROM) {
        OwnedFit sample;
        sample.copy(all,
                    n / std::min<int64_t>(n / 2, std::max<int64_t>(600, std::llround(std::cbrt(double(n) * double(n))))));
        work.tilted.copy(sample.fit);
        initial_bracket(sample.fit, first, last);
        const double middle = minimise(work.tilted.fit, first, last, bound, work).scale;
        for (double margin = 3.0; margin < 13.0; margin *= 2.0) {
            double ends[2];
            for (int side = 0; side < 2; ++side) {
                work.tilted.copy(sample.fit);
                work.tilted.fit.slope = (side == 0 ? 1.0 : -1.0) * slope_error(sample.fit, margin);
                const double step = 0.01 * std::fabs(middle) + TINY;
                ends[side] = minimise(work.tilted.fit, middle - (side == 0 ? step : 0.0), middle + (side == 0 ? 0.0 : step),
                                      bound, work)
                                 .scale;
            }
            if (!(ends[0] < ends[1]) || !fold_by_sample(all, sample.fit, ends[0], ends[1], margin, work)) continue;
            const Fit& rest = work.rest.fit;
            if (tangent(rest, ends[0], work.scratch).slope > 0.0 || tangent(rest, ends[1], work.scratch).slope < 0.0)
                continue;
            return minimise(rest, ends[0], ends[1], bound, work);
        }
    }
    work.rest.copy(all);
    initial_bracket(work.rest.fit, first, last);
    return minimise(work.rest.fit, first, last, bound, work);
}

}  // namespace align
