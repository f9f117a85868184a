// A model by name from its weights: packed rows, no interpreter. Body, pooling and head are apart; which head
// follows the body is the architecture's choice.
#pragma once

#include "core/body.h"
#include "core/config.h"
#include "core/engine.h"
#include "core/head.h"
#include "core/layout.h"

namespace electra {

class ElectraEngine final : public Engine {
 public:
  // `tensors` as checked_tensors returns them.
  ElectraEngine(const ElectraConfig& config, TensorMap tensors, const Serving& serving, const Stop& stop);

  at::Tensor forward(const Batch& batch, const Stop& stop) override;
  uint64_t memory() const override { return body_.bytes() + head_.bytes(); }
  bool mixes_lengths() const override { return true; }

 private:
  Pooling pooling_;
  Body body_;
  Head head_;
};

}  // namespace electra
