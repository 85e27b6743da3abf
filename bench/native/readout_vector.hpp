// Short vectors of floats through the vector extensions of GCC and Clang, as wide as the build's instruction set.
#pragma once

#include <cstdint>
#include <cstring>

namespace readout {

#if defined(__AVX512F__)
constexpr int kLanes = 16;
constexpr bool kManyRegisters = true;
#elif defined(__AVX__)
constexpr int kLanes = 8;
constexpr bool kManyRegisters = false;
#else
constexpr int kLanes = 4;
#if defined(__aarch64__)
constexpr bool kManyRegisters = true;
#else
constexpr bool kManyRegisters = false;
#endif
#endif

typedef float Vector __attribute__((vector_size(4 * kLanes)));

inline Vector load(const float* from) {
    Vector value;
    std::memcpy(&value, from, sizeof value);
    return value;
}

inline void store(float* to, Vector value) { std::memcpy(to, &value, sizeof value); }

inline Vector spread(float value) { return value - Vector{}; }  // value + 0 would cost an addition: it turns -0 into 0

inline void add_to(float* to, Vector value) { store(to, load(to) + value); }

/// ReLU; a NaN stays one.
inline Vector positive_part(Vector value) { return value < 0.0f ? Vector{} : value; }

inline Vector where_positive(Vector condition, Vector value) { return condition > 0.0f ? value : Vector{}; }

/// Sum of the lanes, always in the same order.
inline float sum(Vector value) {
    float lanes[kLanes];
    store(lanes, value);
    typedef float Four __attribute__((vector_size(16)));
    Four total{};
    for (int part = 0; part < kLanes; part += 4) {
        Four four;
        std::memcpy(&four, lanes + part, sizeof four);
        total += four;
    }
    return (total[0] + total[2]) + (total[1] + total[3]);
}

}  // namespace readout
