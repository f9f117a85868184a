// Devices through the generic torch API, so that one core serves libtorch with and without CUDA.
#pragma once

#include <c10/core/Device.h>

#include <string>
#include <vector>

namespace electra {

struct ChosenDevice {
  c10::Device device;
  std::string note;  // why, where that was a choice; else ""
};

// "auto", "cpu", "cuda" or "cuda:N". Throws CoreError: ELECTRA_DEVICE_UNAVAILABLE with reason and remedy, or
// ELECTRA_INVALID_ARGUMENT.
ChosenDevice choose_device(const std::string& name);

// Cards that answer, and why there are none ("" where there are).
int cuda_devices();
std::string cuda_unavailable();

// One line about a card.
std::string cuda_description(int index);

}  // namespace electra
