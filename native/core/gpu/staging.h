// How a batch lies in one block of int32, so that one copy brings it to the card. Pure.
#pragma once

#include <cstdint>
#include <span>

#include "core/engine.h"
#include "core/gpu/ladder.h"

namespace electra {

// Input ids, position ids, token types and offsets, one behind the other, each where 128 bytes begin.
struct StagingLayout {
  int64_t input_ids = 0, position_ids, token_type_ids, cu_seqlens;  // where each begins
  int64_t size;                                                     // of all

  explicit StagingLayout(const Bucket& bucket);
};

// The batch's own shape.
Bucket shape_of(const Batch& batch);

// Writes a batch as `bucket` has it. Tokens that it lacks are 0, and rows that it lacks are empty rows at its
// end: their offsets are the last one. Every number of the block is written.
void stage(const Batch& batch, const Bucket& bucket, std::span<int32_t> block);

}  // namespace electra
