// A linear layer, applied to [rows, in]: by libtorch's operator, or in fp32 on the CPU by the kernels of our
// own.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>

#include "core/activations.h"
#include "core/cpu/packed_linear.h"

namespace electra {

class Linear {
 public:
  // `weight` [out, in] and `bias` [out] in the dtype and on the device that they serve in. `kernels` of fp32,
  // or nullptr for libtorch's operator.
  Linear(at::Tensor weight, at::Tensor bias, const cpu::Kernels* kernels);

  at::Tensor operator()(const at::Tensor& x) const;
  // Followed by an activation: one kernel of both where CUDA's matrix library has it as an epilogue. That is
  // so for ReLU and for GELU's tanh approximation, which in bf16 serves for GELU itself too: it is applied to
  // sums in fp32, and is off by less than their rounding to bf16, which it saves.
  at::Tensor operator()(const at::Tensor& x, const Activation& activation) const;

  uint64_t bytes() const noexcept;

 private:
  // Either the tensors, or what was packed of them.
  at::Tensor weight_, bias_;
  std::optional<cpu::PackedLinear> packed_;
};

}  // namespace electra
