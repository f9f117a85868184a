// Any TorchScript archive whose forward(input_ids, attention_mask) gives logits: pads, masks and runs it.
#pragma once

#include <torch/csrc/jit/api/module.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/checkpoint/load_module.h"
#include "core/config.h"
#include "core/engine.h"
#include "core/gpu/gpu.h"
#include "core/gpu/script_graphs.h"

namespace electra {

class ScriptEngine final : public Engine {
 public:
  // Loads and probes: two rows of unequal length, alone and padded together. Throws CoreError where forward
  // is not what it should be, runs for one shape only, or cannot be moved to the device and dtype.
  ScriptEngine(const std::string& path, const ModelLimits& limits, c10::Device device, at::ScalarType dtype);
  // On a card, with graphs of padded shapes (tokens = rows * longest) where padding changes nothing and the
  // forward lets itself be captured.
  ScriptEngine(const std::string& path, const ModelLimits& limits, std::unique_ptr<Gpu> gpu,
               at::ScalarType dtype, const std::vector<Bucket>& buckets, const Stop& stop);
  ~ScriptEngine() override;

  at::Tensor forward(const Batch& batch, const Stop& stop) override;
  uint64_t memory() const override;
  bool mixes_lengths() const override { return mixes_lengths_; }
  // Where the archive was made for another device or dtype, and what was captured; "" where there is neither.
  std::string note() const override;

  // nullptr where nothing was to be captured.
  const ScriptGraphs* graphs() const { return graphs_ ? &*graphs_ : nullptr; }

 private:
  // Checks, moves and probes what was loaded.
  void prepare();
  void check_signature() const;
  void probe();
  // Throws where the archive runs as it was made, and `reason` is that it was asked to run otherwise.
  void refuse_move(const std::string& reason) const;
  std::string place() const;
  // How far apart logits of one row may lie, absolutely and relatively.
  double tolerance() const { return dtype_ == at::kFloat ? 1e-4 : 5e-2; }
  at::Tensor run_all(const Batch& batch, const Stop& stop);
  at::Tensor run_padded(const Batch& batch, const Run* begin, const Run* end);
  // Of rows that are on the device; the logits are there, too, in fp32.
  at::Tensor run_module(const at::Tensor& ids, const at::Tensor& mask);
  at::Tensor checked_logits(const at::IValue& output, int64_t rows) const;

  std::unique_ptr<Gpu> gpu_;  // outlives everything on it; nullptr on the CPU
  std::string path_;
  ModelLimits limits_;
  c10::Device device_;
  at::ScalarType dtype_;
  torch::jit::Module module_;
  Origin origin_;
  bool mixes_lengths_ = true;
  std::optional<ScriptGraphs> graphs_;
};

// Keeps the interpreter from compiling anew for each new shape. Once a process.
void prepare_interpreter();

}  // namespace electra
