// The truncated L1 fit with a shift by branch and bound; the same method as bench/geometry/align/truncated.py, which says
// how it works.
#pragma once
#include <random>

#include "align_outside.hpp"
#include "align_sample.hpp"

namespace align {

// A box of (s, t) with the rows whose terms are not folded yet: they lie in a stack shared by all boxes, a channel at a
// time.
struct Box {
    double scale[2], low[MAX_CHANNELS], high[MAX_CHANNELS];
    double slope, constant, tilt[MAX_CHANNELS], bound;
    int64_t start[MAX_CHANNELS], count[MAX_CHANNELS], end;
};

struct Incumbent {
    double scale, shift[MAX_CHANNELS], value;
};

class Truncated {
public:
    static constexpr double BOX_COST = 200.0;
    static constexpr int TRIES = 128;  // random pairs of points that a start is sought among

    Truncated(const Fit& all, double truncation, Workspace& work) : all_(all), tau_(truncation), work_(work) {}

    // The best point and the lower bound reached once `limit` rows have been looked at (a box counts as BOX_COST more).
    Incumbent solve(double limit, double& bound) {
        start();
        slack_ = 32 * EPS * magnitude();
        double outside;
        push_root(scale_range(all_, tau_, best_.scale, best_.value, outside));
        double closed = INF;
        for (double spent = 0.0; !stack_.empty() && spent < limit;) {
            Box box = stack_.back();
            stack_.pop_back();
            if (box.bound < goal()) {
                spent += BOX_COST;
                for (int c = 0; c < all_.channels; ++c) spent += static_cast<double>(box.count[c]);
                examine(box);
            }
            if (box.bound >= goal() || !split(box)) closed = std::min(closed, box.bound);
        }
        for (const Box& box : stack_) closed = std::min(closed, box.bound);
        bound = std::min(closed, outside);
        return best_;
    }

    double objective(double s, const double* t) const {
        double total = 0.0;
        for (int c = 0; c < all_.channels; ++c) {
            const Channel& rows = all_.channel[c];
            double sums[1];
            sum_rows<1>(rows.n, sums, [&](int64_t i, double* sum) {
                sum[0] = std::min(tau_, rows.w[i] * std::fabs(s * rows.p[i] + t[c] - rows.q[i]));
            });
            total += sums[0];
        }
        return total;
    }

private:
    double goal() const { return best_.value - 0.9e-9 * best_.value - slack_; }  // a box whose bound reaches it is closed

    double magnitude() const {
        double total = 0.0;
        for (int c = 0; c < all_.channels; ++c) {
            const Channel& rows = all_.channel[c];
            double sums[1];
            sum_rows<1>(rows.n, sums, [&](int64_t i, double* sum) {
                sum[0] =
                    rows.w[i] * (std::fabs(best_.scale * rows.p[i]) + std::fabs(best_.shift[c]) + std::fabs(rows.q[i]));
            });
            total += sums[0];
        }
        return total;
    }

    void offer(const Tangent& at) {
        const double value = objective(at.scale, at.shift);
        if (!(value < best_.value)) return;
        best_.scale = at.scale, best_.value = value;
        std::copy(at.shift, at.shift + MAX_CHANNELS, best_.shift);
    }

    // The untruncated fit or the best one through two random points, whichever is better once refitted to its inliers.
    void start() {
        double bound;
        best_.value = INF;
        const Incumbent pair = through_two_points();
        offer(minimise_all(all_, bound, work_));
        refit();
        const Incumbent plain = best_;
        best_ = pair;
        refit();
        if (plain.value <= best_.value) best_ = plain;
    }

    Incumbent through_two_points() const {
        std::mt19937_64 random(1);  // its numbers are the same everywhere
        const uint64_t n = static_cast<uint64_t>(all_.channel[0].n), stride = std::max<uint64_t>(1, n / 512);
        Incumbent best{};
        double least = INF;
        for (int k = 0; k < TRIES; ++k) {
            const uint64_t i = random() % n, j = random() % n;
            double run = 0.0, rise = 0.0;
            for (int c = 0; c < all_.channels; ++c) {
                const Channel& rows = all_.channel[c];
                const double step = rows.p[i] - (rows.shifted ? rows.p[j] : 0.0);
                if (std::fabs(step) > std::fabs(run)) run = step, rise = rows.q[i] - (rows.shifted ? rows.q[j] : 0.0);
            }
            if (run == 0.0) continue;
            Incumbent now{rise / run, {}, 0.0};
            for (int c = 0; c < all_.channels; ++c) {
                const Channel& rows = all_.channel[c];
                const double t = now.shift[c] = rows.shifted ? rows.q[i] - now.scale * rows.p[i] : 0.0;
                for (uint64_t r = 0; r < n; r += stride)
                    now.value += std::min(tau_, rows.w[r] * std::fabs(now.scale * rows.p[r] + t - rows.q[r]));
            }
            if (now.value < least) least = now.value, best = now;
        }
        best.value = objective(best.scale, best.shift);
        return best;
    }

