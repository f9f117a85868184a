// Attention over packed rows: each token attends to the tokens of its own row, and to no other.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <vector>

#include "core/engine.h"

namespace electra {

// Query, key and value of all tokens, [tokens, 3, heads, head_size], to contexts, [tokens, heads *
// head_size].
using Attention = std::function<at::Tensor(const at::Tensor& query_key_value)>;

// For any device, where the rows are known when it is called: one call of libtorch for each run of rows of
// one length. `runs` must outlive it.
Attention attention_by_runs(const std::vector<Run>& runs);

// For CUDA, where the rows are known to the device alone: `cu_seqlens` is an int32 tensor on it, of rows + 1
// offsets that never fall; an empty row costs little, and what comes of tokens behind the last offset is
// undefined. No row may have more than `longest` tokens. Flash attention where `flash` says that the card and
// the dtype have it, else the memory-efficient one.
Attention attention_by_offsets(const at::Tensor& cu_seqlens, int64_t longest, bool flash);

}  // namespace electra
