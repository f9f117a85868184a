// A linear layer as libtorch's operators run it: applied to [rows, in].
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace electra {

class Linear {
 public:
  // `weight` [out, in] and `bias` [out] in the dtype and on the device that they serve in.
  Linear(at::Tensor weight, at::Tensor bias);

  at::Tensor operator()(const at::Tensor& x) const;

  uint64_t bytes() const noexcept { return weight_.nbytes() + bias_.nbytes(); }

 private:
  at::Tensor weight_, bias_;
};

}  // namespace electra
