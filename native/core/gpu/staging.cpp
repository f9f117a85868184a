#include "core/gpu/staging.h"

#include <algorithm>

#include "core/body.h"

namespace electra {

namespace {

int64_t aligned(int64_t size) { return (size + 31) / 32 * 32; }

}  // namespace

StagingLayout::StagingLayout(const Bucket& bucket)
    : position_ids(aligned(bucket.tokens)),
      token_type_ids(2 * aligned(bucket.tokens)),
      cu_seqlens(3 * aligned(bucket.tokens)),
      size(cu_seqlens + aligned(bucket.rows + 1)) {}

Bucket shape_of(const Batch& batch) {
  Bucket shape{batch.total_tokens(), batch.rows(), 0};
  for (int64_t row = 0; row < shape.rows; ++row) {
    shape.longest = std::max<int64_t>(shape.longest, batch.cu_seqlens[row + 1] - batch.cu_seqlens[row]);
  }
  return shape;
}

void stage(const Batch& batch, const Bucket& bucket, std::span<int32_t> block) {
  const StagingLayout layout(bucket);
  std::fill(block.begin(), block.end(), 0);
  std::copy(batch.input_ids.begin(), batch.input_ids.end(), block.begin() + layout.input_ids);
  count_positions(batch, block.subspan(layout.position_ids));
  std::copy(batch.token_type_ids.begin(), batch.token_type_ids.end(), block.begin() + layout.token_type_ids);
  const auto offsets = block.begin() + layout.cu_seqlens;
  std::copy(batch.cu_seqlens.begin(), batch.cu_seqlens.end(), offsets);
  std::fill(offsets + batch.rows() + 1, offsets + bucket.rows + 1, batch.cu_seqlens.back());
}

}  // namespace electra
