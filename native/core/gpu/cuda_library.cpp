#include "core/gpu/cuda_library.h"

#include <ATen/detail/CUDAHooksInterface.h>
#include <torch/version.h>

#include <cstdio>

#include "platform.h"

namespace electra {

namespace {

struct Opened {
  const CudaLibrary* library = nullptr;
  std::string why;
};

Opened open() {
  const at::CUDAHooksInterface& hooks = at::detail::getCUDAHooks();
  if (!hooks.hasCUDART()) return {nullptr, "this libtorch was built without it"};
  const std::string name = "electra_cuda-" + std::to_string(TORCH_VERSION_MAJOR) + "." +
                           std::to_string(TORCH_VERSION_MINOR) + "-cu" +
                           std::to_string(hooks.versionCUDART() / 1000);
  const std::string file = platform::library_file(name);
  try {
    const std::string folder = platform::folder_of(reinterpret_cast<const void*>(&open));
    const auto opened = platform::Library::open(folder + "/" + file);
    const CudaLibrary* library =
        reinterpret_cast<CudaLibraryGet>(opened.symbol("electra_cuda_get"))(kCudaLibraryVersion);
    if (library != nullptr) return {library, ""};
    return {nullptr, file + " was built for another version of the core"};
  } catch (const platform::Error& error) {
    return {nullptr, file + " could not be opened: " + error.what()};
  }
}

}  // namespace

const CudaLibrary* cuda_library(std::string& why) {
  static const Opened& opened = *new Opened(open());  // for threads that a shutdown leaves behind
  why = opened.why;
  return opened.library;
}

std::string cuda_version(int version) {
  return std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10);
}

std::string why_unavailable(const CudaStatus& status) {
  if (!status.cards.empty()) return "";
  const std::string needs = "this libtorch needs one for CUDA " + cuda_version(status.runtime);
  if (status.driver == 0) return "no NVIDIA driver is installed; " + needs;
  // Within a major version any driver serves; across majors only a newer one does.
  if (status.driver / 1000 < status.runtime / 1000) {
    return "the NVIDIA driver is for CUDA " + cuda_version(status.driver) + " and too old; " + needs;
  }
  return "no NVIDIA card answers its driver" + (status.error.empty() ? "" : " (" + status.error + ")");
}

std::string describe(const CudaCard& card, const CudaStatus& status) {
  char text[160];
  const auto gigabytes = [](uint64_t bytes) { return static_cast<double>(bytes) / 1e9; };
  std::snprintf(text, sizeof(text), "compute capability %d.%d, ", card.major, card.minor);
  std::string line = card.name + ", " + text;
  if (card.free > 0) {
    std::snprintf(text, sizeof(text), "%.1f of %.1f GB free", gigabytes(card.free), gigabytes(card.total));
  } else {
    std::snprintf(text, sizeof(text), "%.1f GB", gigabytes(card.total));
  }
  return line + text + ", driver for CUDA " + cuda_version(status.driver) + ", runtime " +
         cuda_version(status.runtime);
}

}  // namespace electra
