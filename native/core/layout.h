// Which tensors an ElectraClassifier has, by the names that its Python class gives them.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "core/config.h"

namespace electra {

using TensorMap = std::map<std::string, at::Tensor>;

// Index of the i-th linear layer in classifier.layers; its activation follows at the next index, and the
// output layer is the one at config.num_layers.
int64_t head_index(const ElectraConfig& config, int64_t i);

// Whether the head's activation is a module with weights of its own: SwishGLU or PReLU.
bool head_has_weights(const ElectraConfig& config);

// Checks that `stored` holds what `config` asks for, no more and no less, in the right shapes, and returns it
// complete: the head's activation is one module shared by all its layers, of which a file may hold only one
// copy. Throws CoreError(ELECTRA_CHECKPOINT_INVALID) that names the tensor, what was found and expected.
TensorMap checked_tensors(const ElectraConfig& config, TensorMap stored);

}  // namespace electra
