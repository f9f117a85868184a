#include "core/device.h"

#include <ATen/detail/CUDAHooksInterface.h>

#include <algorithm>
#include <charconv>
#include <string_view>

#include "core/error.h"
#include "core/gpu/cuda_library.h"

namespace electra {

int cuda_devices() {
  const at::CUDAHooksInterface& cuda = at::detail::getCUDAHooks();
  return cuda.hasCUDA() ? cuda.getNumGPUs() : 0;
}

std::string cuda_unavailable() {
  if (cuda_devices() > 0) return "";
  std::string why;
  const CudaLibrary* library = cuda_library(why);
  if (library != nullptr) return why_unavailable(library->status());
  return at::detail::getCUDAHooks().hasCUDART() ? "no NVIDIA card answers its driver" : why;
}

std::string cuda_description(int index) {
  std::string why;
  const CudaLibrary* library = cuda_library(why);
  if (library == nullptr) return "CUDA device " + std::to_string(index);
  const CudaStatus status = library->status();
  return describe(status.cards.at(static_cast<size_t>(index)), status);
}

ChosenDevice choose_device(const std::string& name) {
  const int count = cuda_devices();
  if (name == "cpu") return {c10::Device(c10::kCPU), ""};
  if (name == "auto") {
    if (count > 0) return {c10::Device(c10::kCUDA, 0), "The device is cuda:0 because a card answers."};
    return {c10::Device(c10::kCPU), "The device is the CPU because " + cuda_unavailable() + "."};
  }
  int index = 0;
  const std::string_view digits = std::string_view(name).substr(std::min<size_t>(name.size(), 5));
  const auto parsed = std::from_chars(digits.data(), digits.data() + digits.size(), index);
  const bool numbered = name.starts_with("cuda:") && parsed.ec == std::errc() && index >= 0 &&
                        parsed.ptr == digits.data() + digits.size();
  if (name != "cuda" && !numbered) {
    throw CoreError(ELECTRA_INVALID_ARGUMENT,
                    "device must be 'auto', 'cpu', 'cuda' or 'cuda:N', not '" + name + "'.");
  }
  if (count == 0) {
    throw CoreError(ELECTRA_DEVICE_UNAVAILABLE,
                    "The device " + name + " is not available because " + cuda_unavailable() +
                        "; use device 'cpu', or a libtorch with CUDA and a card with its driver.");
  }
  if (index >= count) {
    throw CoreError(ELECTRA_DEVICE_UNAVAILABLE,
                    "The device " + name + " is not available: there are " + std::to_string(count) +
                        " CUDA devices; the last is cuda:" + std::to_string(count - 1) + ".");
  }
  return {c10::Device(c10::kCUDA, static_cast<c10::DeviceIndex>(index)), ""};
}

}  // namespace electra
