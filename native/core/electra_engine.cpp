#include "core/electra_engine.h"

#include <ATen/Parallel.h>

#include "core/cpu/choose_kernels.h"

namespace electra {

ElectraEngine::ElectraEngine(const ElectraConfig& config, TensorMap tensors, const Serving& serving,
                             int threads, const Stop& stop)
    : pooling_(config.pooling),
      device_(serving.device),
      kernels_(serving.device.is_cpu() ? cpu::kernels_for(serving.dtype) : nullptr) {
  if (kernels_ != nullptr) {
    // The encoder has threads of its own. OpenMP's would come beside them, only to convert weights, and its
    // library ends the process where a thread cannot be started.
    at::set_num_threads(1);
    encoder_ = std::make_unique<cpu::Encoder>(config, tensors, serving.dtype, *kernels_, threads, stop);
  } else {
    body_.emplace(config, tensors, serving, stop);
  }
  head_.emplace(config, tensors, serving.device);
}

at::Tensor ElectraEngine::forward(const Batch& batch, const Stop& stop) {
  if (encoder_ != nullptr) return (*head_)((*encoder_)(batch, stop)).contiguous();
  const std::vector<Run> runs = batch.runs();
  const at::Tensor hidden_states = (*body_)(tokens_of(batch, device_), attention_by_runs(runs), stop);
  return (*head_)(pool(pooling_, hidden_states, runs)).to(at::kCPU).contiguous();
}

uint64_t ElectraEngine::memory() const {
  return head_->bytes() + (encoder_ != nullptr ? encoder_->bytes() : body_->bytes());
}

std::string ElectraEngine::note() const {
  if (kernels_ == nullptr) return "The encoder runs on libtorch's operators.";
  return std::string("The encoder runs on the library's own kernels for ") + encoder_->kernel_names() + ".";
}

}  // namespace electra
