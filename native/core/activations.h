// The activations that run without arguments or weights, each once as ATen calls and once as the TorchScript
// that an exported archive carries.
#pragma once

#include <ATen/core/Tensor.h>

#include <string>

#include "core/cpu/kernels.h"

namespace electra {

struct Activation {
  const char* name;
  at::Tensor (*apply)(const at::Tensor& x);
  const char* script;              // an expression in `x`
  cpu::Act act = cpu::Act::kNone;  // the encoder's: what the CPU kernels have for it
};

// The head's `hidden_activation`, a class of torch.nn with its default arguments. SwishGLU and PReLU, which
// have weights, are not in the table: the head runs them itself, and the list in the error names them too.
const Activation& head_activation(const std::string& name);

// The encoder's `hidden_act`, a key of transformers' ACT2FN.
const Activation& encoder_activation(const std::string& name);

}  // namespace electra
