// AVX2 with FMA and F16C: products of fp32. Compiled for that instruction set alone; see kernels_impl.h for
// what that forbids.
#include "core/cpu/kernels.h"

#if defined(__AVX2__) && defined(__FMA__) && defined(__F16C__)

#include <immintrin.h>

#include "core/cpu/int8_impl.h"
#include "core/cpu/kernels_impl.h"

namespace {

struct Vec256 {
  static constexpr int64_t kLanes = 8;
  __m256 v;

  static __m256i mask(int64_t count) {
    const int n = static_cast<int>(count >= kLanes ? kLanes : count);
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
  }
  static __m256 widen(__m128i bf16) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(bf16), 16));
  }
  template <typename T>
  static __m128i some(const T* p, int64_t n) {
    uint16_t bits[kLanes] = {};
    __builtin_memcpy(bits, p, sizeof(T) * static_cast<size_t>(n));
    return _mm_loadu_si128((const __m128i*)bits);
  }

  static Vec256 all(float x) { return {_mm256_set1_ps(x)}; }
  static Vec256 load(const float* p) { return {_mm256_loadu_ps(p)}; }
  static Vec256 load(const float* p, int64_t n) {
    return n >= kLanes ? load(p) : Vec256{_mm256_maskload_ps(p, mask(n))};
  }
  static Vec256 load_or(const float* p, int64_t n, float other) {
    return n >= kLanes ? load(p)
                       : Vec256{_mm256_blendv_ps(_mm256_set1_ps(other), _mm256_maskload_ps(p, mask(n)),
                                                 _mm256_castsi256_ps(mask(n)))};
  }
  static Vec256 load(const Fp16* p) { return {_mm256_cvtph_ps(_mm_loadu_si128((const __m128i*)p))}; }
  static Vec256 load(const Fp16* p, int64_t n) {
    return n >= kLanes ? load(p) : Vec256{_mm256_cvtph_ps(some(p, n))};
  }
  static Vec256 load(const Bf16* p) { return {widen(_mm_loadu_si128((const __m128i*)p))}; }
  static Vec256 load(const Bf16* p, int64_t n) { return n >= kLanes ? load(p) : Vec256{widen(some(p, n))}; }

  static Vec256 load(const int32_t* p) { return {_mm256_cvtepi32_ps(_mm256_loadu_si256((const __m256i*)p))}; }

  // Whole numbers from 0 to 255; what is beyond them is clamped.
  void store_u8(uint8_t* p) const {
    const __m256i whole = _mm256_cvtps_epi32(v);
    const __m128i words = _mm_packs_epi32(_mm256_castsi256_si128(whole), _mm256_extracti128_si256(whole, 1));
    _mm_storel_epi64((__m128i*)p, _mm_packus_epi16(words, words));
  }
  void store(float* p) const { _mm256_storeu_ps(p, v); }
  void store(float* p, int64_t n) const {
    if (n >= kLanes) {
      store(p);
    } else {
      _mm256_maskstore_ps(p, mask(n), v);
    }
  }

  friend Vec256 operator+(Vec256 a, Vec256 b) { return {_mm256_add_ps(a.v, b.v)}; }
  friend Vec256 operator-(Vec256 a, Vec256 b) { return {_mm256_sub_ps(a.v, b.v)}; }
  friend Vec256 operator*(Vec256 a, Vec256 b) { return {_mm256_mul_ps(a.v, b.v)}; }
  friend Vec256 operator/(Vec256 a, Vec256 b) { return {_mm256_div_ps(a.v, b.v)}; }
  static Vec256 fma(Vec256 a, Vec256 b, Vec256 c) { return {_mm256_fmadd_ps(a.v, b.v, c.v)}; }
  static Vec256 fnma(Vec256 a, Vec256 b, Vec256 c) { return {_mm256_fnmadd_ps(a.v, b.v, c.v)}; }
  static Vec256 min(Vec256 a, Vec256 b) { return {_mm256_min_ps(a.v, b.v)}; }
  static Vec256 max(Vec256 a, Vec256 b) { return {_mm256_max_ps(a.v, b.v)}; }
  static Vec256 round(Vec256 a) {
    return {_mm256_round_ps(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)};
  }
  // a * 2^n, for the n that exp gives: normal numbers.
  static Vec256 scale(Vec256 a, Vec256 n) {
    const __m256i exponent =
        _mm256_slli_epi32(_mm256_add_epi32(_mm256_cvtps_epi32(n.v), _mm256_set1_epi32(127)), 23);
    return {_mm256_mul_ps(a.v, _mm256_castsi256_ps(exponent))};
  }
  // a < b ? x : y
  static Vec256 where_less(Vec256 a, Vec256 b, Vec256 x, Vec256 y) {
    return {_mm256_blendv_ps(y.v, x.v, _mm256_cmp_ps(a.v, b.v, _CMP_LT_OQ))};
  }
  // The first n, and 0 for the rest.
  Vec256 first(int64_t n) const { return {_mm256_and_ps(v, _mm256_castsi256_ps(mask(n)))}; }
  float sum() const {
    __m128 half = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    half = _mm_add_ps(half, _mm_movehl_ps(half, half));
    return _mm_cvtss_f32(_mm_add_ss(half, _mm_movehdup_ps(half)));
  }
  float highest() const {
    __m128 half = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    half = _mm_max_ps(half, _mm_movehl_ps(half, half));
    return _mm_cvtss_f32(_mm_max_ss(half, _mm_movehdup_ps(half)));
  }
};

