#include "core/cpu/choose_kernels.h"

#include "platform.h"

namespace electra::cpu {

const Kernels* kernels_for(at::ScalarType dtype) {
  const platform::Cpu cpu = platform::cpu();
  // What int8 leaves, attention above all, is fastest in bf16.
  const bool bf16 = dtype == at::kBFloat16 || dtype == at::kChar;
  const Kernels* kernels = nullptr;
  if (bf16 && cpu.has("amx_bf16")) kernels = amx_kernels();
  if (kernels == nullptr && bf16 && cpu.has("avx512_bf16") && cpu.has("avx512_vnni"))
    kernels = avx512_bf16_kernels();
  if (kernels == nullptr && cpu.has("avx512f")) kernels = avx512_kernels();
  if (kernels == nullptr && cpu.has("avx2")) kernels = avx2_kernels();
  return kernels;
}

const Int8Kernels* int8_kernels() {
  const platform::Cpu cpu = platform::cpu();
  const Int8Kernels* kernels = nullptr;
  if (cpu.has("amx_bf16")) kernels = amx_int8_kernels();
  if (kernels == nullptr && cpu.has("avx512_vnni")) kernels = avx512_vnni_kernels();
  if (kernels == nullptr && cpu.has("avx2")) kernels = avx2_int8_kernels();
  return kernels;
}

}  // namespace electra::cpu
