// What follows the encoder: rows pooled from their tokens, then the classifier. All of it in fp32, which
// costs little at one vector a row and keeps the logits' digits.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "core/activations.h"
#include "core/config.h"
#include "core/engine.h"
#include "core/layout.h"
#include "core/linear.h"

namespace electra {

// [total_tokens, size] to [rows, size] in fp32; each row as if it were alone.
at::Tensor pool(Pooling pooling, const at::Tensor& hidden_states, const std::vector<Run>& runs);

// The same where only the device knows the rows: `cu_seqlens`, int32 on the device of `hidden_states`, has
// one more entry than rows come out. What comes of an empty row is undefined.
at::Tensor pool(Pooling pooling, const at::Tensor& hidden_states, const at::Tensor& cu_seqlens);

class Head {
 public:
  Head(const ElectraConfig& config, TensorMap& tensors, at::Device device);

  // [rows, hidden_size] to logits [rows, num_labels].
  at::Tensor operator()(at::Tensor x) const;

  uint64_t bytes() const noexcept { return bytes_; }

 private:
  at::Tensor activate(const at::Tensor& x) const;

  // One of the three is the activation, shared by all layers.
  const Activation* element_wise_ = nullptr;
  std::vector<Linear> swish_glu_;  // one, or none
  at::Tensor prelu_;
  std::vector<Linear> layers_;
  uint64_t bytes_ = 0;
};

}  // namespace electra
