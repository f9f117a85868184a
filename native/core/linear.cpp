#include "core/linear.h"

#include <ATen/ATen.h>

namespace electra {

Linear::Linear(at::Tensor weight, at::Tensor bias, const cpu::Kernels* kernels) {
  if (kernels != nullptr) {
    cpu::Team alone(1);
    cpu::Arena arena(0);
    packed_.emplace(weight, bias, *kernels, alone, arena);
  } else {
    weight_ = std::move(weight);
    bias_ = std::move(bias);
  }
}

at::Tensor Linear::operator()(const at::Tensor& x) const {
  if (!packed_) return at::linear(x, weight_, bias_);
  const at::Tensor rows = x.contiguous();
  at::Tensor out = at::empty({rows.size(0), packed_->cols()}, at::kFloat);
  (*packed_)({static_cast<const std::byte*>(rows.const_data_ptr()), packed_->depth(), rows.size(0)},
             {static_cast<std::byte*>(out.mutable_data_ptr()), packed_->cols(), true}, cpu::Act::kNone, {});
  return out;
}

at::Tensor Linear::operator()(const at::Tensor& x, const Activation& activation) const {
  const bool gelu = activation.act == cpu::Act::kGeluTanh ||
                    (activation.act == cpu::Act::kGelu && x.scalar_type() == at::kBFloat16);
  // On the CPU the operator's GELU is not the approximation.
  if (x.is_cuda() && (gelu || activation.act == cpu::Act::kRelu)) {
    return at::_addmm_activation(bias_, x, weight_.t(), 1, 1, gelu);
  }
  return activation.apply((*this)(x));
}

uint64_t Linear::bytes() const noexcept {
  return packed_ ? packed_->bytes() : weight_.nbytes() + bias_.nbytes();
}

}  // namespace electra
