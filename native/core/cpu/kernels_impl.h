// The kernels, once, for whatever vectors and products a path has. Each kernels_*.cpp defines those and
// includes this file; it is compiled for its own instruction set, so nothing here may come from an inline
// function that other files share: the linker could keep the copy that this CPU cannot run.
//
// A path P has
//   Vec           kLanes floats: load, load of fewer, store, store of fewer, arithmetic
//   Element       of activations: float, or Bf16
//   kTileRows, kPanelVecs, kGroup, and kDepthStep: elements of the depth that one step takes; kExpands
//   tile(rows, a, lda, b, depth, out, first)
//                 out[rows][panel] = sums over the depth, a multiple of kDepthStep; b is a panel of Element
//                 or, where kExpands, of what a float is read from; first: of those that this panel is
//                 multiplied with one after the other, so that b is still to come from memory
//   begin(), end() around all products of one call
#pragma once

#include <immintrin.h>

#include <cstring>

#include "core/cpu/activations_impl.h"
#include "core/cpu/kernels.h"

namespace {

using namespace electra::cpu;

struct Bf16 {
  uint16_t bits;
};
struct Fp16 {
  uint16_t bits;
};

// How far ahead of a product the weights are fetched: a page, which the hardware's own prefetching ends at.
constexpr int64_t kAhead = 4096;

inline void fetch_ahead(const void* weights) {
  _mm_prefetch(static_cast<const char*>(weights) + kAhead, _MM_HINT_T0);
}

inline int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
inline int64_t round_up(int64_t value, int64_t step) { return (value + step - 1) / step * step; }

// out[rows, cols of one panel] = act(value(row, col)), where `value` gives a vector of them.
template <typename Vec, Act act, typename Value, typename Out>
inline void finish_as(const Value& value, int64_t rows, int64_t cols, Out* out, int64_t ldo) {
  for (int64_t row = 0; row < rows; ++row, out += ldo) {
    for (int64_t col = 0; col < cols; col += Vec::kLanes) {
      const Vec x = activate<act, sizeof(Out) == sizeof(Bf16)>(value(row, col));
      if (cols - col >= Vec::kLanes) {
        x.store(out + col);
      } else {
        x.store(out + col, cols - col);
      }
    }
  }
}

template <typename Vec, typename Value, typename Out>
inline void finish(Act act, const Value& value, int64_t rows, int64_t cols, Out* out, int64_t ldo) {
  switch (act) {
#define ELECTRA_ACT(name) \
  case Act::name:         \
    return finish_as<Vec, Act::name>(value, rows, cols, out, ldo);
    ELECTRA_ACT(kNone)
    ELECTRA_ACT(kGelu)
    ELECTRA_ACT(kGelu10)
    ELECTRA_ACT(kGeluTanh)
    ELECTRA_ACT(kHardswish)
    ELECTRA_ACT(kLeakyRelu)
    ELECTRA_ACT(kMish)
    ELECTRA_ACT(kQuickGelu)
    ELECTRA_ACT(kRelu)
    ELECTRA_ACT(kRelu2)
    ELECTRA_ACT(kRelu6)
    ELECTRA_ACT(kSigmoid)
    ELECTRA_ACT(kSilu)
    ELECTRA_ACT(kTanh)
#undef ELECTRA_ACT
  }
}

// Rows of a tile, so that tiles of one block are of like height: 16 rows are 8 + 8, not 12 + 4.
inline int64_t tile_rows(int64_t rows_left, int64_t most) {
  const int64_t tiles = (rows_left + most - 1) / most;
  return (rows_left + tiles - 1) / tiles;
}

// Rows of activations that are multiplied with one panel after the other before the next rows are: as many as
// stay in the second-level cache beside a panel.
inline int64_t block_rows(int64_t row_bytes, int64_t tile_rows) {
  constexpr int64_t kBytes = 192 << 10;
  const int64_t fitting = kBytes / row_bytes;
  return fitting < 4 * tile_rows ? 4 * tile_rows : fitting / tile_rows * tile_rows;
}

// The tile of as many rows, where each height is compiled by itself.
template <typename P, int kRows = 1, typename A, typename B, typename Sum>
inline void tile_of(int64_t rows, const A* a, int64_t lda, const B* b, int64_t depth, Sum* out) {
  if (rows == kRows) {
    P::template tile_of_rows<kRows>(a, lda, b, depth, out);
  } else if constexpr (kRows < P::kTileRows) {
    tile_of<P, kRows + 1>(rows, a, lda, b, depth, out);
  }
}

template <typename P>
struct Loops {
  using Vec = typename P::Vec;
  using Element = typename P::Element;
  static constexpr int64_t kLanes = Vec::kLanes;
  static constexpr int64_t kPanel = P::kPanelVecs * kLanes;
  static constexpr int64_t kGroup = P::kGroup;
  static constexpr int64_t kDepthStep = P::kDepthStep;
  static constexpr int64_t kTileRows = P::kTileRows;

