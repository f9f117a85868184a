// The pickle of a state dict: a program, which is read and not run.
#include "core/checkpoint/pickle.h"

#include "fuzz/fuzz.h"

using namespace electra;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  try {
    for (const auto& [name, tensor] : read_state_dict({reinterpret_cast<const char*>(data), size})) {
      fuzz::require(tensor.sizes.size() == tensor.strides.size(), "each size has a stride");
      // In 128 bits nothing here overflows: 8 products of two numbers below 2^63.
      __int128 last = tensor.offset;
      bool empty = false;
      for (size_t i = 0; i < tensor.sizes.size(); ++i) {
        empty = empty || tensor.sizes[i] == 0;
        last += static_cast<__int128>(tensor.sizes[i] - 1) * tensor.strides[i];
      }
      fuzz::require(tensor.offset >= 0 && tensor.offset <= tensor.storage_size,
                    "a tensor begins in its storage");
      fuzz::require(empty || last < tensor.storage_size, "a tensor ends in its storage");
    }
  } catch (const PickleError&) {
  }
  return 0;
}
