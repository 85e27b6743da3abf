// Beyond which scale no truncated fit can beat a given value.
#pragma once
#include "align_line.hpp"

namespace align {

// The rows of a shifted channel with one and the same prediction p. For a scale s with side * s >= S, one of them escapes
// truncation only if t / s is in [low[side] / S - p, high[side] / S - p], and together they save at most `saving` against
// all being truncated.
struct Cluster {
    double p, saving, low[2], high[2];
};

inline std::vector<Cluster> clusters_of(const Channel& rows, double tau) {
    std::vector<int64_t> order(rows.n);
    for (int64_t i = 0; i < rows.n; ++i) order[i] = i;
    std::sort(order.begin(), order.end(), [&](int64_t a, int64_t b) { return rows.p[a] < rows.p[b]; });
    std::vector<Cluster> found;
    Line line;
    for (int64_t first = 0, last; first < rows.n; first = last) {
        Cluster cluster{rows.p[order[first]], tau, {INF, INF}, {-INF, -INF}};
        line.clear();
        for (last = first; last < rows.n && rows.p[order[last]] == cluster.p; ++last) {
            const double q = rows.q[order[last]], w = rows.w[order[last]], reach = tau / w;
            line.add(1.0, q, w);
            for (int side = 0; side < 2; ++side) {
                const double moved = side == 0 ? q : -q;
                cluster.low[side] = std::min(cluster.low[side], std::min(moved, 0.0) - reach);
                cluster.high[side] = std::max(cluster.high[side], std::max(moved, 0.0) + reach);
            }
        }
        if (last - first > 1) {
            const double t = minimise_truncated_line(line, tau);
            cluster.saving = 0.0;
            for (size_t i = 0; i < line.zero.size(); ++i)
                cluster.saving += std::max(0.0, tau - line.slope[i] * std::fabs(t - line.zero[i]));
        }
        found.push_back(cluster);
    }
    return found;
}

// The most that clusters with a common t / s save together, for side * s >= reach.
inline double joint_saving(const std::vector<Cluster>& clusters, double reach, int side) {
    std::vector<std::pair<double, double>> low, high;
    for (const Cluster& cluster : clusters) {
        low.emplace_back(cluster.low[side] / reach - cluster.p, cluster.saving);
        high.emplace_back(cluster.high[side] / reach - cluster.p, cluster.saving);
    }
    std::sort(low.begin(), low.end());
    std::sort(high.begin(), high.end());
    double most = 0.0, now = 0.0;
    for (size_t i = 0, gone = 0; i < low.size(); ++i) {
        now += low[i].second;
        while (high[gone].first < low[i].first) now -= high[gone++].second;
        most = std::max(most, now);
    }
    return most;
}

// S such that no scale with |s| >= S beats `bound`, which reaches `value`, or else what the fit tends to for |s| to
// infinity, where all but one cluster are truncated: there is always an optimum with a finite scale that is as good.
inline double scale_range(const Fit& all, double tau, double scale, double value, double& bound) {
    std::vector<Cluster> clusters[MAX_CHANNELS];
    double size_p = 0.0, size_q = 0.0, limit = 0.0;
    for (int c = 0; c < all.channels; ++c) {
        const Channel& rows = all.channel[c];
        for (int64_t i = 0; i < rows.n; ++i) {
            size_p += rows.w[i] * std::fabs(rows.p[i]), size_q += rows.w[i] * std::fabs(rows.q[i]);
            limit += rows.shifted || rows.p[i] != 0.0 ? tau : std::min(tau, rows.w[i] * std::fabs(rows.q[i]));
        }
        if (!rows.shifted) continue;
        clusters[c] = clusters_of(rows, tau);
        double most = 0.0;
        for (const Cluster& cluster : clusters[c]) most = std::max(most, cluster.saving);
        limit -= most;
    }
    const double goal = std::min(value, limit) * (1 - 1e-12);
    double reach = 2 * std::fabs(scale) + 2 * size_q / size_p + TINY;
    for (;; reach *= 2) {
        bound = INF;
        for (int side = 0; side < 2; ++side) {
            double total = 0.0;
            for (int c = 0; c < all.channels; ++c) {
                const Channel& rows = all.channel[c];
                if (rows.shifted) {
                    total += tau * static_cast<double>(rows.n) - joint_saving(clusters[c], reach, side);
                    continue;
                }
                for (int64_t i = 0; i < rows.n; ++i) {
                    const double edge = (side == 0 ? rows.q[i] : -rows.q[i]) / reach, margin = tau / (rows.w[i] * reach),
                                 p = rows.p[i];
                    if (p == 0.0) total += std::min(tau, rows.w[i] * std::fabs(rows.q[i]));
                    else if (std::min(edge, 0.0) - margin > p || std::max(edge, 0.0) + margin < p) total += tau;
                }
            }
            bound = std::min(bound, total);
        }
        if (bound >= goal || !std::isfinite(2 * reach)) return reach;
    }
}

}  // namespace align
