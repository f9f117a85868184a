// The graphs of one model: captured at load, found for a batch, and given up where they fail.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/gpu/gpu.h"
#include "core/gpu/ladder.h"

namespace electra {

class GraphCache {
 public:
  // Computes a bucket on inputs that stay where they are, and returns what the replays fill anew.
  using Compute = std::function<at::Tensor(const Bucket& bucket)>;

  struct Captured {
    Bucket bucket;
    std::unique_ptr<Graph> graph;
    at::Tensor output;
  };

  // None: every batch is a miss.
  GraphCache() = default;

  // Warms up and captures each bucket, in the order given. Where the card has no memory for one, the smaller
  // ones are tried all the same; where one cannot be captured for another reason, the rest are left out.
  // Throws only what says that the card is lost, or that the load was stopped.
  void capture(Gpu& gpu, const std::vector<Bucket>& buckets, const Compute& compute, const Stop& stop);

  // The one that wastes least on a batch of this shape; nullptr: a miss, which runs eagerly.
  const Captured* find(const Bucket& shape);

  // Replays the one for this shape on the inputs that `fill` writes for it, and gives its output, which is
  // good until the next replay; undefined: a miss. One whose replay fails although the card goes on is given
  // up. Throws only where the card is lost.
  using Fill = std::function<void(const Bucket& bucket)>;
  at::Tensor run(Gpu& gpu, const Bucket& shape, const Fill& fill);

  // One that is of no use although the card goes on: batches of its shape use another one or run eagerly from
  // now on. `why` is for the note.
  void give_up(const Captured& captured, const std::string& why);

  // One sentence about what was captured and what was not; "" where nothing was asked for.
  std::string note() const;

  const std::vector<std::unique_ptr<Captured>>& captured() const { return captured_; }
  size_t size() const { return captured_.size(); }
  uint64_t hits() const { return hits_; }
  uint64_t misses() const { return misses_; }

 private:
  std::vector<std::unique_ptr<Captured>> captured_;
  std::vector<Bucket> buckets_;  // of captured_
  size_t asked_for_ = 0;
  std::string failure_;
  double seconds_ = 0;
  uint64_t bytes_ = 0;
  uint64_t hits_ = 0, misses_ = 0;
};

}  // namespace electra
