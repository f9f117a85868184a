// Any TorchScript archive whose forward(input_ids, attention_mask) gives logits: pads, masks and runs it.
#pragma once

#include <torch/csrc/jit/api/module.h>

#include <string>

#include "core/checkpoint/load_module.h"
#include "core/config.h"
#include "core/engine.h"

namespace electra {

class ScriptEngine final : public Engine {
 public:
  // Loads and probes: two rows of unequal length, alone and padded together. Throws CoreError where forward
  // is not what it should be, runs for one shape only, or cannot be moved to the device and dtype.
  ScriptEngine(const std::string& path, const ModelLimits& limits, c10::Device device, at::ScalarType dtype);

  at::Tensor forward(const Batch& batch, const Stop& stop) override;
  uint64_t memory() const override;
  bool mixes_lengths() const override { return mixes_lengths_; }
  // One sentence where the archive was made for another device or dtype, else "".
  std::string note() const override;

 private:
  void check_signature() const;
  void probe();
  // Throws where the archive runs as it was made, and `reason` is that it was asked to run otherwise.
  void refuse_move(const std::string& reason) const;
  std::string place() const;
  at::Tensor run_padded(const Batch& batch, const Run* begin, const Run* end);
  at::Tensor checked_logits(const at::IValue& output, int64_t rows) const;

  std::string path_;
  ModelLimits limits_;
  c10::Device device_;
  at::ScalarType dtype_;
  torch::jit::Module module_;
  Origin origin_;
  bool mixes_lengths_ = true;
};

// Keeps the interpreter from compiling anew for each new shape. Once a process.
void prepare_interpreter();

}  // namespace electra
