// The weights of a checkpoint folder, from whichever kind of file holds them.
#pragma once

#include <string>

#include "core/error.h"
#include "core/layout.h"

namespace electra {

// `path`, by its name, is a safetensors file, what torch.save wrote (.bin), or the index of several such
// files beside it (.safetensors.index.json, .bin.index.json).
//
// Throws CoreError: not found (shards that are missing are named), or not usable.
TensorMap read_weights(const std::string& path, const Stop& stop);

}  // namespace electra
