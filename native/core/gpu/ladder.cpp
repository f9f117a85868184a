#include "core/gpu/ladder.h"

#include <algorithm>
#include <tuple>

namespace electra {

namespace {

// Rows of a short text: a batch whose rows are shorter on average than this runs eagerly.
constexpr int64_t kTokensPerRow = 16;
// Attention works in blocks of so many tokens, so a shorter `longest` saves nothing.
constexpr int64_t kBlock = 128;

// Of a matrix of padded rows that is captured.
constexpr int64_t kMostPadded = 4096;

auto size_of(const Bucket& bucket) { return std::tuple(bucket.tokens, bucket.rows, bucket.longest); }

int64_t blocks(const Bucket& bucket) { return bucket.rows * ((bucket.longest + kBlock - 1) / kBlock); }

}  // namespace

std::vector<Bucket> ladder(int64_t max_tokens, int64_t max_length) {
  std::vector<Bucket> buckets;
  const int64_t longest_row = std::min(max_tokens, max_length);
  for (const int64_t length : {16, 32, 64, 96, 128, 192, 256, 384}) {
    if (length < longest_row) buckets.push_back({length, 1, length});
  }
  buckets.push_back({longest_row, 1, longest_row});

  std::vector<int64_t> steps;
  for (int64_t step = 32; step < max_tokens; step *= 2) {
    steps.push_back(step);
    if (step >= 256 && step * 3 / 2 < max_tokens) steps.push_back(step * 3 / 2);
  }
  steps.push_back(max_tokens);
  for (const int64_t tokens : steps) {
    const int64_t rows = std::max<int64_t>(2, tokens / kTokensPerRow);
    if (max_length > kBlock) buckets.push_back({tokens, rows, std::min(tokens, kBlock)});
    buckets.push_back({tokens, rows, std::min(tokens, max_length)});
  }
  return in_capture_order(std::move(buckets), max_length);
}

std::vector<Bucket> padded_ladder(int64_t max_tokens, int64_t max_length) {
  std::vector<Bucket> buckets;
  max_tokens = std::min(max_tokens, kMostPadded);
  const int64_t longest_row = std::min(max_tokens, max_length);
  for (int64_t length = 16, longest = 0; longest < longest_row; length *= 2) {
    longest = std::min(length, longest_row);
    for (int64_t rows = 1; rows <= 32 && rows * longest <= max_tokens; rows *= 2) {
      buckets.push_back({rows * longest, rows, longest});
    }
  }
  return in_capture_order(std::move(buckets), max_length);
}

std::vector<Bucket> in_capture_order(std::vector<Bucket> buckets, int64_t max_length) {
  for (Bucket& bucket : buckets) {
    bucket.longest = std::min({bucket.longest, bucket.tokens, max_length});
    bucket.rows = std::min(bucket.rows, bucket.tokens);
  }
  std::sort(buckets.begin(), buckets.end(),
            [](const Bucket& a, const Bucket& b) { return size_of(a) > size_of(b); });
  buckets.erase(std::unique(buckets.begin(), buckets.end()), buckets.end());
  return buckets;
}

int64_t choose_bucket(const std::vector<Bucket>& buckets, const Bucket& batch) {
  int64_t best = -1;
  const auto waste = [&](int64_t i) { return std::tuple(buckets[i].tokens, blocks(buckets[i])); };
  for (int64_t i = 0; i < static_cast<int64_t>(buckets.size()); ++i) {
    if (buckets[i].holds(batch) && (best < 0 || waste(i) < waste(best))) best = i;
  }
  return best;
}

}  // namespace electra
