// AMX: products of bf16 and of int8 by tiles of 16 x 16 sums; everything else as with AVX512-BF16, which each
// CPU with AMX has. Compiled for that instruction set alone; see kernels_impl.h for what that forbids.
#include "core/cpu/kernels.h"

#if defined(__AVX512BF16__) && \
    ((defined(__AMX_BF16__) && defined(__AMX_INT8__)) || defined(ELECTRA_EMULATE_AMX))

#include "core/cpu/avx512.h"
#include "core/cpu/int8_impl.h"
#include "core/cpu/kernels_impl.h"
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

// Tiles 0 to 3 hold the sums of 32 x 32, 4 and 5 the activations of 16 rows each, 6 and 7 the weights of 16
// columns each. A step takes 64 bytes of the depth: a row of activations, or the groups of 16 columns.
struct Tiles {
  static constexpr int64_t kTileRows = 32, kPanelVecs = 2, kHalf = 16, kStepBytes = 64;
  // Configuring takes as long as some products, so it is done where the height changes only.
  static inline thread_local int64_t configured_rows = 0;

  static void begin() { configured_rows = 0; }
  static void end() { _tile_release(); }

  static void configure(int64_t upper, int64_t lower) {
    if (configured_rows == upper + lower) return;
    configured_rows = upper + lower;
    TileConfig config;
    for (int tile = 0; tile < 8; ++tile) {
      config.row_bytes[tile] = kStepBytes;
      const bool is_lower = tile == 2 || tile == 3 || tile == 5;
      // A tile has one row at least; where there is no lower half, its tiles are not used.
      config.rows[tile] = static_cast<uint8_t>(tile >= 6 ? kHalf : !is_lower ? upper : lower > 0 ? lower : 1);
    }
    _tile_loadconfig(&config);
  }

  // `Multiply` adds the product of an activation tile and a weight tile to a tile of sums.
  template <typename Multiply, typename A, typename B, typename Sum>
  static void tile_of(int64_t rows, const A* a, int64_t lda, const B* b, int64_t depth, Sum* out) {
    constexpr int64_t kPanelRow = 2 * kStepBytes, kOutRow = 32 * sizeof(Sum);
    constexpr int64_t kStep = kStepBytes / sizeof(A);
    const int64_t row_bytes = lda * static_cast<int64_t>(sizeof(A));
    const int64_t upper = least(rows, kHalf), lower = rows - upper;
    configure(upper, lower);
    _tile_zero(0);
    _tile_zero(1);
    if (lower == 0) {
      for (int64_t k = 0; k < depth; k += kStep, b += kStep * 32) {
        _tile_loadd(4, a + k, row_bytes);
        _tile_loadd(6, b, kPanelRow);
        _tile_loadd(7, b + kStep, kPanelRow);
        Multiply::upper();
      }
    } else {
      _tile_zero(2);
      _tile_zero(3);
      for (int64_t k = 0; k < depth; k += kStep, b += kStep * 32) {
        _tile_loadd(4, a + k, row_bytes);
        _tile_loadd(5, a + kHalf * lda + k, row_bytes);
        _tile_loadd(6, b, kPanelRow);
        _tile_loadd(7, b + kStep, kPanelRow);
        Multiply::upper();
        Multiply::lower();
      }
      _tile_stored(2, out + kHalf * 32, kOutRow);
      _tile_stored(3, out + kHalf * 32 + kHalf, kOutRow);
    }
    _tile_stored(0, out, kOutRow);
    _tile_stored(1, out + kHalf, kOutRow);
  }
};

struct Bf16Path : Tiles {
  using Vec = Vec512;
  using Element = Bf16;
  static constexpr int64_t kGroup = 2, kDepthStep = 32;
  static constexpr bool kExpands = false;

  static void upper() {
    _tile_dpbf16ps(0, 4, 6);
    _tile_dpbf16ps(1, 4, 7);
  }
  static void lower() {
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
  }
  static void tile(int64_t rows, const Bf16* a, int64_t lda, const Bf16* b, int64_t depth, float* out, bool) {
    tile_of<Bf16Path>(rows, a, lda, b, depth, out);
  }
};

struct Int8Path : Tiles {
  using Vec = Vec512;
  static constexpr int64_t kDepthStep = 64, kMost = 127;
  static constexpr bool kStoresBf16 = true;

  static void upper() {
    _tile_dpbusd(0, 4, 6);
    _tile_dpbusd(1, 4, 7);
  }
  static void lower() {
    _tile_dpbusd(2, 5, 6);
    _tile_dpbusd(3, 5, 7);
  }
  static void tile(int64_t rows, const uint8_t* a, int64_t lda, const int8_t* b, int64_t depth, int32_t* out,
                   bool) {
    tile_of<Int8Path>(rows, a, lda, b, depth, out);
  }
};

constexpr Kernels kTable = Loops<Bf16Path>::table("amx_bf16", Stored::kBf16);
constexpr Int8Kernels kInt8Table = Int8Loops<Int8Path>::table("amx_int8");

}  // namespace

namespace electra::cpu {

const Kernels* amx_kernels() { return &kTable; }
const Int8Kernels* amx_int8_kernels() { return &kInt8Table; }

}  // namespace electra::cpu

#else

namespace electra::cpu {

const Kernels* amx_kernels() { return nullptr; }
const Int8Kernels* amx_int8_kernels() { return nullptr; }

}  // namespace electra::cpu

#endif