  // out[rows, cols of one panel]
  template <typename From, typename Out>
  static void panel_product(const Element* a, int64_t lda, int64_t rows, const From* b, int64_t depth,
                            int64_t cols, const float* bias, Act act, Out* out, int64_t ldo) {
    alignas(64) float sums[kTileRows * kPanel];
    for (int64_t row = 0; row < rows;) {
      const int64_t count = tile_rows(rows - row, kTileRows);
      P::tile(count, a + row * lda, lda, b, depth, sums, row == 0);
      const auto value = [&](int64_t i, int64_t col) {
        return Vec::load(sums + i * kPanel + col) + Vec::load(bias + col);
      };
      finish<Vec>(act, value, count, cols, out + row * ldo, ldo);
      row += count;
    }
  }

  template <typename From, typename Out>
  static void gemm_of(const Gemm& g, Out* out) {
    const Weights& w = *g.weights;
    const int64_t depth = round_up(w.depth, kDepthStep);
    const int64_t step = block_rows(w.depth * static_cast<int64_t>(sizeof(Element)), kTileRows);
    const auto* a = static_cast<const Element*>(g.a);
    for (int64_t row = 0; row < g.rows; row += step) {
      const int64_t rows = least(step, g.rows - row);
      for (int64_t p = g.first_panel; p < g.end_panel; ++p) {
        const From* b = reinterpret_cast<const From*>(w.panels) + p * depth * kPanel;
        const int64_t col = p * kPanel;
        panel_product(a + row * g.lda, g.lda, rows, b, depth, least(kPanel, w.cols - col), w.bias + col,
                      g.act, out + row * g.ldo + col, g.ldo);
      }
    }
  }

  template <typename Out>
  static void gemm_to(const Gemm& g, Out* out) {
    if constexpr (P::kExpands) {
      if (g.weights->stored == Stored::kFp16) return gemm_of<Fp16>(g, out);
      if (g.weights->stored == Stored::kBf16) return gemm_of<Bf16>(g, out);
    }
    gemm_of<Element>(g, out);
  }

  static void gemm(const Gemm& g) {
    P::begin();
    if (g.out_fp32) {
      gemm_to(g, static_cast<float*>(g.out));
    } else {
      gemm_to(g, static_cast<Element*>(g.out));
    }
    P::end();
  }

  // Mean and variance in two passes over a row that lies in the first-level cache.
  static void norm(const Norm& n) {
    const auto size = static_cast<float>(n.size);
    for (int64_t row = 0; row < n.rows; ++row) {
      const float* y = n.y + row * n.ldy;
      float* x = n.x + row * n.ldx;
      Vec sum = Vec::all(0.0f);
      for (int64_t i = 0; i < n.size; i += kLanes) {
        const int64_t count = n.size - i;
        Vec value = Vec::load(y + i, count);
        if (n.residual) value = value + Vec::load(x + i, count);
        value.store(x + i, count);
        sum = sum + value;
      }
      const Vec mean = Vec::all(sum.sum() / size);
      Vec squares = Vec::all(0.0f);
      for (int64_t i = 0; i < n.size; i += kLanes) {
        const Vec off = (Vec::load(x + i, n.size - i) - mean).first(n.size - i);
        squares = Vec::fma(off, off, squares);
      }
      const Vec scale = Vec::all(1.0f / __builtin_sqrtf(squares.sum() / size + n.eps));
      Element* a = n.a == nullptr ? nullptr : static_cast<Element*>(n.a) + row * n.lda;
      for (int64_t i = 0; i < n.size; i += kLanes) {
        const int64_t count = n.size - i;
        const Vec value = Vec::fma((Vec::load(x + i, count) - mean) * scale, Vec::load(n.weight + i, count),
                                   Vec::load(n.bias + i, count));
        value.store(x + i, count);
        if (a != nullptr) value.store(a + i, count);
      }
    }
  }

