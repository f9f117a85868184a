// Opens the module of a TorchScript archive, and makes what was traced elsewhere serve here.
#pragma once

#include <c10/core/Device.h>
#include <c10/core/ScalarType.h>
#include <torch/csrc/jit/api/module.h>

#include <set>
#include <string>
#include <vector>

namespace electra {

// In eval mode. What torch cannot read is the file's fault: CoreError(ELECTRA_CHECKPOINT_INVALID).
torch::jit::Module load_module(const std::string& path, c10::Device device);

// What a module was made for.
struct Origin {
  at::ScalarType dtype = at::kFloat;  // of its weights, or of most of them
  std::set<std::string> devices;      // those that its graphs name and that are not the one asked for
  bool names_dtype = false;           // whether its graphs name that dtype, and it is not the one asked for
};

// Makes a module that was loaded on `device` and has not run yet compute there, in `dtype`. A trace has the
// device and the dtype of the machine that traced written into its graphs; here they come to name what is
// asked for, in every function of the archive. Weights and constants of the archive's own dtype are cast;
// integers stay as they are, and numbers beyond the new dtype's range (a mask's lowest float) become its
// lowest or highest.
Origin retarget(torch::jit::Module& module, c10::Device device, at::ScalarType dtype);

// Every tensor that the module brings: parameters, buffers, and constants of its graphs.
std::vector<at::Tensor> tensors_of(const torch::jit::Module& module);

}  // namespace electra
