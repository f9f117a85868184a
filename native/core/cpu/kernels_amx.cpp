// AMX: products of bf16 by tiles of 16 x 16 sums; everything else as with AVX512-BF16, which each CPU with AMX has.
// Compiled for that instruction set alone; see kernels_impl.h for what that forbids.
#include "core/cpu/kernels.h"

#if defined(__AVX512BF16__) && (defined(__AMX_BF16__) || defined(ELECTRA_EMULATE_AMX))

#include "core/cpu/kernels_impl.h"
// After it, for it uses its types.
#include "core/cpu/avx512.h"
#if defined(ELECTRA_EMULATE_AMX)
#include "test/emulated_amx.h"
#endif

namespace {

// As the processor reads it: palette 1, then bytes a row and rows of each tile.
struct alignas(64) TileConfig {
  uint8_t palette = 1, start_row = 0, reserved[14] = {};
  uint16_t row_bytes[16] = {};
  uint8_t rows[16] = {};
};

// Tiles 0 to 3 hold the sums of 32 x 32, 4 and 5 the activations of 16 rows each, 6 and 7 the weights of 16 columns
// each. A step takes 32 elements of the depth: a row of activations is 64 bytes then, and so is a pair of 16 columns.
struct Path {
  using Vec = Vec512;
  using Element = Bf16;
  static constexpr int64_t kTileRows = 32, kPanelVecs = 2, kGroup = 2, kDepthStep = 32;
  static constexpr bool kExpands = false;
  static constexpr int64_t kHalf = 16;

  // Configuring takes as long as some products, so it is done where the height changes only.
  static inline thread_local int64_t configured_rows = 0;

  static void begin() { configured_rows = 0; }
  static void end() { _tile_release(); }

  static void configure(int64_t upper, int64_t lower) {
    if (configured_rows == upper + lower) return;
    configured_rows = upper + lower;
    TileConfig config;
    for (int tile = 0; tile < 8; ++tile) {
      config.row_bytes[tile] = 64;
      const bool is_lower = tile == 2 || tile == 3 || tile == 5;
      // A tile has one row at least; where there is no lower half, its tiles are not used.
      config.rows[tile] = static_cast<uint8_t>(tile >= 6 ? kHalf : !is_lower ? upper : lower > 0 ? lower : 1);
    }
    _tile_loadconfig(&config);
  }

  static void tile(int64_t rows, const Bf16* a, int64_t lda, const Bf16* b, int64_t depth, float* out) {
    constexpr int64_t kPairRow = 2 * 32 * sizeof(Bf16), kOutRow = 32 * sizeof(float);
    const int64_t row_bytes = lda * static_cast<int64_t>(sizeof(Bf16));
    const int64_t upper = least(rows, kHalf), lower = rows - upper;
    configure(upper, lower);
    _tile_zero(0);
    _tile_zero(1);
    if (lower == 0) {
      for (int64_t k = 0; k < depth; k += kDepthStep, b += kDepthStep * 32) {
        _tile_loadd(4, a + k, row_bytes);
        _tile_loadd(6, b, kPairRow);
        _tile_loadd(7, b + 2 * kHalf, kPairRow);
        _tile_dpbf16ps(0, 4, 6);
        _tile_dpbf16ps(1, 4, 7);
      }
    } else {
      _tile_zero(2);
      _tile_zero(3);
      for (int64_t k = 0; k < depth; k += kDepthStep, b += kDepthStep * 32) {
        _tile_loadd(4, a + k, row_bytes);
        _tile_loadd(5, a + kHalf * lda + k, row_bytes);
        _tile_loadd(6, b, kPairRow);
        _tile_loadd(7, b + 2 * kHalf, kPairRow);
        _tile_dpbf16ps(0, 4, 6);
        _tile_dpbf16ps(1, 4, 7);
        _tile_dpbf16ps(2, 5, 6);
        _tile_dpbf16ps(3, 5, 7);
      }
      _tile_stored(2, out + kHalf * 32, kOutRow);
      _tile_stored(3, out + kHalf * 32 + kHalf, kOutRow);
    }
    _tile_stored(0, out, kOutRow);
    _tile_stored(1, out + kHalf, kOutRow);
  }
};

constexpr Kernels kTable = Loops<Path>::table("amx_bf16", Stored::kBf16);

}  // namespace

namespace electra::cpu {

const Kernels* amx_kernels() { return &kTable; }

}  // namespace electra::cpu

#else

namespace electra::cpu {

const Kernels* amx_kernels() { return nullptr; }

}  // namespace electra::cpu

#endif
