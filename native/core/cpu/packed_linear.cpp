#include "core/cpu/packed_linear.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cstring>

namespace electra::cpu {

namespace {

int64_t panels_of(int64_t cols, const Kernels& kernels) { return (cols + kernels.panel - 1) / kernels.panel; }

int64_t filled_depth(int64_t depth, const Kernels& kernels) {
  return (depth + kernels.depth_step - 1) / kernels.depth_step * kernels.depth_step;
}

// See Weights for the layout. T is as wide as an element, whatever number it is.
template <typename T>
void pack(const T* weight, int64_t cols, int64_t depth, int64_t first_panel, int64_t end_panel,
          const Kernels& kernels, T* panels) {
  const int64_t group = kernels.group, width = kernels.panel;
  const int64_t filled = filled_depth(depth, kernels);
  for (int64_t p = first_panel; p < end_panel; ++p) {
    T* panel = panels + p * filled * width;
    for (int64_t col = 0; col < std::min(width, cols - p * width); ++col) {
      const T* from = weight + (p * width + col) * depth;
      for (int64_t k = 0; k < depth; ++k) panel[(k / group * width + col) * group + k % group] = from[k];
    }
  }
}

}  // namespace

Stored stored_as(at::ScalarType dtype) {
  return dtype == at::kHalf ? Stored::kFp16 : dtype == at::kBFloat16 ? Stored::kBf16 : Stored::kFp32;
}

PackedLinear::PackedLinear(const at::Tensor& weight, const at::Tensor& bias, const Kernels& kernels, Team& team)
    : kernels_(&kernels) {
  const at::Tensor rows = weight.contiguous();
  const at::Tensor addends = bias.to(at::kFloat).contiguous();
  const int64_t cols = rows.size(0), depth = rows.size(1);
  const int64_t panels = panels_of(cols, kernels);
  const int64_t filled = filled_depth(depth, kernels);
  panels_ = Memory(static_cast<size_t>(panels * kernels.panel * filled * rows.element_size()));
  bias_ = Memory(static_cast<size_t>(panels * kernels.panel) * sizeof(float));
  std::memcpy(bias_.get(), addends.const_data_ptr(), addends.nbytes());
  auto work = [&](int member) {
    const Share share(panels, {member, team.size()});
    if (rows.element_size() == sizeof(float)) {
      pack(static_cast<const uint32_t*>(rows.const_data_ptr()), cols, depth, share.first, share.end, kernels,
           panels_.as<uint32_t>());
    } else {
      pack(static_cast<const uint16_t*>(rows.const_data_ptr()), cols, depth, share.first, share.end, kernels,
           panels_.as<uint16_t>());
    }
  };
  team.run(work);
  weights_ = {panels_.get(), bias_.as<float>(), cols, depth, stored_as(rows.scalar_type())};
}

void PackedLinear::operator()(Input input, Output output, Act act, Part part) const {
  const int64_t panels = panels_of(weights_.cols, *kernels_);
  Share of_panels(panels, {}), of_rows(input.rows, {});
  if (panels >= 2 * part.members || input.rows < part.members) {
    of_panels = Share(panels, part);
  } else {
    of_rows = Share(input.rows, part);
  }
  const int64_t in_size = kernels_->activations == Stored::kBf16 ? 2 : 4;
  const int64_t out_size = output.fp32 ? 4 : in_size;
  kernels_->gemm({
      .a = input.a + of_rows.first * input.lda * in_size,
      .lda = input.lda,
      .rows = of_rows.end - of_rows.first,
      .weights = &weights_,
      .first_panel = of_panels.first,
      .end_panel = of_panels.end,
      .out = output.out + of_rows.first * output.ldo * out_size,
      .ldo = output.ldo,
      .out_fp32 = output.fp32,
      .act = act,
  });
}

}  // namespace electra::cpu
