#include "core/checkpoint/load_module.h"

#include <torch/csrc/jit/serialization/import.h>

#include <new>

#include "core/error.h"

namespace electra {

torch::jit::Module load_module(const std::string& path, c10::Device device) {
  std::string reason;
  try {
    torch::jit::Module module = torch::jit::load(path, device);
    module.eval();
    return module;
  } catch (const std::bad_alloc&) {
    throw;
  } catch (const c10::OutOfMemoryError&) {
    throw;
  } catch (const c10::Error& error) {
    reason = error.what_without_backtrace();
  } catch (const std::exception& error) {
    reason = error.what();
  }
  throw CoreError(
      ELECTRA_CHECKPOINT_INVALID,
      path + " cannot be loaded; it is damaged, or not a TorchScript archive of this torch: " + reason);
}

}  // namespace electra
