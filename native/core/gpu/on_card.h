// Work on a card, and what its failure means for the model that worked on it.
#pragma once

#include <c10/util/Exception.h>

#include <string>

#include "core/error.h"
#include "core/gpu/gpu.h"

namespace electra {

// Runs `work` with the card as this thread's. Where the card had no memory for it, the error says how much
// was free, and what the allocator held without need is given back; where the card is lost, that the process
// must restart.
template <typename Work>
auto on_card(Gpu& gpu, const Work& work) {
  const auto megabytes = [](uint64_t bytes) { return std::to_string(bytes / 1'000'000) + " MB"; };
  try {
    gpu.enter();
    return work();
  } catch (const CoreError&) {
    throw;
  } catch (const c10::OutOfMemoryError&) {
    const GpuMemory memory = gpu.memory();
    gpu.release_memory();
    throw CoreError(ELECTRA_OUT_OF_MEMORY,
                    gpu.device().str() + " had not enough memory: " + megabytes(memory.free) + " of " +
                        megabytes(memory.total) + " were free, and this process held " +
                        megabytes(memory.held) + ".");
  } catch (const std::exception&) {
    const std::string fatal = gpu.fatal_error();
    if (fatal.empty()) throw;
    throw CoreError(ELECTRA_LOST, gpu.device().str() + " has failed for the rest of this process (" + fatal +
                                      "); restart the process.");
  }
}

}  // namespace electra
