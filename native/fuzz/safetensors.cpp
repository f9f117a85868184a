// A safetensors file: its header may say anything.
#include "core/checkpoint/safetensors.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cstring>

#include "fuzz/fuzz.h"

using namespace electra;

extern "C" size_t LLVMFuzzerMutate(uint8_t* data, size_t size, size_t max_size);

// Mostly changes the header and says its length anew, which chance would not find.
extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size, unsigned seed) {
  uint64_t header = 0;
  if (size < sizeof(header) || max_size < 2 * sizeof(header) || seed % 8 == 0) {
    return LLVMFuzzerMutate(data, size, max_size);
  }
  std::memcpy(&header, data, sizeof(header));
  header = std::min<uint64_t>(header, size - sizeof(header));
  const std::string tensors(reinterpret_cast<char*>(data) + sizeof(header) + header,
                            size - sizeof(header) - header);
  if (tensors.size() + sizeof(header) >= max_size) return LLVMFuzzerMutate(data, size, max_size);
  header = LLVMFuzzerMutate(data + sizeof(header), header, max_size - sizeof(header) - tensors.size());
  std::memcpy(data, &header, sizeof(header));
  std::memcpy(data + sizeof(header) + header, tensors.data(), tensors.size());
  return sizeof(header) + header + tensors.size();
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static fuzz::File file;
  const std::string& path = file.write({reinterpret_cast<const char*>(data), size});
  fuzz::refuses_or([&] {
    uint64_t bytes = 0;
    for (const auto& [name, tensor] : read_safetensors(path, Stop(nullptr))) bytes += tensor.nbytes();
    fuzz::require(bytes <= size, "tensors have no more bytes than their file");
  });
  return 0;
}
