// A model by name from its weights: packed rows, no interpreter. Body, pooling and head are apart; which head
// follows the body is the architecture's choice.
#pragma once

#include <memory>
#include <optional>

#include "core/body.h"
#include "core/config.h"
#include "core/cpu/encoder.h"
#include "core/engine.h"
#include "core/head.h"
#include "core/layout.h"

namespace electra {

class ElectraEngine final : public Engine {
 public:
  // `tensors` as checked_tensors returns them; `threads` of the CPU.
  ElectraEngine(const ElectraConfig& config, TensorMap tensors, const Serving& serving, int threads,
                const Stop& stop);

  at::Tensor forward(const Batch& batch, const Stop& stop) override;
  uint64_t memory() const override;
  bool mixes_lengths() const override { return true; }
  std::string note() const override;

 private:
  Pooling pooling_;
  at::Device device_;
  // The kernels of our own, where this CPU has them; nullptr elsewhere.
  const cpu::Kernels* kernels_;
  // One of the two.
  std::unique_ptr<cpu::Encoder> encoder_;
  std::optional<Body> body_;
  std::optional<Head> head_;
};

}  // namespace electra
