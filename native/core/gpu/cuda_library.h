// The CUDA library: `libelectra_cuda-<minor>-cu<major>`, beside the core and built with it, opened where the
// libtorch has CUDA. A core that needed CUDA's libraries itself could not be opened on a libtorch without
// them.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/gpu/gpu.h"

namespace electra {

struct CudaCard {
  std::string name;
  int major = 0, minor = 0;      // compute capability
  uint64_t free = 0, total = 0;  // bytes; free is 0 where nobody could say
};

// Versions as CUDA counts them: 13000 is 13.0.
struct CudaStatus {
  int driver = 0;     // what the driver can do at most; 0: there is none
  int runtime = 0;    // what this libtorch was built for
  std::string error;  // what asking for the cards failed with, by CUDA's name for it; "" where it did not
  std::vector<CudaCard> cards;
};

// Both halves are built from one tree against one libtorch, so C++ types may cross.
struct CudaLibrary {
  const char* built_for;  // "2.11-cu13"
  CudaStatus (*status)();
  std::unique_ptr<Gpu> (*make_gpu)(int index);
};

// Bump with any change to Gpu, Mark, Graph or the above.
constexpr uint32_t kCudaLibraryVersion = 1;
using CudaLibraryGet = const CudaLibrary* (*)(uint32_t version);  // "electra_cuda_get"

// Opens it once. nullptr where there is none; `why` gets one clause that says why.
const CudaLibrary* cuda_library(std::string& why);

// "12.4" of 12040.
std::string cuda_version(int version);

// Why no card can be used, a clause; "" where one can.
std::string why_unavailable(const CudaStatus& status);

// One line about a card.
std::string describe(const CudaCard& card, const CudaStatus& status);

}  // namespace electra
