#include "core/cuda/nvml.h"

#include "platform.h"

namespace electra {

namespace {

// The part of nvml.h that is used; the driver keeps these as they are.
struct Memory {
  unsigned long long total, free, used;
};
using Device = void*;

struct Functions {
  int (*device_by_bus_id)(const char* bus_id, Device* device) = nullptr;
  int (*memory_info)(Device device, Memory* memory) = nullptr;

  Functions() {
#ifdef _WIN32
    constexpr const char* kFile = "nvml.dll";
#else
    constexpr const char* kFile = "libnvidia-ml.so.1";
#endif
    try {
      const auto library = platform::Library::open(kFile);
      if (reinterpret_cast<int (*)()>(library.symbol("nvmlInit_v2"))() != 0) return;
      device_by_bus_id =
          reinterpret_cast<decltype(device_by_bus_id)>(library.symbol("nvmlDeviceGetHandleByPciBusId_v2"));
      memory_info = reinterpret_cast<decltype(memory_info)>(library.symbol("nvmlDeviceGetMemoryInfo"));
    } catch (const platform::Error&) {
      // Machines without the driver, and some containers, have no such library.
    }
  }
};

}  // namespace

uint64_t nvml_free_memory(const char* pci_bus_id) {
  static const Functions nvml;
  Device device = nullptr;
  Memory memory = {};
  if (nvml.memory_info == nullptr || nvml.device_by_bus_id(pci_bus_id, &device) != 0) return 0;
  return nvml.memory_info(device, &memory) == 0 ? memory.free : 0;
}

}  // namespace electra
