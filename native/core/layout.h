// Which tensors a model has, by the names that its Python class gives them.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "core/config.h"

namespace electra {

using TensorMap = std::map<std::string, at::Tensor>;

// The modules of the body's i-th layer.
struct LayerModules {
  std::vector<std::string> query_key_value;
  std::string attention_output, attention_norm, intermediate, output, output_norm;
};
LayerModules layer_modules(const ElectraConfig& config, int64_t i);

// The module of the head's i-th linear layer, from 0 to config.num_layers, which is the output layer.
std::string head_layer(const ElectraConfig& config, int64_t i);

// The module of the activation that follows it. For ElectraClassifier only: the others' has no weights.
std::string head_activation_module(const ElectraConfig& config, int64_t i);

// Checks that `stored` holds what `config` asks for, no more and no less, in the right shapes, and returns it
// complete: the head's activation is one module shared by all its layers, of which a file may hold only one
// copy. Throws CoreError(ELECTRA_CHECKPOINT_INVALID) that names the tensor, what was found and expected.
TensorMap checked_tensors(const ElectraConfig& config, TensorMap stored);

}  // namespace electra
