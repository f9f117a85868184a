// AVX512-BF16: products of bf16 with sums in fp32. Compiled for that instruction set alone; see
// kernels_impl.h for what that forbids.
#include "core/cpu/kernels.h"

#if defined(__AVX512BF16__)

#include "core/cpu/avx512.h"
#include "core/cpu/kernels_impl.h"

namespace {

// Two elements as one float, so that the compiler broadcasts them from memory and not through a register.
using Pair [[gnu::may_alias, gnu::aligned(2)]] = float;

// `kFetch`: of tiles that one panel is multiplied with one after the other only the first fetches it ahead.
// In the others that would take some 2 % of the time (with fp32 and int8 it does not, and all fetch).
template <bool kFetch>
struct Tile : Tiles512 {
  template <int kRows>
  [[gnu::noinline]] static void tile_of_rows(const Bf16* a, int64_t lda, const Bf16* b, int64_t depth,
                                             float* out) {
    __m512 sums[kRows][2];
#pragma GCC unroll 12
    for (int r = 0; r < kRows; ++r) sums[r][0] = sums[r][1] = _mm512_setzero_ps();
    for (int64_t k = 0; k < depth; k += 2, b += 64) {
      if constexpr (kFetch) {
        fetch_ahead(b);
        fetch_ahead(b + 32);
      }
      const auto b0 = (__m512bh)_mm512_loadu_si512(b), b1 = (__m512bh)_mm512_loadu_si512(b + 32);
#pragma GCC unroll 12
      for (int r = 0; r < kRows; ++r) {
        const auto x = (__m512bh)_mm512_set1_ps(*reinterpret_cast<const Pair*>(a + r * lda + k));
        sums[r][0] = _mm512_dpbf16_ps(sums[r][0], x, b0);
        sums[r][1] = _mm512_dpbf16_ps(sums[r][1], x, b1);
      }
    }
#pragma GCC unroll 12
    for (int r = 0; r < kRows; ++r) {
      _mm512_storeu_ps(out + r * 32, sums[r][0]);
      _mm512_storeu_ps(out + r * 32 + 16, sums[r][1]);
    }
  }
};

struct Path : Tiles512 {
  using Element = Bf16;
  static constexpr int64_t kGroup = 2, kDepthStep = 2;
  static constexpr bool kExpands = false;

  static void tile(int64_t rows, const Bf16* a, int64_t lda, const Bf16* b, int64_t depth, float* out,
                   bool first) {
    if (first) {
      tile_of<Tile<true>>(rows, a, lda, b, depth, out);
    } else {
      tile_of<Tile<false>>(rows, a, lda, b, depth, out);
    }
  }
  static void begin() {}
  static void end() {}
};

constexpr Kernels kTable = Loops<Path>::table("avx512_bf16", Stored::kBf16);

}  // namespace

namespace electra::cpu {

const Kernels* avx512_bf16_kernels() { return &kTable; }

}  // namespace electra::cpu

#else

namespace electra::cpu {

const Kernels* avx512_bf16_kernels() { return nullptr; }

}  // namespace electra::cpu

#endif
