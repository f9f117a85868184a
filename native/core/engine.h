// What both engines implement: a packed batch in, logits out. A batch was checked before an engine sees it.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include "core/error.h"

namespace electra {

// Consecutive rows of one length: their tokens are a [rows, length] matrix without padding.
struct Run {
  int64_t first_row;
  int64_t rows;
  int64_t first_token;
  int64_t length;
};

struct Batch {
  std::span<const int32_t> input_ids;       // all rows end to end
  std::span<const int32_t> cu_seqlens;      // rows + 1 offsets
  std::span<const int32_t> token_type_ids;  // as input_ids, or empty where all are 0

  int64_t rows() const { return static_cast<int64_t>(cu_seqlens.size()) - 1; }
  int64_t total_tokens() const { return static_cast<int64_t>(input_ids.size()); }

  std::vector<Run> runs() const {
    std::vector<Run> runs;
    for (int64_t row = 0; row < rows(); ++row) {
      const int64_t start = cu_seqlens[row], length = cu_seqlens[row + 1] - start;
      if (!runs.empty() && runs.back().length == length) {
        ++runs.back().rows;
      } else {
        runs.push_back({row, 1, start, length});
      }
    }
    return runs;
  }
};

class Engine {
 public:
  virtual ~Engine() = default;

  // [rows, num_labels], fp32, contiguous, on the CPU.
  virtual at::Tensor forward(const Batch& batch, const Stop& stop) = 0;
  // Where `overlaps`, a second batch may begin before the first is finished; they finish in the order in
  // which they began. The batch's memory is read by `begin` alone.
  virtual bool overlaps() const { return false; }
  virtual int begin(const Batch&, const Stop&) { throw std::logic_error("This engine does not overlap."); }
  virtual bool finished(int) { throw std::logic_error("This engine does not overlap."); }
  virtual at::Tensor finish(int) { throw std::logic_error("This engine does not overlap."); }
  virtual uint64_t memory() const = 0;
  virtual bool mixes_lengths() const = 0;
  // Why it runs as it does: one sentence for `info`, or "".
  virtual std::string note() const { return ""; }
};

}  // namespace electra
