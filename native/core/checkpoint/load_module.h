// Opens the module of a TorchScript archive.
#pragma once

#include <c10/core/Device.h>
#include <torch/csrc/jit/api/module.h>

#include <string>

namespace electra {

// In eval mode. What torch cannot read is the file's fault: CoreError(ELECTRA_CHECKPOINT_INVALID).
torch::jit::Module load_module(const std::string& path, c10::Device device);

}  // namespace electra
