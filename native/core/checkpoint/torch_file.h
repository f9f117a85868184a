// What torch.save writes: a zip file of one pickle, which describes tensors, and their bytes.
#pragma once

#include <string>

#include "core/error.h"
#include "core/layout.h"

namespace electra {

// All tensors of a state dict (pytorch_model.bin). Nothing in the file is executed; see pickle.h.
TensorMap read_torch_file(const std::string& path, const Stop& stop);

}  // namespace electra
