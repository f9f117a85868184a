// Vectors of 16 floats, and the tiles that suit 32 registers of them, for files that are compiled for
// AVX-512; under the rules of kernels_impl.h.
#pragma once

#include <immintrin.h>

#include "core/cpu/kernels_impl.h"

namespace {

struct Vec512 {
  static constexpr int64_t kLanes = 16;
  __m512 v;

  static __mmask16 mask(int64_t count) {
    return count >= kLanes ? static_cast<__mmask16>(0xffff) : static_cast<__mmask16>((1u << count) - 1u);
  }
  static __m512 widen(__m256i bf16) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bf16), 16));
  }

  static Vec512 all(float x) { return {_mm512_set1_ps(x)}; }
  static Vec512 load(const float* p) { return {_mm512_loadu_ps(p)}; }
  static Vec512 load(const float* p, int64_t n) { return {_mm512_maskz_loadu_ps(mask(n), p)}; }
  static Vec512 load_or(const float* p, int64_t n, float other) {
    return {_mm512_mask_loadu_ps(_mm512_set1_ps(other), mask(n), p)};
  }
  static Vec512 load(const Fp16* p) { return {_mm512_cvtph_ps(_mm256_loadu_si256((const __m256i*)p))}; }
  static Vec512 load(const Fp16* p, int64_t n) {
    return {_mm512_cvtph_ps(_mm256_maskz_loadu_epi16(mask(n), p))};
  }
  static Vec512 load(const Bf16* p) { return {widen(_mm256_loadu_si256((const __m256i*)p))}; }
  static Vec512 load(const Bf16* p, int64_t n) { return {widen(_mm256_maskz_loadu_epi16(mask(n), p))}; }

  static Vec512 load(const int32_t* p) { return {_mm512_cvtepi32_ps(_mm512_loadu_si512(p))}; }

  // Whole numbers from 0 to 255; what is beyond them is clamped.
  void store_u8(uint8_t* p) const {
    const __m512i whole = _mm512_max_epi32(_mm512_cvtps_epi32(v), _mm512_setzero_si512());
    _mm_storeu_si128((__m128i*)p, _mm512_cvtusepi32_epi8(whole));
  }
  void store(float* p) const { _mm512_storeu_ps(p, v); }
  void store(float* p, int64_t n) const { _mm512_mask_storeu_ps(p, mask(n), v); }
  // To the nearest, of two equally near the even one.
  __m256i narrowed() const {
#if defined(__AVX512BF16__)
    return (__m256i)_mm512_cvtneps_pbh(v);
#else
    const __m512i bits = _mm512_castps_si512(v);
    const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
    const __m512i rounded = _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
    return _mm512_cvtepi32_epi16(_mm512_srli_epi32(rounded, 16));
#endif
  }
  void store(Bf16* p) const { _mm256_storeu_si256((__m256i*)p, narrowed()); }
  void store(Bf16* p, int64_t n) const { _mm256_mask_storeu_epi16(p, mask(n), narrowed()); }

  friend Vec512 operator+(Vec512 a, Vec512 b) { return {_mm512_add_ps(a.v, b.v)}; }
  friend Vec512 operator-(Vec512 a, Vec512 b) { return {_mm512_sub_ps(a.v, b.v)}; }
  friend Vec512 operator*(Vec512 a, Vec512 b) { return {_mm512_mul_ps(a.v, b.v)}; }
  friend Vec512 operator/(Vec512 a, Vec512 b) { return {_mm512_div_ps(a.v, b.v)}; }
  static Vec512 fma(Vec512 a, Vec512 b, Vec512 c) { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }
  static Vec512 fnma(Vec512 a, Vec512 b, Vec512 c) { return {_mm512_fnmadd_ps(a.v, b.v, c.v)}; }
  static Vec512 min(Vec512 a, Vec512 b) { return {_mm512_min_ps(a.v, b.v)}; }
  static Vec512 max(Vec512 a, Vec512 b) { return {_mm512_max_ps(a.v, b.v)}; }
  static Vec512 round(Vec512 a) {
    return {_mm512_roundscale_ps(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)};
  }
  static Vec512 scale(Vec512 a, Vec512 n) { return {_mm512_scalef_ps(a.v, n.v)}; }
  // a < b ? x : y
  static Vec512 where_less(Vec512 a, Vec512 b, Vec512 x, Vec512 y) {
    return {_mm512_mask_blend_ps(_mm512_cmp_ps_mask(a.v, b.v, _CMP_LT_OQ), y.v, x.v)};
  }
  // The first n, and 0 for the rest.
  Vec512 first(int64_t n) const { return {_mm512_maskz_mov_ps(mask(n), v)}; }
  float sum() const { return _mm512_reduce_add_ps(v); }
  float highest() const { return _mm512_reduce_max_ps(v); }
};

// 12 x 2 sums, two vectors of the panel and one broadcast: 27 of 32 registers.
struct Tiles512 {
  using Vec = Vec512;
  static constexpr int64_t kTileRows = 12, kPanelVecs = 2;
};

}  // namespace
