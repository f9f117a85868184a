// The pickle of a state dict, read by a machine that knows tensors and nothing else. A pickle is a program,
// and Python's own reader calls whatever it names; here the opcodes and globals that torch.save writes for
// tensors are listed, every other one is refused by name, and nothing is ever called.
#pragma once

#include <c10/core/ScalarType.h>

#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace electra {

// What is wrong with a pickle, as the end of a sentence.
class PickleError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// A tensor as a pickle describes it: a view of a storage, which the view does not leave.
struct PickledTensor {
  std::string storage;  // the record data/<storage> of the file
  at::ScalarType dtype = at::kFloat;
  int64_t storage_size = 0;  // in elements, as offset and strides
  int64_t offset = 0;
  std::vector<int64_t> sizes, strides;
};

// The tensors of a state dict by name, in the pickle's order. Throws PickleError.
std::vector<std::pair<std::string, PickledTensor>> read_state_dict(std::string_view pickle);

}  // namespace electra
