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

  // How many rows to give a packed layer for `rows` of them. oneDNN compiles a kernel for each number of rows
  // it meets, which takes milliseconds and one to two megabytes, so they are rounded up to one of few: by 1.6
  // % on average where a batch is full, and by at most 7 rows up to 64, where the rows are not what takes the
  // time.
  static int64_t rounded_rows(int64_t rows);

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
