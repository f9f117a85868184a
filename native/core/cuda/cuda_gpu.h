// A card through CUDA.
#pragma once

#include <memory>

#include "core/gpu/gpu.h"

namespace electra {

std::unique_ptr<Gpu> make_cuda_gpu(int index);

}  // namespace electra
