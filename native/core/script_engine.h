// Any TorchScript archive whose forward(input_ids, attention_mask) gives logits: pads, masks and runs it.
#pragma once

#include <torch/csrc/jit/api/module.h>

#include <string>

#include "core/config.h"
#include "core/engine.h"

namespace electra {

class ScriptEngine final : public Engine {
 public:
  // Loads and probes: two rows of unequal length, alone and padded together. Throws CoreError where forward
  // is not what it should be, or runs for one shape only.
  ScriptEngine(const std::string& path, const ModelLimits& limits, c10::Device device, at::ScalarType dtype);

  at::Tensor forward(const Batch& batch, const Stop& stop) override;
  uint64_t memory() const override;
  bool mixes_lengths() const override { return mixes_lengths_; }

 private:
  void check_signature() const;
  void probe();
  at::Tensor run_padded(const Batch& batch, const Run* begin, const Run* end);
  at::Tensor checked_logits(const at::IValue& output, int64_t rows) const;

  std::string path_;
  ModelLimits limits_;
  c10::Device device_;
  at::ScalarType dtype_;
  torch::jit::Module module_;
  bool mixes_lengths_ = true;
};

// Keeps the interpreter from compiling anew for each new shape. Once a process.
void prepare_interpreter();

}  // namespace electra
