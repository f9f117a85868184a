#include "core_client.h"

#include <fstream>
#include <iterator>

#include "platform.h"

namespace electra::test {

namespace {

const electra_stop kNever = {[](void*) -> int32_t { return 0; }, nullptr};

template <typename Call>
void checked(Call call) {
  electra_error error = {};
  const int32_t code = call(&error);
  if (code != ELECTRA_OK) throw Failure(code, error.message);
}

}  // namespace

const electra_core& open_core(const std::string& libtorch_lib, const std::string& core_path) {
  platform::Library::open(libtorch_lib + "/" + platform::library_file("torch"));
  const auto library = platform::Library::open(core_path);
  const auto get = reinterpret_cast<electra_core_get_fn>(library.symbol("electra_core_get"));
  const electra_core* core = get(ELECTRA_CORE_VERSION);
  if (core == nullptr) throw std::runtime_error(core_path + " was built from other sources");
  return *core;
}

std::string cuda_unavailable(const electra_core& core, std::vector<std::string>& cards) {
  char reason[1024] = {};
  core.devices(
      [](void* context, const char* name, const char* description) {
        static_cast<std::vector<std::string>*>(context)->push_back(std::string(name) + ": " + description);
      },
      &cards, reason, sizeof(reason));
  return reason;
}

Spec checkpoint(const std::string& folder) {
  Spec spec;
  spec.path = folder + "/model.safetensors";
  std::ifstream file(folder + "/config.json");
  spec.config.assign(std::istreambuf_iterator<char>(file), {});
  return spec;
}

Model::Model(const electra_core& core, const Spec& spec) : core_(core) {
  electra_load_spec plain = {};
  plain.kind = spec.kind;
  plain.dtype = spec.dtype;
  plain.cpu_dtype = ELECTRA_FP32;
  plain.threads = spec.threads;
  plain.path = spec.path.c_str();
  plain.config = spec.config.c_str();
  plain.device = spec.device.c_str();
  plain.warmup = spec.warmup;
  plain.max_batch_tokens = spec.max_batch_tokens;
  plain.buckets = spec.buckets.data();
  plain.num_buckets = spec.buckets.size();
  checked([&](electra_error* error) { return core_.load(&plain, &kNever, &model_, &info, error); });
}

std::vector<float> Model::forward(const Rows& rows) {
  std::vector<float> logits(static_cast<size_t>(rows.rows() * info.num_labels));
  const electra_batch batch = rows.batch();
  checked([&](electra_error* error) { return core_.forward(model_, &batch, &kNever, logits.data(), error); });
  return logits;
}

int32_t Model::begin(const Rows& rows) {
  int32_t ticket = 0;
  const electra_batch batch = rows.batch();
  checked([&](electra_error* error) { return core_.begin(model_, &batch, &kNever, &ticket, error); });
  return ticket;
}

std::vector<float> Model::finish(int32_t ticket, int64_t rows) {
  std::vector<float> logits(static_cast<size_t>(rows * info.num_labels));
  checked([&](electra_error* error) { return core_.finish(model_, ticket, logits.data(), error); });
  return logits;
}

}  // namespace electra::test
