// Products of int8, once, for whatever vectors and tiles a path has; under the rules of kernels_impl.h.
#pragma once

#include "core/cpu/kernels_impl.h"

namespace {

// Products of int8 for a path that has
//   Vec, kTileRows, kPanelVecs, kDepthStep (a multiple of kGroup, 4), kMost; kStoresBf16: whether Vec does
//   tile(rows, a, lda, b, depth, out, first)    out[rows][panel] = sums of unsigned a times signed b
//   begin(), end()
template <typename P>
struct Int8Loops {
  using Vec = typename P::Vec;
  static constexpr int64_t kLanes = Vec::kLanes, kGroup = 4;
  static constexpr int64_t kPanel = P::kPanelVecs * kLanes;

  // A block of quantized rows, then what belongs to each: its scale and its zero.
  struct Block {
    int64_t ld, rows, scales, zeros, total;
    explicit Block(int64_t depth) {
      // Not a power of two, or rows would fall on the same few lines of the cache.
      ld = round_up(depth, P::kDepthStep) + 64;
      rows = block_rows(ld, P::kTileRows);
      scales = round_up(rows * ld, 64);
      zeros = scales + round_up(rows * static_cast<int64_t>(sizeof(float)), 64);
      total = zeros + round_up(rows * static_cast<int64_t>(sizeof(float)), 64);
    }
  };
  static int64_t scratch(int64_t depth) { return Block(depth).total; }

  template <typename In>
  static void quantize(const In* x, int64_t depth, uint8_t* u, float& scale, float& zero) {
    Vec least = Vec::all(0.0f), most = Vec::all(0.0f);
    for (int64_t i = 0; i < depth; i += kLanes) {
      const Vec value = Vec::load(x + i, depth - i);
      least = Vec::min(least, value);
      most = Vec::max(most, value);
    }
    const float low = (Vec::all(0.0f) - least).highest(), high = most.highest();
    const float range = low + high;
    // A row of zeros, or one that is no number, keeps a scale that divides.
    scale = range > 0 ? range / 255.0f : 1.0f;
    const Vec inverse = Vec::all(1.0f / scale), shift = Vec::round(Vec::all(low / scale));
    zero = shift.highest();
    for (int64_t i = 0; i < depth; i += kLanes) {
      (Vec::round(Vec::load(x + i, depth - i) * inverse) + shift).store_u8(u + i);
    }
  }

  template <typename In, typename Out>
  static void gemm_of(const Gemm& g, const In* a, Out* out) {
    const Weights& w = *g.weights;
    const Block block(w.depth);
    const int64_t depth = round_up(w.depth, P::kDepthStep);
    auto* quantized = reinterpret_cast<uint8_t*>(g.scratch);
    auto* scales = reinterpret_cast<float*>(g.scratch + block.scales);
    auto* zeros = reinterpret_cast<float*>(g.scratch + block.zeros);
    alignas(64) int32_t sums[P::kTileRows * kPanel];
    for (int64_t first = 0; first < g.rows; first += block.rows) {
      const int64_t rows = least(block.rows, g.rows - first);
      for (int64_t i = 0; i < rows; ++i) {
        quantize(a + (first + i) * g.lda, w.depth, quantized + i * block.ld, scales[i], zeros[i]);
      }
      for (int64_t p = g.first_panel; p < g.end_panel; ++p) {
        const auto* b = reinterpret_cast<const int8_t*>(w.panels) + p * depth * kPanel;
        const int64_t left = p * kPanel, cols = least(kPanel, w.cols - left);
        for (int64_t row = 0; row < rows;) {
          const int64_t count = tile_rows(rows - row, P::kTileRows);
          P::tile(count, quantized + row * block.ld, block.ld, b, depth, sums, row == 0);
          const auto value = [&](int64_t i, int64_t col) {
            const Vec sum = Vec::load(sums + i * kPanel + col);
            const Vec of_zero = Vec::all(zeros[row + i]) * Vec::load(w.sums + left + col);
            const Vec scale = Vec::all(scales[row + i]) * Vec::load(w.scales + left + col);
            return Vec::fma(sum - of_zero, scale, Vec::load(w.bias + left + col));
          };
          finish<Vec>(g.act, value, count, cols, out + (first + row) * g.ldo + left, g.ldo);
          row += count;
        }
      }
    }
  }

  template <typename In>
  static void gemm_from(const Gemm& g) {
    const auto* a = static_cast<const In*>(g.a);
    if (g.out_fp32) {
      gemm_of(g, a, static_cast<float*>(g.out));
    } else {
      gemm_of(g, a, static_cast<In*>(g.out));
    }
  }

  static void gemm(const Gemm& g, Stored activations) {
    P::begin();
    if constexpr (P::kStoresBf16) {
      if (activations == Stored::kBf16) {
        gemm_from<Bf16>(g);
        P::end();
        return;
      }
    }
    if (activations == Stored::kFp32) gemm_from<float>(g);
    P::end();
  }

  static constexpr Int8Kernels table(const char* name) {
    return {name, kPanel, kGroup, P::kDepthStep, P::kMost, gemm, scratch};
  }
};

}  // namespace
