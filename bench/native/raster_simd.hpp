// Short vectors through the vector extensions of GCC and Clang, as wide as the build's instruction set.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

namespace raster {

#if defined(__AVX512F__) || defined(__AVX2__)
constexpr int kLanes = 8;  // not 16 with AVX-512: most splats are narrower than 8 pixels, wider vectors would idle
#else
constexpr int kLanes = 4;
#endif

typedef float Vector __attribute__((vector_size(4 * kLanes)));
typedef int32_t Integers __attribute__((vector_size(4 * kLanes)));  // of a comparison: 0 false, -1 true, per lane
typedef uint32_t Bits __attribute__((vector_size(4 * kLanes)));

inline Vector load(const float* from) {
    Vector value;
    std::memcpy(&value, from, sizeof value);
    return value;
}

inline Integers load(const int32_t* from) {
    Integers value;
    std::memcpy(&value, from, sizeof value);
    return value;
}

inline void store(float* to, Vector value) { std::memcpy(to, &value, sizeof value); }
inline void store(int32_t* to, Integers value) { std::memcpy(to, &value, sizeof value); }

inline Vector spread(float value) { return Vector{} + value; }
inline Integers spread(int32_t value) { return Integers{} + value; }

inline Integers lane_numbers() {
    Integers lanes;
    for (int32_t i = 0; i < kLanes; ++i) lanes[i] = i;
    return lanes;
}

inline Vector to_float(Integers value) { return __builtin_convertvector(value, Vector); }

/// Towards zero; the value must be in the range of the integers.
inline Integers truncated(Vector value) { return __builtin_convertvector(value, Integers); }

inline Integers ceiling(Vector value) {
    const Integers whole = truncated(value);
    return whole - (to_float(whole) < value);  // true is -1
}

inline Integers floored(Vector value) {
    const Integers whole = truncated(value);
    return whole + (to_float(whole) > value);
}

inline Vector least(Vector a, Vector b) { return a < b ? a : b; }
inline Vector greatest(Vector a, Vector b) { return a > b ? a : b; }

/// The value brought into [low, high]; NaN becomes low.
inline Vector within(Vector value, float low, float high) {
    const Vector above = value > low ? value : spread(low);
    return above < high ? above : spread(high);
}

/// -|value|.
inline Vector negative(Vector value) {
    Bits bits;
    std::memcpy(&bits, &value, sizeof bits);
    bits |= 0x80000000u;
    std::memcpy(&value, &bits, sizeof value);
    return value;
}

inline Vector square_root(Vector value) {
    Vector root;
    for (int i = 0; i < kLanes; ++i) root[i] = std::sqrt(value[i]);
    return root;
}

/// Whether a comparison holds in any lane.
inline bool any(Integers truth) {
#ifdef __AVX2__
    Vector signs;
    std::memcpy(&signs, &truth, sizeof signs);
    return __builtin_ia32_movmskps256(signs) != 0;
#else
    uint64_t words[kLanes / 2], all = 0;
    std::memcpy(words, &truth, sizeof words);
    for (const uint64_t word : words) all |= word;
    return all != 0;
#endif
}

/// Sum of the lanes in double precision, always in the same order.
inline double sum(Vector value) {
    double total = 0;
    for (int i = 0; i < kLanes; ++i) total += static_cast<double>(value[i]);
    return total;
}

/// 2^x for -126 <= x <= 1, relative error below 3e-7; outside, a meaningless number without side effects.
/// The polynomial is the minimax fit of 2^f on [-1/2, 1/2]; the integer part goes into the exponent's bits.
inline Vector power_of_two(Vector x) {
    const float shift = 12582912.0f;  // 1.5 * 2^23: adding it rounds to whole numbers, left in the low bits
    const Vector shifted = x + shift;
    const Vector f = x - (shifted - shift);
    Vector p = spread(1.3333558e-3f);
    p = p * f + 9.6181291e-3f;
    p = p * f + 5.5504109e-2f;
    p = p * f + 2.4022651e-1f;
    p = p * f + 6.9314718e-1f;
    p = p * f + 1.0f;
    Bits whole, bits;
    std::memcpy(&whole, &shifted, sizeof whole);
    std::memcpy(&bits, &p, sizeof bits);
    bits += whole << 23;  // unsigned: wraps where a signed shift of a negative number would be undefined
    std::memcpy(&p, &bits, sizeof p);
    return p;
}

typedef float Four __attribute__((vector_size(16)));

#if defined(__clang__) || __GNUC__ >= 12
#define RASTER_SHUFFLE(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
typedef int32_t FourIntegers __attribute__((vector_size(16)));
#define RASTER_SHUFFLE(a, b, ...) __builtin_shuffle(a, b, FourIntegers{__VA_ARGS__})
#endif

/// The four sums of the lanes of four vectors of four.
inline Four sums_of_fours(const Four* part) {
    const Four low = RASTER_SHUFFLE(part[0], part[1], 0, 4, 1, 5) + RASTER_SHUFFLE(part[0], part[1], 2, 6, 3, 7);
    const Four high = RASTER_SHUFFLE(part[2], part[3], 0, 4, 1, 5) + RASTER_SHUFFLE(part[2], part[3], 2, 6, 3, 7);
    return RASTER_SHUFFLE(low, high, 0, 1, 4, 5) + RASTER_SHUFFLE(low, high, 2, 3, 6, 7);
}

#undef RASTER_SHUFFLE

/// The four sums of the lanes of four vectors. Adding while transposing takes a third of the additions of four single sums.
inline Four sums_of(const Vector* vectors) {
    Four part[4];
    for (int i = 0; i < 4; ++i) {
        Four quarters[kLanes / 4];
        std::memcpy(quarters, &vectors[i], sizeof quarters);
        part[i] = quarters[0];
        for (int q = 1; q < kLanes / 4; ++q) part[i] += quarters[q];
    }
    return sums_of_fours(part);
}

}  // namespace raster
