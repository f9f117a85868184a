#include "core/cpu/packed_linear.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <cstring>

namespace electra::cpu {

namespace {

int64_t filled(int64_t size, int64_t step) { return (size + step - 1) / step * step; }

// One column into its panel; see Weights for the layout. `element(k)` gives what is stored.
template <typename T, typename Layout, typename Element>
void pack_column(int64_t col, int64_t depth, const Layout& layout, T* panels, const Element& element) {
  const int64_t group = layout.group, width = layout.panel;
  T* panel = panels + col / width * width * filled(depth, layout.depth_step);
  for (int64_t k = 0; k < depth; ++k)
    panel[(k / group * width + col % width) * group + k % group] = element(k);
}

}  // namespace

Stored stored_as(at::ScalarType dtype) {
  return dtype == at::kHalf ? Stored::kFp16 : dtype == at::kBFloat16 ? Stored::kBf16 : Stored::kFp32;
}

template <typename Pack>
void PackedLinear::lay_out(const at::Tensor& bias, int64_t cols, int64_t depth, int64_t element_size,
                           Team& team, Arena& arena, Pack pack) {
  weights_.cols = cols;
  weights_.depth = depth;
  const int64_t width = num_panels() * layout_.panel;
  panels_ = Memory(static_cast<size_t>(width * filled(depth, layout_.depth_step) * element_size), arena);
  bias_ = Memory(static_cast<size_t>(width) * sizeof(float), arena);
  weights_.panels = panels_.get();
  weights_.bias = bias_.as<float>();
  const at::Tensor addends = bias.to(at::kFloat).contiguous();
  std::memcpy(bias_.get(), addends.const_data_ptr(), addends.nbytes());
  auto work = [&](int member) {
    const Share share(num_panels(), {member, team.size()});
    for (int64_t col = share.first * layout_.panel; col < std::min(cols, share.end * layout_.panel); ++col)
      pack(col);
  };
  team.run(work);
}

PackedLinear::PackedLinear(const at::Tensor& weight, const at::Tensor& bias, const Kernels& kernels,
                           Team& team, Arena& arena)
    : kernels_(&kernels), layout_{kernels.panel, kernels.group, kernels.depth_step} {
  const at::Tensor rows = weight.contiguous();
  const int64_t depth = rows.size(1);
  weights_.stored = stored_as(rows.scalar_type());
  const auto pack = [&]<typename T>(const T* from, int64_t col) {
    pack_column(col, depth, layout_, panels_.as<T>(), [&](int64_t k) { return from[col * depth + k]; });
  };
  // Elements are moved, whatever numbers they are.
  lay_out(bias, rows.size(0), depth, rows.element_size(), team, arena, [&](int64_t col) {
    if (rows.element_size() == sizeof(uint32_t)) {
      pack(static_cast<const uint32_t*>(rows.const_data_ptr()), col);
    } else {
      pack(static_cast<const uint16_t*>(rows.const_data_ptr()), col);
    }
  });
}

PackedLinear::PackedLinear(const at::Tensor& weight, const at::Tensor& bias, const Kernels& kernels,
                           const Int8Kernels& int8, Team& team, Arena& arena)
    : kernels_(&kernels), int8_(&int8), layout_{int8.panel, int8.group, int8.depth_step} {
  const at::Tensor rows = weight.contiguous();
  const int64_t cols = rows.size(0), depth = rows.size(1);
  const int64_t width = filled(cols, layout_.panel);
  scales_ = Memory(static_cast<size_t>(width) * sizeof(float), arena);
  sums_ = Memory(static_cast<size_t>(width) * sizeof(int32_t), arena);
  weights_.stored = Stored::kInt8;
  weights_.scales = scales_.as<float>();
  weights_.sums = sums_.as<int32_t>();
  const auto* from = rows.const_data_ptr<float>();
  lay_out(bias, cols, depth, sizeof(int8_t), team, arena, [&](int64_t col) {
    const float* row = from + col * depth;
    float greatest = 0;
    for (int64_t k = 0; k < depth; ++k) greatest = std::max(greatest, std::abs(row[k]));
    const float scale = greatest > 0 ? greatest / static_cast<float>(int8.most) : 1.0f;
    int32_t sum = 0;
    pack_column(col, depth, layout_, panels_.as<int8_t>(), [&](int64_t k) {
      const auto quantized = static_cast<int8_t>(std::lrint(row[k] / scale));
      sum += quantized;
      return quantized;
    });
    scales_.as<float>()[col] = scale;
    sums_.as<int32_t>()[col] = sum;
  });
}

void PackedLinear::operator()(Input input, Output output, Act act, Part part, bool by_rows,
                              std::byte* scratch) const {
  Share of_panels(num_panels(), {}), of_rows(input.rows, {});
  if (!by_rows && (num_panels() >= 2 * part.members || input.rows < part.members)) {
    of_panels = Share(num_panels(), part);
  } else {
    of_rows = Share(input.rows, part);
  }
  const int64_t in_size = kernels_->activations == Stored::kBf16 ? 2 : 4;
  const int64_t out_size = output.fp32 ? 4 : in_size;
  const Gemm gemm{
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
      .scratch = scratch,
  };
  if (int8_ != nullptr) {
    int8_->gemm(gemm, kernels_->activations);
  } else {
    kernels_->gemm(gemm);
  }
}

}  // namespace electra::cpu
