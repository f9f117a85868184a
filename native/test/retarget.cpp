// Writes an archive that was moved to a device, which need not be here, and prints the devices that its code
// named before. What comes out is proved by others: Python on the device "meta", this library on the CPU.
//
//   electra_retarget ARCHIVE DEVICE OUT.pt
#include <c10/core/InferenceMode.h>

#include <cstdio>
#include <exception>
#include <string>

#include "core/checkpoint/load_module.h"

int main(int count, char** arguments) {
  if (count != 4) {
    std::fputs("usage: electra_retarget ARCHIVE DEVICE OUT.pt\n", stderr);
    return 2;
  }
  try {
    const c10::InferenceMode inference;
    torch::jit::Module module = electra::load_module(arguments[1], c10::Device(c10::kCPU));
    const electra::Origin origin =
        electra::retarget(module, c10::Device(std::string(arguments[2])), at::kFloat);
    for (const std::string& device : origin.devices) std::puts(device.c_str());
    module.save(arguments[3]);
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
