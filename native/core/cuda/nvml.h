// Free memory of a card as the driver's management library tells it: CUDA itself tells it only to a process
// that has a context on the card, which costs hundreds of megabytes and a moment.
#pragma once

#include <cstdint>

namespace electra {

// Bytes; 0 where nobody can say.
uint64_t nvml_free_memory(const char* pci_bus_id);

}  // namespace electra
