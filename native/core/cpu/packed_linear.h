// A linear layer laid out for the kernels, once at load.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "core/cpu/kernels.h"
#include "core/cpu/memory.h"
#include "core/cpu/team.h"

namespace electra::cpu {

// One of the members of a team that share some work.
struct Part {
  int member = 0, members = 1;
};

// What one member takes of `count` things: from first to end.
struct Share {
  int64_t first, end;
  Share(int64_t count, Part part)
      : first(count * part.member / part.members), end(count * (part.member + 1) / part.members) {}
};

class PackedLinear {
 public:
  // `weight` [cols, depth] in the dtype that it is kept in (fp32, fp16 or bf16; what the kernels multiply
  // without expanding it must be of their own), `bias` [cols].
  PackedLinear(const at::Tensor& weight, const at::Tensor& bias, const Kernels& kernels, Team& team,
               Arena& arena);
  // In int8, each column by its own greatest element; `weight` in fp32.
  PackedLinear(const at::Tensor& weight, const at::Tensor& bias, const Kernels& kernels,
               const Int8Kernels& int8, Team& team, Arena& arena);

  struct Input {
    const std::byte* a;
    int64_t lda, rows;
  };
  struct Output {
    std::byte* out;
    int64_t ldo;
    bool fp32;
  };
  // The members of a team share a product: each takes some rows or, unless `by_rows`, some panels where there
  // are enough of them. `scratch` is the member's own, Int8Kernels::scratch bytes; for int8 only.
  void operator()(Input input, Output output, Act act, Part part, bool by_rows = false,
                  std::byte* scratch = nullptr) const;

  int64_t depth() const noexcept { return weights_.depth; }
  int64_t cols() const noexcept { return weights_.cols; }
  uint64_t bytes() const noexcept { return panels_.size() + bias_.size() + scales_.size() + sums_.size(); }

 private:
  // How the panels are laid out.
  struct Layout {
    int64_t panel, group, depth_step;
  };
  // Makes room for the panels, and fills them by `pack(first panel, end panel)` on all members of the team.
  template <typename Pack>
  void lay_out(const at::Tensor& bias, int64_t cols, int64_t depth, int64_t element_size, Team& team,
               Arena& arena, Pack pack);
  int64_t num_panels() const { return (weights_.cols + layout_.panel - 1) / layout_.panel; }

  const Kernels* kernels_;
  const Int8Kernels* int8_ = nullptr;
  Layout layout_;
  Memory panels_, bias_, scales_, sums_;
  Weights weights_{};
};

Stored stored_as(at::ScalarType dtype);

}  // namespace electra::cpu