  // Rows of queries that are scored together.
  static constexpr int64_t kQueries = 4 * kTileRows;

  struct Scratch {
    int64_t keys, values, scores, probabilities, bias, total;  // byte offsets
    Scratch(int64_t length, int64_t head_size) {
      const auto bytes = [](int64_t count, size_t size) {
        return round_up(count * static_cast<int64_t>(size), 64);
      };
      const int64_t padded = round_up(round_up(length, kPanel), kDepthStep);
      keys = 0;
      values = keys + bytes(padded * round_up(head_size, kDepthStep), sizeof(Element));
      scores = values + bytes(padded * round_up(head_size, kPanel), sizeof(Element));
      probabilities = scores + bytes(kQueries * padded, sizeof(float));
      bias = probabilities + bytes(kQueries * padded, sizeof(Element));
      total = bias + bytes(kPanel, sizeof(float));
    }
  };

  static int64_t attend_scratch(int64_t length, int64_t head_size) {
    return Scratch(length, head_size).total;
  }

  // softmax(q k^T / sqrt(head_size)) v, the queries by blocks.
  static void attend(const Attend& t) {
    const Scratch at(t.length, t.head_size);
    auto* keys = reinterpret_cast<Element*>(t.scratch + at.keys);
    auto* values = reinterpret_cast<Element*>(t.scratch + at.values);
    auto* scores = reinterpret_cast<float*>(t.scratch + at.scores);
    auto* probabilities = reinterpret_cast<Element*>(t.scratch + at.probabilities);
    auto* no_bias = reinterpret_cast<float*>(t.scratch + at.bias);
    std::memset(no_bias, 0, kPanel * sizeof(float));
    const auto* query = static_cast<const Element*>(t.query);
    auto* out = static_cast<Element*>(t.out);

    const int64_t padded = round_up(round_up(t.length, kPanel), kDepthStep);
    const int64_t key_depth = round_up(t.head_size, kDepthStep);
    const int64_t value_depth = round_up(t.length, kDepthStep);
    pack_keys(query + t.hidden, t.ld, t.length, t.head_size, keys);
    pack_values(query + 2 * t.hidden, t.ld, t.length, t.head_size, values);
    const float scale = 1.0f / __builtin_sqrtf(static_cast<float>(t.head_size));
    P::begin();
    for (int64_t row = 0; row < t.queries; row += kQueries) {
      const int64_t rows = least(kQueries, t.queries - row);
      for (int64_t key = 0; key < t.length; key += kPanel) {
        panel_product(query + row * t.ld, t.ld, rows, keys + key * key_depth, key_depth, kPanel, no_bias,
                      Act::kNone, scores + key, padded);
      }
      for (int64_t i = 0; i < rows; ++i) {
        softmax(scores + i * padded, t.length, value_depth, scale, probabilities + i * padded);
      }
      for (int64_t col = 0; col < t.head_size; col += kPanel) {
        panel_product(probabilities, padded, rows, values + col * value_depth, value_depth,
                      least(kPanel, t.head_size - col), no_bias, Act::kNone, out + row * t.ldo + col, t.ldo);
      }
    }
    P::end();
  }

  // Keys as the panels of a weight: columns are keys, the depth is the head's size.
  static void pack_keys(const Element* k, int64_t ld, int64_t length, int64_t head_size, Element* out) {
    const int64_t depth = round_up(head_size, kDepthStep), whole = head_size / kGroup * kGroup;
    for (int64_t first = 0; first < length; first += kPanel, out += depth * kPanel) {
      const int64_t cols = least(kPanel, length - first);
      if (cols < kPanel || whole < depth)
        std::memset(out, 0, static_cast<size_t>(depth * kPanel) * sizeof(Element));
      for (int64_t col = 0; col < cols; ++col) {
        const Element* key = k + (first + col) * ld;
        Element* to = out + col * kGroup;
        for (int64_t i = 0; i < whole; i += kGroup)
          std::memcpy(to + i * kPanel, key + i, kGroup * sizeof(Element));
        if (whole < head_size) to[whole * kPanel] = key[whole];
      }
    }
  }

