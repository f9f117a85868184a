// The TorchScript of an exported model: dynamic in batch and length, without device or dtype.
#pragma once

#include <string>

#include "core/config.h"

namespace electra {

// `forward` of the embeddings, of one encoder layer, and of the whole.
std::string embeddings_source(const ElectraConfig& config);
std::string layer_source(const ElectraConfig& config);
std::string classifier_source(const ElectraConfig& config);

}  // namespace electra
