// AMX's tiles in plain C++, so that the kernels which use them are tested on machines without them. Intel's
// manual, volume 2, gives the operations (TDPBF16PS, TILELOADD …).
#pragma once

#include <cstdint>
#include <cstdlib>
#include <cstring>

namespace emulated_amx {

struct Tile {
  alignas(64) unsigned char rows[16][64];
};
struct State {
  bool configured = false;
  uint16_t row_bytes[16];
  uint8_t row_count[16];
  Tile tiles[8];
};
inline thread_local State state;

// A use without a configuration faults on the processor.
inline void need_configuration() {
  if (!state.configured) std::abort();
}

inline float widened(uint16_t bf16) {
  const uint32_t bits = uint32_t{bf16} << 16;
  float value;
  std::memcpy(&value, &bits, sizeof(value));
  return value;
}

inline void loadconfig(const void* config) {
  const auto* bytes = static_cast<const unsigned char*>(config);
  std::memcpy(state.row_bytes, bytes + 16, sizeof(state.row_bytes));
  std::memcpy(state.row_count, bytes + 48, sizeof(state.row_count));
  std::memset(state.tiles, 0, sizeof(state.tiles));
  state.configured = true;
}

inline void release() { state.configured = false; }

inline void zero(int tile) {
  need_configuration();
  std::memset(&state.tiles[tile], 0, sizeof(Tile));
}

inline void loadd(int tile, const void* from, int64_t stride) {
  need_configuration();
  for (int row = 0; row < state.row_count[tile]; ++row) {
    std::memcpy(state.tiles[tile].rows[row], static_cast<const char*>(from) + row * stride,
                state.row_bytes[tile]);
  }
}

inline void stored(int tile, void* to, int64_t stride) {
  need_configuration();
  for (int row = 0; row < state.row_count[tile]; ++row) {
    std::memcpy(static_cast<char*>(to) + row * stride, state.tiles[tile].rows[row], state.row_bytes[tile]);
  }
}

inline void dpbf16ps(int sums, int a, int b) {
  need_configuration();
  for (int row = 0; row < state.row_count[sums]; ++row) {
    for (int k = 0; k < state.row_bytes[a] / 4; ++k) {
      for (int col = 0; col < state.row_bytes[sums] / 4; ++col) {
        uint16_t x[2], y[2];
        float sum;
        std::memcpy(x, state.tiles[a].rows[row] + 4 * k, sizeof(x));
        std::memcpy(y, state.tiles[b].rows[k] + 4 * col, sizeof(y));
        std::memcpy(&sum, state.tiles[sums].rows[row] + 4 * col, sizeof(sum));
        sum += widened(x[0]) * widened(y[0]);
        sum += widened(x[1]) * widened(y[1]);
        std::memcpy(state.tiles[sums].rows[row] + 4 * col, &sum, sizeof(sum));
      }
    }
  }
}

inline void dpbusd(int sums, int a, int b) {
  need_configuration();
  for (int row = 0; row < state.row_count[sums]; ++row) {
    for (int k = 0; k < state.row_bytes[a] / 4; ++k) {
      for (int col = 0; col < state.row_bytes[sums] / 4; ++col) {
        int32_t sum;
        std::memcpy(&sum, state.tiles[sums].rows[row] + 4 * col, sizeof(sum));
        for (int i = 0; i < 4; ++i) {
          sum +=
              state.tiles[a].rows[row][4 * k + i] * static_cast<int8_t>(state.tiles[b].rows[k][4 * col + i]);
        }
        std::memcpy(state.tiles[sums].rows[row] + 4 * col, &sum, sizeof(sum));
      }
    }
  }
}

}  // namespace emulated_amx

// The compiler's own are macros, or functions.
#undef _tile_loadconfig
#define _tile_loadconfig emulated_amx::loadconfig
#undef _tile_release
#define _tile_release emulated_amx::release
#undef _tile_zero
#define _tile_zero emulated_amx::zero
#undef _tile_loadd
#define _tile_loadd emulated_amx::loadd
#undef _tile_stored
#define _tile_stored emulated_amx::stored
#undef _tile_dpbf16ps
#define _tile_dpbf16ps emulated_amx::dpbf16ps
#undef _tile_dpbusd
#define _tile_dpbusd emulated_amx::dpbusd
