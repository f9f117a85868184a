// A linear layer as it serves: packed once at load, applied to [rows, in]. The one place for the speed of
// matrix products.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "core/activations.h"

namespace electra {

class Linear {
 public:
  // Whether oneDNN's packed layout serves this dtype here, and serves it faster than the plain one.
  static bool packs(c10::Device device, at::ScalarType dtype);

  // `weight` [out, in] and `bias` [out] in the dtype and on the device that they serve in; `packed` lays the
  // weight out for oneDNN.
  Linear(at::Tensor weight, at::Tensor bias, bool packed);

  at::Tensor operator()(const at::Tensor& x) const;
  at::Tensor operator()(const at::Tensor& x, const Activation& activation) const;

  uint64_t bytes() const noexcept { return bytes_; }

 private:
  at::Tensor weight_, bias_;
  bool packed_;
  uint64_t bytes_;
};

}  // namespace electra
