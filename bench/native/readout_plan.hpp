// Which pixels are evaluated, in which order, and from which four patches each is interpolated.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

namespace readout {

/// Bilinear interpolation along one axis, align_corners=False: pixel i lies between the patches low[i] and low[i] + 1.
struct Axis {
    std::vector<int64_t> low;
    std::vector<float> fraction;

    Axis(int64_t size, int64_t patches) : low(size), fraction(size) {
        const float scale = static_cast<float>(patches) / static_cast<float>(size);
        const float last = static_cast<float>(patches - 1);
        for (int64_t i = 0; i < size; ++i) {
            const float source = std::min(std::max(scale * (static_cast<float>(i) + 0.5f) - 0.5f, 0.0f), last);
            low[i] = static_cast<int64_t>(source);
            fraction[i] = source - static_cast<float>(low[i]);
        }
    }
};

/// The pixels in the order of their cells. A cell is the square between four neighbouring patches; a band is a row of cells,
/// numbered image * h + y. Bands are the units of parallel work: the same for any number of threads.
struct Plan {
    std::vector<int64_t> band;  // where each band starts in the arrays below, and the end
    std::vector<int64_t> row;   // the pixel's row in the outputs
    std::vector<int64_t> cell;  // band * w + x
    std::vector<float> across, down;
    bool valid = true;

    /// pixels: flat indices into (images, height, width), or null for all of them.
    Plan(int64_t images, int64_t h, int64_t w, int64_t height, int64_t width, const int64_t* pixels, int64_t count)
        : band(images * h + 1), row(count), cell(count), across(count), down(count) {
        const Axis vertical(height, h), horizontal(width, w);
        const int64_t total = images * height * width;
        std::vector<int64_t> start(images * h * w + 1), cells(count);
        for (int64_t n = 0; n < count; ++n) {
            const int64_t pixel = pixels ? pixels[n] : n;
            if (pixel < 0 || pixel >= total) {
                valid = false;
                return;
            }
            const int64_t line = pixel / width, image = line / height;
            cells[n] = (image * h + vertical.low[line - image * height]) * w + horizontal.low[pixel - line * width];
            ++start[cells[n] + 1];
        }
        for (size_t i = 1; i < start.size(); ++i) start[i] += start[i - 1];
        for (size_t i = 0; i < band.size(); ++i) band[i] = start[i * w];
        for (int64_t n = 0; n < count; ++n) {
            const int64_t pixel = pixels ? pixels[n] : n, line = pixel / width;
            const int64_t at = start[cells[n]]++;
            row[at] = n;
            cell[at] = cells[n];
            across[at] = horizontal.fraction[pixel - line * width];
            down[at] = vertical.fraction[line % height];
        }
    }
};

}  // namespace readout
