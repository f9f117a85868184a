// The safetensors format: an 8-byte length, a JSON header, the tensors' bytes.
#pragma once

#include <string>

#include "core/error.h"
#include "core/layout.h"

namespace electra {

// All tensors of a file, copied out of the mapping: a file that is truncated later would fault a process that
// still reads it. Nothing that the header says is believed before it is checked against the file's size.
TensorMap read_safetensors(const std::string& path, const Stop& stop);

}  // namespace electra
