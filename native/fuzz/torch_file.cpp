// A pytorch_model.bin: either the bytes of the file, or, where the first byte is odd, what its records hold.
#include "core/checkpoint/torch_file.h"

#include <ATen/ATen.h>

#include "fuzz/fuzz.h"

using namespace electra;

namespace {

std::string built(fuzz::Input& input) {
  const std::string pickle(input.text()), first(input.text()), second(input.text());
  return fuzz::zip({{"data.pkl", pickle}, {"data/0", first}, {"data/1", second}, {"version", "3\n"}});
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static fuzz::File file;
  fuzz::Input input(data, size);
  const bool records = (input.number<uint8_t>() & 1) != 0;
  const std::string bytes = records ? built(input) : std::string(input.rest());
  const std::string& path = file.write(bytes);
  fuzz::refuses_or([&] {
    uint64_t total = 0;
    for (const auto& [name, tensor] : read_torch_file(path, Stop(nullptr))) {
      if (tensor.numel() > 0)
        total += static_cast<uint8_t>(tensor.flatten().view(-1)[-1].item<double>() != 0);
    }
    fuzz::require(total <= bytes.size(), "tensors are no more than the bytes of their file");
  });
  return 0;
}
