// The loops that the CPU encoder spends its time in, as one table for each instruction set. Each runs on one
// thread and allocates nothing. A row's result does not depend on the rows beside it, to the last bit: every
// sum is taken in the same order whatever the number of rows.
#pragma once

#include <cstddef>
#include <cstdint>

namespace electra::cpu {

// What follows a product, element by element.
enum class Act {
  kNone,
  kGelu,      // x * Phi(x)
  kGelu10,    // gelu, clamped to [-10, 10]
  kGeluTanh,  // the tanh approximation of gelu
  kHardswish,
  kLeakyRelu,
  kMish,
  kQuickGelu,
  kRelu,
  kRelu2,
  kRelu6,
  kSigmoid,
  kSilu,
  kTanh,
};

// How the elements of a packed weight are stored.
enum class Stored { kFp32, kFp16, kBf16, kInt8 };

// A weight [cols, depth] as panels of `panel` columns each. Within a panel, `group` consecutive elements of a
// column lie together (bf16 products take two at once), then the next column's, then the next group. What
// fills up the last panel, and the depth to a multiple of `depth_step`, is 0.
struct Weights {
  const std::byte* panels;
  const float* bias;  // one for each column, filled up with 0
  int64_t cols, depth;
  Stored stored;
  // Of kInt8 only, one for each column: what 1 stands for, and the sum over the depth.
  const float* scales = nullptr;
  const int32_t* sums = nullptr;
};

// out[rows, panels] = act(a · weights + bias)
struct Gemm {
  const void* a;  // activations; what lies behind a row up to the next `depth_step` must be finite
  int64_t lda;    // elements from row to row
  int64_t rows;
  const Weights* weights;
  int64_t first_panel, end_panel;
  void* out;  // written up to the end of the last column
  int64_t ldo;
  bool out_fp32;  // else activations
  Act act;
  std::byte* scratch;  // Int8Kernels::scratch bytes; of kInt8 only
};

// x = layer_norm(y + x) or, without `residual`, layer_norm(y); a = x as activations, unless nullptr.
struct Norm {
  const float* y;
  int64_t ldy;
  float* x;
  int64_t ldx;
  void* a;
  int64_t lda;
  int64_t rows, size;
  const float *weight, *bias;
  float eps;
  bool residual;
};

// Attention of one head over one row of tokens.
struct Attend {
  const void*
      query;   // first token's, activations; keys and values lie `hidden` and 2 * `hidden` elements further
  int64_t ld;  // elements from token to token
  int64_t hidden, head_size, length;
  int64_t queries;  // tokens whose context is wanted, from the first on
  void* out;        // first token's context of this head, activations
  int64_t ldo;
  std::byte* scratch;  // Kernels::attend_scratch bytes
};

// A table of embeddings as the file stores it.
struct Table {
  const void* rows;
  Stored stored;
};

// y = words[ids] + types[type_ids] + positions[first_position …], for consecutive tokens of one row.
struct Embed {
  const int32_t* ids;
  const int32_t* type_ids;  // nullptr: all 0
  int64_t tokens, first_position, size;
  Table words, types, positions;
  float* y;
  int64_t ldy;
};

struct Kernels {
  const char* name;    // as notes and benchmarks show it
  Stored activations;  // kFp32 or kBf16
  int64_t panel;       // columns of a panel
  int64_t group;       // elements of one column that lie together
  int64_t depth_step;  // a panel's depth is filled up to a multiple of this
  // Whether weights may be stored in any way, and are expanded to fp32 as they are read; else only as
  // activations.
  bool expands;

  void (*gemm)(const Gemm&);
  void (*norm)(const Norm&);
  void (*attend)(const Attend&);
  void (*embed)(const Embed&);
  int64_t (*attend_scratch)(int64_t length, int64_t head_size);
};

// Products of int8. Each row of activations is quantized as it comes: u = round(x / scale) + zero in 8 bits,
// with scale and zero from the row's least and greatest element. So a product is (u · w - zero sum(w))
// scale(row) scale(column).
struct Int8Kernels {
  const char* name;
  int64_t panel, group, depth_step;  // as of Kernels
  int64_t most;                      // the greatest weight: 127, or less where greater ones would overflow
  void (*gemm)(const Gemm&, Stored activations);
  int64_t (*scratch)(int64_t depth);
};

// nullptr where this processor, or this build, does not have what they need.
const Kernels* avx2_kernels();         // fp32 products
const Kernels* avx512_kernels();       // fp32 products
const Kernels* avx512_bf16_kernels();  // bf16 products with fp32 sums
const Kernels* amx_kernels();          // the same, by AMX tiles
const Int8Kernels* avx2_int8_kernels();
const Int8Kernels* avx512_vnni_kernels();
const Int8Kernels* amx_int8_kernels();

}  // namespace electra::cpu
