// Which kernels this CPU runs: asked of the processor itself, and of ELECTRA_CPU_ISA, at each load.
#pragma once

#include <c10/core/ScalarType.h>

#include "core/cpu/kernels.h"

namespace electra::cpu {

// For a dtype (kChar is int8); nullptr where there are none, and libtorch's operators must do.
const Kernels* kernels_for(at::ScalarType dtype);

// For the linear layers of int8; nullptr where there are none.
const Int8Kernels* int8_kernels();

}  // namespace electra::cpu
