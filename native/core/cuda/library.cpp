// What the core finds in the CUDA library.
#include <cuda_runtime_api.h>
#include <torch/headeronly/version.h>

#include "core/cuda/cuda_gpu.h"
#include "core/cuda/nvml.h"
#include "core/gpu/cuda_library.h"

#define ELECTRA_TEXT_OF(x) #x
#define ELECTRA_TEXT(x) ELECTRA_TEXT_OF(x)

namespace electra {

namespace {

CudaStatus status() {
  CudaStatus status;
  cudaDriverGetVersion(&status.driver);
  status.runtime = CUDART_VERSION;
  int count = 0;
  if (const cudaError_t error = cudaGetDeviceCount(&count); error != cudaSuccess) {
    cudaGetLastError();
    status.error = cudaGetErrorName(error);
    return status;
  }
  for (int i = 0; i < count; ++i) {
    cudaDeviceProp properties;
    if (cudaGetDeviceProperties(&properties, i) != cudaSuccess) continue;
    char bus_id[32] = {};
    cudaDeviceGetPCIBusId(bus_id, sizeof(bus_id), i);
    status.cards.push_back({properties.name, properties.major, properties.minor, nvml_free_memory(bus_id),
                            properties.totalGlobalMem});
  }
  return status;
}

const CudaLibrary kLibrary = {
    ELECTRA_TEXT(TORCH_VERSION_MAJOR) "." ELECTRA_TEXT(TORCH_VERSION_MINOR) ", CUDA " ELECTRA_TEXT(
        CUDART_VERSION),
    status,
    make_cuda_gpu,
};

}  // namespace

}  // namespace electra

extern "C" {
#ifdef _WIN32
__declspec(dllexport)
#else
__attribute__((visibility("default")))
#endif
    const electra::CudaLibrary* electra_cuda_get(uint32_t version) {
  return version == electra::kCudaLibraryVersion ? &electra::kLibrary : nullptr;
}
}
