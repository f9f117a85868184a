#include "core/head.h"

#include <ATen/ATen.h>

#include "core/body.h"
#include "core/cpu/choose_kernels.h"

namespace electra {

at::Tensor pool(Pooling pooling, const at::Tensor& hidden_states, const std::vector<Run>& runs) {
  std::vector<at::Tensor> pooled;
  pooled.reserve(runs.size());
  for (const Run& run : runs) {
    const at::Tensor rows = hidden_states.narrow(0, run.first_token, run.rows * run.length)
                                .view({run.rows, run.length, hidden_states.size(1)});
    switch (pooling) {
      case Pooling::kCls:
        pooled.push_back(rows.select(1, 0).to(at::kFloat));
        break;
      case Pooling::kMean:
        pooled.push_back(at::mean(rows, {1}, false, at::kFloat));
        break;
      case Pooling::kMax:
        pooled.push_back(at::amax(rows, {1}).to(at::kFloat));
        break;
    }
  }
  return at::cat(pooled);
}

at::Tensor pool(Pooling pooling, const at::Tensor& hidden_states, const at::Tensor& cu_seqlens) {
  if (pooling == Pooling::kCls) {
    // An empty row at the end begins behind the last token.
    const at::Tensor first =
        cu_seqlens.narrow(0, 0, cu_seqlens.size(0) - 1).clamp_max(hidden_states.size(0) - 1);
    return hidden_states.index_select(0, first).to(at::kFloat);
  }
  // `unsafe` leaves out checks of the offsets' values, for which the device would have to be waited for.
  return at::segment_reduce(hidden_states.to(at::kFloat), pooling == Pooling::kMean ? "mean" : "max",
                            /*lengths=*/{}, /*indices=*/{}, cu_seqlens, /*axis=*/0, /*unsafe=*/true);
}

Head::Head(const ElectraConfig& config, TensorMap& tensors, at::Device device) {
  const Serving serving{device, at::kFloat, device.is_cpu() ? cpu::kernels_for(at::kFloat) : nullptr};
  if (config.hidden_activation == "SwishGLU") {
    swish_glu_.push_back(take_linear(tensors, {head_activation_module(config, 0) + ".projection"}, serving));
    bytes_ += swish_glu_[0].bytes();
  } else if (config.hidden_activation == "PReLU") {
    prelu_ = take(tensors, head_activation_module(config, 0) + ".weight", device, at::kFloat);
    bytes_ += prelu_.nbytes();
  } else {
    element_wise_ = &head_activation(config.hidden_activation);
  }
  for (int64_t i = 0; i <= config.num_layers; ++i) {
    layers_.push_back(take_linear(tensors, {head_layer(config, i)}, serving));
    bytes_ += layers_.back().bytes();
  }
}

at::Tensor Head::operator()(at::Tensor x) const {
  for (size_t i = 0; i + 1 < layers_.size(); ++i) x = activate(layers_[i](x));
  return layers_.back()(x);
}

at::Tensor Head::activate(const at::Tensor& x) const {
  if (element_wise_ != nullptr) return element_wise_->apply(x);
  if (prelu_.defined()) return at::prelu(x, prelu_);
  const std::vector<at::Tensor> halves = swish_glu_[0](x).chunk(2, -1);
  return halves[0] * at::silu(halves[1]);
}

}  // namespace electra