// Four elements as one float, so that the compiler broadcasts them from memory and not through a register.
using Four [[gnu::may_alias, gnu::aligned(1)]] = float;

// 6 x 2 sums, two vectors of the panel and one broadcast: 15 of 16 registers.
struct Path {
  using Vec = Vec256;
  using Element = float;
  static constexpr int64_t kTileRows = 6, kPanelVecs = 2, kGroup = 1, kDepthStep = 1;
  static constexpr bool kExpands = true;

  template <int kRows, typename From>
  [[gnu::noinline]] static void tile_of_rows(const float* a, int64_t lda, const From* b, int64_t depth,
                                             float* out) {
    __m256 sums[kRows][2];
#pragma GCC unroll 12
    for (int r = 0; r < kRows; ++r) sums[r][0] = sums[r][1] = _mm256_setzero_ps();
    for (int64_t k = 0; k < depth; ++k, b += 16) {
      fetch_ahead(b);
      const __m256 b0 = Vec::load(b).v, b1 = Vec::load(b + 8).v;
#pragma GCC unroll 12
      for (int r = 0; r < kRows; ++r) {
        const __m256 x = _mm256_broadcast_ss(a + r * lda + k);
        sums[r][0] = _mm256_fmadd_ps(x, b0, sums[r][0]);
        sums[r][1] = _mm256_fmadd_ps(x, b1, sums[r][1]);
      }
    }
#pragma GCC unroll 12
    for (int r = 0; r < kRows; ++r) {
      _mm256_storeu_ps(out + r * 16, sums[r][0]);
      _mm256_storeu_ps(out + r * 16 + 8, sums[r][1]);
    }
  }

  template <typename From>
  static void tile(int64_t rows, const float* a, int64_t lda, const From* b, int64_t depth, float* out,
                   bool) {
    tile_of<Path>(rows, a, lda, b, depth, out);
  }
  static void begin() {}
  static void end() {}
};

constexpr Kernels kTable = Loops<Path>::table("avx2", Stored::kFp32);

// Two products are added in 16 bits before they are widened, so weights have 7 bits: 2 x 255 x 63 is below
// 32768.
struct Int8Path {
  using Vec = Vec256;
  static constexpr int64_t kTileRows = 6, kPanelVecs = 2, kDepthStep = 4, kMost = 63;
  static constexpr bool kStoresBf16 = false;

  template <int kRows>
  [[gnu::noinline]] static void tile_of_rows(const uint8_t* a, int64_t lda, const int8_t* b, int64_t depth,
                                             int32_t* out) {
    const __m256i ones = _mm256_set1_epi16(1);
    // One vector of the panel after the other: the sums of both, and what is on its way to them, are too
    // many.
    for (int half = 0; half < 2; ++half, b += 32, out += 8) {
      __m256i sums[kRows];
#pragma GCC unroll 12
      for (int r = 0; r < kRows; ++r) sums[r] = _mm256_setzero_si256();
      const int8_t* weights = b;
      for (int64_t k = 0; k < depth; k += 4, weights += 64) {
        fetch_ahead(weights);
        const __m256i w = _mm256_loadu_si256((const __m256i*)weights);
#pragma GCC unroll 12
        for (int r = 0; r < kRows; ++r) {
          const auto* four = reinterpret_cast<const Four*>(a + r * lda + k);
          const __m256i x = _mm256_castps_si256(_mm256_set1_ps(*four));
          sums[r] = _mm256_add_epi32(sums[r], _mm256_madd_epi16(_mm256_maddubs_epi16(x, w), ones));
        }
      }
#pragma GCC unroll 12
      for (int r = 0; r < kRows; ++r) _mm256_storeu_si256((__m256i*)(out + r * 16), sums[r]);
    }
  }

  static void tile(int64_t rows, const uint8_t* a, int64_t lda, const int8_t* b, int64_t depth, int32_t* out,
                   bool) {
    tile_of<Int8Path>(rows, a, lda, b, depth, out);
  }
  static void begin() {}
  static void end() {}
};

constexpr Int8Kernels kInt8Table = Int8Loops<Int8Path>::table("avx2_int8");

}  // namespace

namespace electra::cpu {

const Kernels* avx2_kernels() { return &kTable; }
const Int8Kernels* avx2_int8_kernels() { return &kInt8Table; }

}  // namespace electra::cpu

#else

namespace electra::cpu {

const Kernels* avx2_kernels() { return nullptr; }
const Int8Kernels* avx2_int8_kernels() { return nullptr; }

}  // namespace electra::cpu

#endif