  // Values as the panels of a weight: columns are the head's elements, the depth is the row's length.
  static void pack_values(const Element* v, int64_t ld, int64_t length, int64_t head_size, Element* out) {
    const int64_t depth = round_up(length, kDepthStep);
    for (int64_t first = 0; first < head_size; first += kPanel, out += depth * kPanel) {
      const int64_t cols = least(kPanel, head_size - first);
      if (cols < kPanel || length < depth)
        std::memset(out, 0, static_cast<size_t>(depth * kPanel) * sizeof(Element));
      for (int64_t i = 0; i < length; i += kGroup) {
        const Element* from = v + i * ld + first;
        Element* to = out + i * kPanel;
        if (length - i >= kGroup) {
          interleave(from, ld, cols, to);
        } else {
          for (int64_t col = 0; col < cols; ++col) to[col * kGroup] = from[col];
        }
      }
    }
  }

  // kGroup rows of `cols` elements as one.
  static void interleave(const Element* from, int64_t ld, int64_t cols, Element* to) {
    if constexpr (kGroup == 1) {
      std::memcpy(to, from, static_cast<size_t>(cols) * sizeof(Element));
    } else {
      static_assert(kGroup == 2 && sizeof(Element) == sizeof(uint16_t));
      const Element* next = from + ld;
      for (int64_t col = 0; col < cols; ++col) {
        const uint32_t both = from[col].bits | static_cast<uint32_t>(next[col].bits) << 16;
        std::memcpy(to + col * 2, &both, sizeof both);
      }
    }
  }

  // Shifted by the largest score; what fills up the last group is 0.
  static void softmax(float* scores, int64_t length, int64_t padded, float scale, Element* out) {
    Vec highest = Vec::all(-3.4e38f);
    for (int64_t i = 0; i < length; i += kLanes) {
      highest = Vec::max(highest, Vec::load_or(scores + i, length - i, -3.4e38f));
    }
    const Vec shift = Vec::all(highest.highest()), factor = Vec::all(scale);
    Vec sum = Vec::all(0.0f);
    for (int64_t i = 0; i < length; i += kLanes) {
      const Vec e = exp((Vec::load(scores + i, length - i) - shift) * factor).first(length - i);
      e.store(scores + i);
      sum = sum + e;
    }
    const Vec share = Vec::all(1.0f / sum.sum());
    for (int64_t i = 0; i < length; i += kLanes) (Vec::load(scores + i) * share).store(out + i);
    for (int64_t i = length; i < padded; ++i) out[i] = Element{};
  }

  static Vec look_up(const Table& table, int64_t row, int64_t size, int64_t i) {
    const int64_t at = row * size + i, count = size - i;
    switch (table.stored) {
      case Stored::kFp32:
        return Vec::load(static_cast<const float*>(table.rows) + at, count);
      case Stored::kFp16:
        return Vec::load(static_cast<const Fp16*>(table.rows) + at, count);
      case Stored::kBf16:
        return Vec::load(static_cast<const Bf16*>(table.rows) + at, count);
      case Stored::kInt8:
        break;
    }
    return Vec::all(0.0f);
  }

  static void embed(const Embed& e) {
    for (int64_t token = 0; token < e.tokens; ++token) {
      const int64_t type = e.type_ids == nullptr ? 0 : e.type_ids[token];
      float* y = e.y + token * e.ldy;
      for (int64_t i = 0; i < e.size; i += kLanes) {
        const Vec sum = look_up(e.words, e.ids[token], e.size, i) + look_up(e.types, type, e.size, i) +
                        look_up(e.positions, e.first_position + token, e.size, i);
        sum.store(y + i, e.size - i);
      }
    }
  }

  static constexpr Kernels table(const char* name, Stored activations) {
    return {name, activations, kPanel, kGroup, kDepthStep,    P::kExpands,
            gemm, norm,        attend, embed,  attend_scratch};
  }
};

}  // namespace
