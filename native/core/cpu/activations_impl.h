// exp and what activations are made of, for vectors of any width; included by kernels_impl.h, under its
// rules.
#pragma once

#include "core/cpu/kernels.h"

namespace {

using electra::cpu::Act;

// exp(x), 1 ulp or so: 2^n with n the nearest integer of x log2(e), times a polynomial for the rest.
template <typename V>
inline V exp(V x) {
  x = V::max(V::min(x, V::all(88.0f)), V::all(-87.0f));
  const V n = V::round(x * V::all(1.44269504f));
  V r = V::fnma(n, V::all(0.693359375f), x);
  r = V::fnma(n, V::all(-2.12194440e-4f), r);
  V p = V::all(1.9875691500e-4f);
  p = V::fma(p, r, V::all(1.3981999507e-3f));
  p = V::fma(p, r, V::all(8.3334519073e-3f));
  p = V::fma(p, r, V::all(4.1665795894e-2f));
  p = V::fma(p, r, V::all(1.6666665459e-1f));
  p = V::fma(p, r, V::all(5.0000001201e-1f));
  p = V::fma(p, r * r, r + V::all(1.0f));
  return V::scale(p, n);
}

template <typename V>
inline V sigmoid(V x) {
  return V::all(1.0f) / (V::all(1.0f) + exp(V::all(0.0f) - x));
}

// 1 - 2 / (exp(2x) + 1); near 0 that loses the digits of x, so there the series.
template <typename V>
inline V tanh(V x) {
  const V square = x * x;
  V p = V::all(-17.0f / 315.0f);
  p = V::fma(p, square, V::all(2.0f / 15.0f));
  p = V::fma(p, square, V::all(-1.0f / 3.0f));
  const V near = V::fma(p * square, x, x);
  const V far = V::all(1.0f) - V::all(2.0f) / (exp(x + x) + V::all(1.0f));
  return V::where_less(square, V::all(0.04f), near, far);
}

// x Phi(x) = x / 2 (1 + erf(x / sqrt 2)), where erf(x / sqrt 2) / x is a polynomial in x^2 on [-end, end] and
// erf is 1 or -1 beyond. `fit` is in powers of u = 2 (x / end)^2 - 1, the highest first.
template <typename V, int kTerms>
inline V gelu_by(V x, float end, const float (&fit)[kTerms]) {
  const V inside = V::max(V::min(x, V::all(end)), V::all(-end));
  const V u = V::fma(inside * inside, V::all(2.0f / (end * end)), V::all(-1.0f));
  V p = V::all(fit[0]);
#pragma GCC unroll 16
  for (int i = 1; i < kTerms; ++i) p = V::fma(p, u, V::all(fit[i]));
  const V half = x * V::all(0.5f);
  return V::fma(half, p * inside, half);
}

// Off by less than 1e-6 (fitted on Chebyshev nodes) or, where bf16 is what it is stored in, by less than 1e-4
// (the least that so many terms can be off by, found by linear programming): a tenth of what bf16 rounds off
// near 1.
template <bool kNarrow, typename V>
inline V gelu(V x) {
  constexpr float kFit[] = {1.037007223e-03f, -2.722326210e-03f, 2.178704000e-03f, -2.506321288e-03f,
                            8.301508707e-03f, -1.529310404e-02f, 2.104748730e-02f, -2.937440754e-02f,
                            4.053982153e-02f, -5.221635177e-02f, 6.416907033e-02f, -7.757551863e-02f,
                            9.547365929e-02f, -1.283449183e-01f, 2.571038761e-01f};
  constexpr float kNarrowFit[] = {-8.292086404e-03f, 2.411653798e-02f, -3.430432962e-02f, 4.836345303e-02f,
                                  -7.645866593e-02f, 1.117205201e-01f, -1.617179165e-01f, 3.318666050e-01f};
  if constexpr (kNarrow) return gelu_by(x, 4.25f, kNarrowFit);
  return gelu_by(x, 5.5f, kFit);
}

// `kNarrow`: the result is stored as bf16.
template <Act act, bool kNarrow, typename V>
inline V activate(V x) {
  const V zero = V::all(0.0f), six = V::all(6.0f);
  if constexpr (act == Act::kGelu) return gelu<kNarrow>(x);
  if constexpr (act == Act::kGelu10) return V::max(V::min(gelu<kNarrow>(x), V::all(10.0f)), V::all(-10.0f));
  if constexpr (act == Act::kGeluTanh) {
    const V inner = x * V::fma(x * x, V::all(0.7978845608f * 0.044715f), V::all(0.7978845608f));
    const V half = x * V::all(0.5f);
    return V::fma(half, tanh(inner), half);
  }
  if constexpr (act == Act::kHardswish) {
    return x * V::max(V::min(x + V::all(3.0f), six), zero) * V::all(1.0f / 6.0f);
  }
  if constexpr (act == Act::kLeakyRelu) return V::max(x, x * V::all(0.01f));
  if constexpr (act == Act::kMish) {
    // tanh(log(1 + e)) = (e^2 + 2e) / (e^2 + 2e + 2); from 20 on it is 1.
    const V e = exp(V::min(x, V::all(20.0f)));
    const V n = V::fma(e, e, e + e);
    return x * (n / (n + V::all(2.0f)));
  }
  if constexpr (act == Act::kQuickGelu) return x * sigmoid(x * V::all(1.702f));
  if constexpr (act == Act::kRelu) return V::max(x, zero);
  if constexpr (act == Act::kRelu2) {
    const V positive = V::max(x, zero);
    return positive * positive;
  }
  if constexpr (act == Act::kRelu6) return V::max(V::min(x, six), zero);
  if constexpr (act == Act::kSigmoid) return sigmoid(x);
  if constexpr (act == Act::kSilu) return x * sigmoid(x);
  if constexpr (act == Act::kTanh) return tanh(x);
  return x;
}

}  // namespace
