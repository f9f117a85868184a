// AVX512-VNNI: products of int8. Compiled for that instruction set alone; see kernels_impl.h for what that
// forbids.
#include "core/cpu/kernels.h"

#if defined(__AVX512VNNI__)

#include "core/cpu/avx512.h"
#include "core/cpu/int8_impl.h"
#include "core/cpu/kernels_impl.h"

namespace {

// Four elements as one float, so that the compiler broadcasts them from memory and not through a register.
using Four [[gnu::may_alias, gnu::aligned(1)]] = float;

struct Path : Tiles512 {
  static constexpr int64_t kDepthStep = 4, kMost = 127;
  static constexpr bool kStoresBf16 = true;

  template <int kRows>
  [[gnu::noinline]] static void tile_of_rows(const uint8_t* a, int64_t lda, const int8_t* b, int64_t depth,
                                             int32_t* out) {
    __m512i sums[kRows][2];
#pragma GCC unroll 12
    for (int r = 0; r < kRows; ++r) sums[r][0] = sums[r][1] = _mm512_setzero_si512();
    for (int64_t k = 0; k < depth; k += 4, b += 128) {
      fetch_ahead(b);
      fetch_ahead(b + 64);
      const __m512i b0 = _mm512_loadu_si512(b), b1 = _mm512_loadu_si512(b + 64);
#pragma GCC unroll 12
      for (int r = 0; r < kRows; ++r) {
        const __m512i x =
            _mm512_castps_si512(_mm512_set1_ps(*reinterpret_cast<const Four*>(a + r * lda + k)));
        sums[r][0] = _mm512_dpbusd_epi32(sums[r][0], x, b0);
        sums[r][1] = _mm512_dpbusd_epi32(sums[r][1], x, b1);
      }
    }
#pragma GCC unroll 12
    for (int r = 0; r < kRows; ++r) {
      _mm512_storeu_si512(out + r * 32, sums[r][0]);
      _mm512_storeu_si512(out + r * 32 + 16, sums[r][1]);
    }
  }

  static void tile(int64_t rows, const uint8_t* a, int64_t lda, const int8_t* b, int64_t depth, int32_t* out,
                   bool) {
    tile_of<Path>(rows, a, lda, b, depth, out);
  }
  static void begin() {}
  static void end() {}
};

constexpr Int8Kernels kTable = Int8Loops<Path>::table("avx512_vnni");

}  // namespace

namespace electra::cpu {

const Int8Kernels* avx512_vnni_kernels() { return &kTable; }

}  // namespace electra::cpu

#else

namespace electra::cpu {

const Int8Kernels* avx512_vnni_kernels() { return nullptr; }

}  // namespace electra::cpu

#endif
