#include "core/electra_engine.h"

namespace electra {

ElectraEngine::ElectraEngine(const ElectraConfig& config, TensorMap tensors, const Serving& serving,
                             const Stop& stop)
    : pooling_(config.pooling),
      body_(config, tensors, serving, stop),
      head_(config, tensors, serving.device) {}

at::Tensor ElectraEngine::forward(const Batch& batch, const Stop& stop) {
  const std::vector<Run> runs = batch.runs();
  const at::Tensor hidden_states = body_(batch, runs, stop);
  return head_(pool(pooling_, hidden_states, runs)).to(at::kCPU).contiguous();
}

}  // namespace electra
