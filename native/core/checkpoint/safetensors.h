// The safetensors format: an 8-byte length, a JSON header, the tensors' bytes.
#pragma once

#include <string>

#include "core/error.h"
#include "core/layout.h"

namespace electra {

// All tensors of a file, as views of its mapping: not to be written to, and who keeps one copies it, because
// a file that is truncated later faults a process that still reads it. So a load holds the packed weights in
// memory of its own, and not the file's as well. Nothing that the header says is believed before it is
// checked against the file's size.
TensorMap read_safetensors(const std::string& path, const Stop& stop);

}  // namespace electra
