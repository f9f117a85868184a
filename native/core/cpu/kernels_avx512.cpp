// AVX-512 (F, BW, DQ, VL): products of fp32. Compiled for that instruction set alone; see kernels_impl.h for
// what that forbids.
#include "core/cpu/kernels.h"

#if defined(__AVX512F__) && defined(__AVX512BW__)

#include "core/cpu/avx512.h"
#include "core/cpu/kernels_impl.h"

namespace {

struct Path : Tiles512 {
  using Element = float;
  static constexpr int64_t kGroup = 1, kDepthStep = 1;
  static constexpr bool kExpands = true;

  template <int kRows, typename From>
  [[gnu::noinline]] static void tile_of_rows(const float* a, int64_t lda, const From* b, int64_t depth,
                                             float* out) {
    __m512 sums[kRows][2];
#pragma GCC unroll 12
    for (int r = 0; r < kRows; ++r) sums[r][0] = sums[r][1] = _mm512_setzero_ps();
    for (int64_t k = 0; k < depth; ++k, b += 32) {
      fetch_ahead(b);
      if constexpr (sizeof(From) == sizeof(float)) fetch_ahead(b + 16);
      const __m512 b0 = Vec::load(b).v, b1 = Vec::load(b + 16).v;
#pragma GCC unroll 12
      for (int r = 0; r < kRows; ++r) {
        const __m512 x = _mm512_set1_ps(a[r * lda + k]);
        sums[r][0] = _mm512_fmadd_ps(x, b0, sums[r][0]);
        sums[r][1] = _mm512_fmadd_ps(x, b1, sums[r][1]);
      }
    }
#pragma GCC unroll 12
    for (int r = 0; r < kRows; ++r) {
      _mm512_storeu_ps(out + r * 32, sums[r][0]);
      _mm512_storeu_ps(out + r * 32 + 16, sums[r][1]);
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

constexpr Kernels kTable = Loops<Path>::table("avx512", Stored::kFp32);

}  // namespace

namespace electra::cpu {

const Kernels* avx512_kernels() { return &kTable; }

}  // namespace electra::cpu

#else

namespace electra::cpu {

const Kernels* avx512_kernels() { return nullptr; }

}  // namespace electra::cpu

#endif