    // Fits to the rows that are not truncated, again and again while they get better.
    void refit() {
        for (int round = 0; round < 20; ++round) {
            work_.rest.copy(all_);
            Fit& fit = work_.rest.fit;
            bool determined = false;
            for (int c = 0; c < fit.channels; ++c) {
                Channel& rows = fit.channel[c];
                int64_t kept = 0;
                for (int64_t i = 0; i < rows.n; ++i) {
                    const double p = rows.p[i], q = rows.q[i], w = rows.w[i];
                    rows.p[kept] = p, rows.q[kept] = q, rows.w[kept] = w;
                    kept += w * std::fabs(best_.scale * p + best_.shift[c] - q) < tau_;
                }
                rows.n = kept;
                for (int64_t i = 0; i < kept; ++i) determined |= rows.p[i] != rows.p[0];
            }
            if (!determined) return;
            double bound;
            const double before = best_.value, step = 0.01 * std::fabs(best_.scale);
            offer(minimise(fit, best_.scale - step, best_.scale + step, bound, work_));
            if (!(best_.value < before)) return;
        }
    }

    void push_root(double reach) {
        Box box{};
        box.scale[0] = -reach, box.scale[1] = reach;
        rows_.clear();
        for (int c = 0; c < all_.channels; ++c) {
            const Channel& rows = all_.channel[c];
            box.start[c] = static_cast<int64_t>(rows_.size()), box.count[c] = rows.n;
            double low = INF, high = -INF;
            for (int64_t i = 0; i < rows.n; ++i) {
                const double spread = reach * std::fabs(rows.p[i]) + tau_ / rows.w[i];
                low = std::min(low, rows.q[i] - spread), high = std::max(high, rows.q[i] + spread);
                rows_.push_back({rows.p[i], rows.q[i], rows.w[i]});
            }
            if (rows.shifted) box.low[c] = low, box.high[c] = high;
        }
        box.end = static_cast<int64_t>(rows_.size());
        stack_.push_back(box);
        size_w_ = weight_of(all_.channel[0]), size_p_ = size_q_ = 0.0;
        for (const Row& row : rows_) size_p_ += row.w * std::fabs(row.p), size_q_ += row.w * std::fabs(row.q);
    }

    // What rounding may add to a bound: a part of the magnitudes that cancel in it. Only in boxes of huge scales is it
    // felt.
    double rounding(const Box& box) const {
        const double most_scale = std::max(std::fabs(box.scale[0]), std::fabs(box.scale[1]));
        double size = most_scale * size_p_ + size_q_;
        for (int c = 0; c < all_.channels; ++c) size += size_w_ * std::max(std::fabs(box.low[c]), std::fabs(box.high[c]));
        return 8 * EPS * size;
    }

