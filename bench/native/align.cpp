// Weighted L1 alignment of many groups of rows in one call, in double precision: bench/geometry/align, which defines every
// answer, holds the same methods in NumPy.
#include "align_line.hpp"
#include "align_truncated.hpp"

#if defined(_WIN32)
#define EXPORT extern "C" __declspec(dllexport)
#else
#define EXPORT extern "C" __attribute__((visibility("default")))
#endif

namespace {
using namespace align;

constexpr double SMALL = 2e5;  // truncated problems that cost no more to enumerate are enumerated at once

// What Python makes of a group. code: 0, or why the rows do not determine the scale (problem.py, REASONS).
struct Answer {
    double scale, shift[MAX_CHANNELS], objective, bound, magnitude, code;
};

// An element near the median, so that equal and evenly spaced values stay so after it is subtracted.
double middle_element(const double* values, int64_t n, std::vector<double>& sample) {
    const int64_t step = std::max<int64_t>(1, n / 1000);
    sample.clear();
    for (int64_t i = 0; i < n; i += step) sample.push_back(values[i]);
    std::nth_element(sample.begin(), sample.begin() + sample.size() / 2, sample.end());
    return sample[sample.size() / 2];
}

int undetermined(const Fit& fit) {
    const int64_t n = fit.channel[0].n;
    bool shifted = false;
    for (int c = 0; c < fit.channels; ++c) {
        const Channel& rows = fit.channel[c];
        shifted |= rows.shifted;
        for (int64_t i = 0; i < n; ++i)
            if (rows.p[i] != (rows.shifted ? rows.p[0] : 0.0)) return 0;
    }
    return n == 0 ? 1 : (!shifted ? 4 : (n == 1 ? 2 : 3));
}

class Solver {
public:
    Solver(bool scaled, double truncation, double limit) : scaled_(scaled), tau_(truncation), limit_(limit) {}

    Answer solve(const double* p, const double* q, const double* w, int64_t stride, int64_t n, int channels,
                 const uint8_t* shifted) {
        Fit all;
        all.channels = channels;
        centred_.resize(2 * n * channels);
        double origin[MAX_CHANNELS] = {}, target[MAX_CHANNELS] = {};
        for (int c = 0; c < channels; ++c) {
            Channel& rows = all.channel[c];
            rows.n = n, rows.shifted = shifted[c] != 0,
            rows.w = const_cast<double*>(w);  // never written: `all` is copied first
            rows.p = centred_.data() + 2 * c * n, rows.q = rows.p + n;
            if (rows.shifted && n > 0)
                origin[c] = middle_element(p + c * stride, n, points_),
                target[c] = middle_element(q + c * stride, n, points_);
            for (int64_t i = 0; i < n; ++i)
                rows.p[i] = p[c * stride + i] - origin[c], rows.q[i] = q[c * stride + i] - target[c];
        }
        Answer answer{};
        const int code = scaled_ ? undetermined(all) : (n == 0 ? 1 : 0);
        answer.code = code;
        if (code != 0) return answer;
        const Tangent at = scaled_ ? scaled(all, answer.bound) : shift_only(all, answer.bound);
        answer.scale = at.scale;
        for (int c = 0; c < channels; ++c) {
            const Channel& rows = all.channel[c];
            const double tau = tau_ > 0.0 ? tau_ : INF, t = at.shift[c];
            double sums[2];
            sum_rows<2>(n, sums, [&](int64_t i, double* sum) {
                const double moved = at.scale * rows.p[i];
                sum[0] = std::min(tau, rows.w[i] * std::fabs(moved + t - rows.q[i]));
                sum[1] = rows.w[i] * (std::fabs(moved) + std::fabs(t) + std::fabs(rows.q[i]));
            });
            answer.objective += sums[0], answer.magnitude += sums[1];
            answer.shift[c] = rows.shifted ? t + target[c] - at.scale * origin[c] : 0.0;
        }
        return answer;
    }

private:
    Tangent scaled(const Fit& all, double& bound) {
        bool shifted = false;
        for (int c = 0; c < all.channels; ++c) shifted |= all.channel[c].shifted;
        Tangent at;
        bound = INF;
        if (!shifted) {
            line_.clear();
            line_.reserve(all.rows());
            for (int c = 0; c < all.channels; ++c)
                for (int64_t i = 0; i < all.channel[c].n; ++i)
                    line_.add(all.channel[c].p[i], all.channel[c].q[i], all.channel[c].w[i]);
            at.scale = tau_ > 0.0 ? minimise_truncated_line(line_, tau_) : minimise_line(line_, work_.scratch);
            return at;
        }
        if (!(tau_ > 0.0)) return minimise_all(all, bound, work_);
        const double cost = enumeration_cost(all);
        if (cost <= SMALL) return enumerate_truncated(all, tau_, points_);
        const Incumbent best = Truncated(all, tau_, work_).solve(std::min(limit_, cost), bound);
        if (cost <= limit_ && bound < best.value * (1 - 1e-9)) return bound = INF, enumerate_truncated(all, tau_, points_);
        at.scale = best.scale, at.value = best.value;
        std::copy(best.shift, best.shift + MAX_CHANNELS, at.shift);
        return at;
    }

    Tangent shift_only(const Fit& all, double& bound) {
        Tangent at;
        at.scale = 1.0, bound = INF;
        for (int c = 0; c < all.channels; ++c) {
            const Channel& rows = all.channel[c];
            if (!rows.shifted) continue;
            line_.clear();
            for (int64_t i = 0; i < rows.n; ++i) line_.add(1.0, rows.q[i] - rows.p[i], rows.w[i]);
            at.shift[c] = tau_ > 0.0 ? minimise_truncated_line(line_, tau_) : minimise_line(line_, work_.scratch);
        }
        return at;
    }

    const bool scaled_;
    const double tau_;
    const double limit_;
    Workspace work_;
    Line line_;
    std::vector<double> centred_, points_;
};

}  // namespace

// prediction, truth: (channels, rows); weight: (rows,) positive; group g is the rows offsets[g] up to offsets[g + 1].
// shifted: (channels,). truncation: 0 for none. limit: rows of boxes that a truncated fit may look at. answers: (groups,).
// Returns 0, or 1 where memory ran out.
EXPORT int align_groups(const double* prediction, const double* truth, const double* weight, int64_t rows,
                        const int64_t* offsets, int64_t groups, int32_t channels, const uint8_t* shifted, int32_t scaled,
                        double truncation, double limit, double* answers) {
    try {
        Solver solver(scaled != 0, truncation, limit);
        for (int64_t g = 0; g < groups; ++g) {
            const int64_t start = offsets[g];
            reinterpret_cast<Answer*>(answers)[g] = solver.solve(prediction + start, truth + start, weight + start, rows,
                                                                 offsets[g + 1] - start, channels, shifted);
        }
    } catch (...) {
        return 1;
    }
    return 0;
}
