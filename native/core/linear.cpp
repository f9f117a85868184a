#include "core/linear.h"

#include <ATen/ATen.h>
#include <ATen/core/dispatch/Dispatcher.h>

#include <optional>
#include <string_view>

#include "platform.h"

namespace electra {

namespace {

// The two operators that torch's own compiler calls; no header declares them.
at::Tensor reorder_weight(const at::Tensor& weight) {
  static const auto op = c10::Dispatcher::singleton()
                             .findSchemaOrThrow("mkldnn::_reorder_linear_weight", "")
                             .typed<at::Tensor(const at::Tensor&, std::optional<int64_t>)>();
  return op.call(weight, std::nullopt);
}

at::Tensor linear_pointwise(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                            std::string_view attribute, std::optional<std::string_view> algorithm) {
  static const auto op =
      c10::Dispatcher::singleton()
          .findSchemaOrThrow("mkldnn::_linear_pointwise", "")
          .typed<at::Tensor(const at::Tensor&, const at::Tensor&, const std::optional<at::Tensor>&,
                            std::string_view, c10::List<std::optional<at::Scalar>>,
                            std::optional<std::string_view>)>();
  return op.call(x, weight, bias, attribute, c10::List<std::optional<at::Scalar>>(), algorithm);
}

}  // namespace

bool Linear::packs(c10::Device device, at::ScalarType dtype) {
  if (!device.is_cpu() || !at::globalContext().hasMKLDNN()) return false;
  const platform::Cpu cpu = platform::cpu();
  switch (dtype) {
    case at::kBFloat16:
      return cpu.has("avx512_bf16") || cpu.has("amx_bf16");
    case at::kFloat:
      // With AVX2 alone MKL is faster than oneDNN at all but the smallest batches.
      return cpu.has("avx512f");
    default:
      return false;
  }
}

int64_t Linear::rounded_rows(int64_t rows) {
  const int64_t step = rows <= 64 ? 8 : rows <= 256 ? 16 : rows <= 1024 ? 32 : 256;
  return (rows + step - 1) / step * step;
}

Linear::Linear(at::Tensor weight, at::Tensor bias, bool packed)
    : weight_(packed ? reorder_weight(weight) : std::move(weight)), bias_(std::move(bias)), packed_(packed) {
  bytes_ = static_cast<uint64_t>((weight_.numel() + bias_.numel()) * bias_.element_size());
}

at::Tensor Linear::operator()(const at::Tensor& x) const {
  return packed_ ? linear_pointwise(x, weight_, bias_, "none", std::nullopt) : at::linear(x, weight_, bias_);
}

at::Tensor Linear::operator()(const at::Tensor& x, const Activation& activation) const {
  if (packed_ && activation.fused_gelu != nullptr) {
    return linear_pointwise(x, weight_, bias_, "gelu", activation.fused_gelu);
  }
  return activation.apply((*this)(x));
}

}  // namespace electra