    // Folds the box's rows that are constant or linear in it, builds the convex relaxation of the others, and raises the
    // box's bound.
    void examine(Box& box) {
        Fit& relaxed = work_.rest.fit;
        relaxed = Fit{};
        relaxed.channels = all_.channels;
        int64_t total = 0;
        for (int c = 0; c < all_.channels; ++c) total += box.count[c];
        if (static_cast<int64_t>(rows_.size()) < box.end + total) rows_.resize(box.end + total);
        work_.rest.memory.resize(3 * (total + 2 * MAX_CHANNELS));
        double* next = work_.rest.memory.data();
        int64_t top = box.end, bent = 0, cut = 0;
        double line_slope[2] = {}, line_value[2] = {};
        const double middle = 0.5 * (box.scale[0] + box.scale[1]), half = 0.5 * (box.scale[1] - box.scale[0]);
        for (int c = 0; c < all_.channels; ++c) {
            const double low = box.low[c], high = box.high[c];
            Channel& convex = relaxed.channel[c];
            convex.shifted = all_.channel[c].shifted;
            convex.p = next, convex.q = next + box.count[c] + 2, convex.w = next + 2 * (box.count[c] + 2);
            next += 3 * (box.count[c] + 2);
            double line_tilt[2] = {};
            const int64_t start = box.start[c], count = box.count[c];
            box.start[c] = top;
            for (int64_t i = start; i < start + count; ++i) {
                const Row row = rows_[i];
                const double p = row.p, q = row.q, w = row.w, a = box.scale[0] * p, b = box.scale[1] * p;
                const double least = std::min(a, b) + low - q, most = std::max(a, b) + high - q;
                if (w * least >= tau_ || w * most <= -tau_) {
                    box.constant += tau_;
                    continue;
                }
                const bool inside = w * most <= tau_ && w * least >= -tau_;
                if (inside && (least >= 0.0 || most <= 0.0)) {
                    const double slope = least >= 0.0 ? w : -w;
                    box.slope += slope * p, box.tilt[c] += slope, box.constant -= slope * q;
                    continue;
                }
                rows_[top++] = row;
                if (least >= 0.0 || most <= 0.0) {  // a chord from end to end
                    const double from = std::min(w * std::fabs(least), tau_), to = std::min(w * std::fabs(most), tau_);
                    const double slope = (to - from) / (most - least);
                    relaxed.slope += slope * p, convex.tilt += slope, relaxed.constant += from - slope * (least + q);
                    ++cut;
                    continue;
                }
                const double up = std::min(w, tau_ / most), down = std::min(w, tau_ / -least), tilt = 0.5 * (up - down);
                relaxed.slope += tilt * p, convex.tilt += tilt, relaxed.constant -= tilt * q;
                const double weight = 0.5 * (up + down);
                convex.p[convex.n] = p, convex.q[convex.n] = q, convex.w[convex.n] = weight;
                ++convex.n;
                inside ? ++bent : ++cut;
                // Two lines below the V, for a cheap bound: its arm at the middle of the box, and one that leans like the
                // range.
                const double centre = 0.5 * (least + most),
                             lines[2] = {weight * sign(centre), weight * centre / (0.5 * (most - least))};
                for (int k = 0; k < 2; ++k)
                    line_slope[k] += lines[k] * p, line_tilt[k] += lines[k], line_value[k] -= lines[k] * q;
            }
            box.count[c] = top - box.start[c];
            convex.tilt += box.tilt[c];
            for (int k = 0; k < 2; ++k) {
                const double tilt = convex.tilt + line_tilt[k];
                line_value[k] += tilt * 0.5 * (low + high) - std::fabs(tilt) * 0.5 * (high - low);
            }
        }
        box.end = top;
        relaxed.slope += box.slope, relaxed.constant += box.constant;
        const double error = rounding(box);
        for (int k = 0; k < 2; ++k) {
            const double slope = relaxed.slope + line_slope[k];
            box.bound =
                std::max(box.bound, relaxed.constant + line_value[k] + slope * middle - std::fabs(slope) * half - error);
        }
        if (box.bound < goal() && bent > 0 && (2 * cut <= bent || bent + cut < 400)) {
            double bound;
            const Tangent at = minimise_in(box, relaxed, bound);
            box.bound = std::max(box.bound, bound - error);
            offer(at);
        }
    }

    // The relaxation's minimum over the box; two heavy rows hold each shift in its range.
    Tangent minimise_in(const Box& box, Fit fit, double& bound) {
        for (int c = 0; c < fit.channels; ++c) {
            Channel& rows = fit.channel[c];
            if (!rows.shifted) continue;
            const double heavy = weight_of(rows) + std::fabs(rows.tilt) + TINY;
            for (const double edge : {box.low[c], box.high[c]})
                rows.p[rows.n] = 0.0, rows.q[rows.n] = edge, rows.w[rows.n++] = heavy;
            fit.constant -= heavy * (box.high[c] - box.low[c]);
        }
        const Tangent first = tangent(fit, box.scale[0], work_.scratch);
        if (first.slope >= 0.0) return bound = first.value, first;
        const Tangent last = tangent(fit, box.scale[1], work_.scratch);
        if (last.slope <= 0.0) return bound = last.value, last;
        return minimise(fit, box.scale[0], box.scale[1], bound, work_);
    }

    // Pushes both halves across the side that the open rows feel most, the incumbent's half last. False where it is too
    // thin to halve.
    bool split(const Box& box) {
        double felt_scale = 0.0, felt[MAX_CHANNELS] = {};
        for (int c = 0; c < all_.channels; ++c) {
            for (int64_t i = box.start[c]; i < box.start[c] + box.count[c]; ++i)
                felt_scale += rows_[i].w * std::fabs(rows_[i].p), felt[c] += rows_[i].w;
            felt[c] *= box.high[c] - box.low[c];
        }
        felt_scale *= box.scale[1] - box.scale[0];
        int side = -1;
        for (int c = 0; c < all_.channels; ++c)
            if (felt[c] > (side < 0 ? felt_scale : felt[side])) side = c;
        Box lower = box, upper = box;
        double &top = side < 0 ? lower.scale[1] : lower.high[side], &bottom = side < 0 ? upper.scale[0] : upper.low[side];
        const double middle = 0.5 * (top + bottom), incumbent = side < 0 ? best_.scale : best_.shift[side];
        if (!(bottom < middle && middle < top)) return false;
        top = bottom = middle;
        stack_.push_back(incumbent <= middle ? upper : lower);
        stack_.push_back(incumbent <= middle ? lower : upper);
        return true;
    }

    struct Row {
        double p, q, w;
    };
    const Fit& all_;
    const double tau_;
    Workspace& work_;
    Incumbent best_{};
    double slack_ = 0.0, size_w_ = 0.0, size_p_ = 0.0, size_q_ = 0.0;
    std::vector<Row> rows_;
    std::vector<Box> stack_;
};

}  // namespace align
