// Which shapes are captured, and which of them serves a batch. Pure.
#pragma once

#include <cstdint>
#include <vector>

namespace electra {

// A batch fits where it has at most so many tokens, so many rows, and no row of more than `longest` tokens.
struct Bucket {
  int64_t tokens = 0, rows = 0, longest = 0;

  bool operator==(const Bucket&) const = default;
  bool holds(const Bucket& batch) const {
    return batch.tokens <= tokens && batch.rows <= rows && batch.longest <= longest;
  }
};

// The shapes worth capturing for batches of up to `max_tokens` tokens and rows of up to `max_length`: fine
// steps for a single row, whose latency somebody waits for, and steps of a third to a half above it for many.
// Largest first.
std::vector<Bucket> ladder(int64_t max_tokens, int64_t max_length);

// The same for an engine that pads: matrices of rows of one length, tokens = rows * longest. Small ones only,
// which take a card less time than it takes to launch what they run.
std::vector<Bucket> padded_ladder(int64_t max_tokens, int64_t max_length);

// As they are captured: largest first, so that the smaller find their memory in what the largest took; each
// once, and none that the model cannot fill.
std::vector<Bucket> in_capture_order(std::vector<Bucket> buckets, int64_t max_length);

// Index of the bucket that wastes least on the batch, or -1 where none holds it.
int64_t choose_bucket(const std::vector<Bucket>& buckets, const Bucket& batch);

}  // namespace electra
