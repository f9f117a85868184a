// A model by name from its weights, on a card: packed rows, replayed as graphs where their shape was
// captured. All that depends on the kind of card stands behind Gpu.
#pragma once

#include <array>
#include <memory>
#include <string>
#include <vector>

#include "core/body.h"
#include "core/engine.h"
#include "core/gpu/gpu.h"
#include "core/gpu/graph_cache.h"
#include "core/gpu/staging.h"
#include "core/head.h"

namespace electra {

class GpuEngine final : public Engine {
 public:
  // `tensors` as checked_tensors returns them. `buckets`, in capture order, are the shapes that run as
  // graphs.
  GpuEngine(const ElectraConfig& config, TensorMap tensors, at::ScalarType dtype, std::unique_ptr<Gpu> gpu,
            const std::vector<Bucket>& buckets, const Stop& stop);
  ~GpuEngine() override;

  at::Tensor forward(const Batch& batch, const Stop& stop) override;
  bool overlaps() const override { return true; }
  int begin(const Batch& batch, const Stop& stop) override;
  bool finished(int ticket) override;
  at::Tensor finish(int ticket) override;

  uint64_t memory() const override { return body_.bytes() + head_.bytes(); }
  bool mixes_lengths() const override { return true; }
  std::string note() const override;

  const GraphCache& graphs() const { return graphs_; }

 private:
  // A batch under way: what the card copies from and to, and when it has.
  struct Slot {
    at::Tensor input, logits;  // on the host
    std::unique_ptr<Mark> done;
    int64_t rows = 0;
    bool busy = false;
  };

  void capture(const std::vector<Bucket>& buckets, const Stop& stop);
  void launch(Slot& slot, const Batch& batch, const Stop& stop);
  at::Tensor run_eagerly(Slot& slot, const Batch& batch, const Bucket& shape, const Stop& stop);
  at::Tensor staged(Slot& slot, const Batch& batch, const Bucket& bucket);
  at::Tensor compute(const at::Tensor& input, const Bucket& bucket, const Stop& stop) const;

  std::unique_ptr<Gpu> gpu_;  // outlives everything on it
  at::ScalarType dtype_;
  int64_t head_size_;
  Pooling pooling_;
  Body body_;
  Head head_;
  at::Tensor graph_input_;  // where every graph reads its batch
  GraphCache graphs_;
  std::array<Slot, 2> slots_;
};

}  // namespace electra
