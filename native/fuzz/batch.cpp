// Packed inputs: ids, offsets and token types of any values are refused, or scored as their rows are alone.
// Run in the repository's root, whose tiny models it loads.
#include <cmath>
#include <fstream>
#include <iterator>

#include "core.h"
#include "fuzz/fuzz.h"

extern "C" const electra_core* electra_core_get(uint32_t version);

using namespace electra;

namespace {

struct Loaded {
  const char* folder;
  int32_t dtype, threads;
  electra_model* model;
  electra_model_info info;
};

Loaded models[] = {
    {"mean-swishglu", ELECTRA_FP32, 1, nullptr, {}},
    {"mean-swishglu", ELECTRA_FP32, 2, nullptr, {}},
    {"embeddings-project", ELECTRA_BF16, 2, nullptr, {}},
    {"max-gelu-three-layers", ELECTRA_INT8, 1, nullptr, {}},
    {"cls-swishglu", ELECTRA_FP16, 1, nullptr, {}},
};

const electra_core& core() { return *electra_core_get(ELECTRA_CORE_VERSION); }

void load(Loaded& loaded) {
  const std::string folder = std::string("test/fixtures/checkpoints/") + loaded.folder;
  std::ifstream stream(folder + "/config.json");
  const std::string config{std::istreambuf_iterator<char>(stream), {}}, path = folder + "/model.safetensors";
  electra_load_spec spec = {};
  spec.kind = ELECTRA_CHECKPOINT;
  spec.dtype = loaded.dtype;
  spec.cpu_dtype = ELECTRA_FP32;
  spec.threads = loaded.threads;
  spec.path = path.c_str();
  spec.config = config.c_str();
  spec.device = "cpu";
  electra_error error = {};
  core().load(&spec, nullptr, &loaded.model, &loaded.info, &error);
  fuzz::require(loaded.model != nullptr, error.message);
}

// The result's code, and logits as far as there are rows for them.
int32_t forward(const Loaded& loaded, const std::vector<int32_t>& ids, const std::vector<int32_t>& offsets,
                const std::vector<int32_t>* types, std::vector<float>& logits) {
  electra_batch batch = {};
  batch.input_ids = ids.data();
  batch.cu_seqlens = offsets.data();
  batch.token_type_ids = types != nullptr ? types->data() : nullptr;
  batch.total_tokens = static_cast<int64_t>(ids.size());
  batch.rows = static_cast<int64_t>(offsets.size()) - 1;
  logits.assign((offsets.size() - 1) * static_cast<size_t>(loaded.info.num_labels), std::nanf(""));
  electra_error error = {};
  return core().forward(loaded.model, &batch, nullptr, logits.data(), &error);
}

// Mostly small numbers, which are right; now and then any.
int32_t value(fuzz::Input& input, int32_t below) {
  const auto byte = input.number<uint8_t>();
  return byte < 252 ? byte % below : input.number<int32_t>();
}

}  // namespace

extern "C" int LLVMFuzzerInitialize(int*, char***) {
  for (Loaded& loaded : models) load(loaded);
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  fuzz::Input input(data, size);
  const Loaded& loaded = models[input.number<uint8_t>() % std::size(models)];
  const bool has_types = (input.number<uint8_t>() & 1) != 0;
  const size_t rows = 1 + input.number<uint8_t>() % 6;
  std::vector<int32_t> ids, types, offsets = {value(input, 1)};
  for (size_t row = 0; row < rows; ++row) {
    offsets.push_back(static_cast<int32_t>(int64_t{offsets.back()} + value(input, 40)));
  }
  const auto tokens = offsets.back() > 0 && offsets.back() <= 6 * 40 ? static_cast<size_t>(offsets.back())
                                                                     : size_t{input.number<uint8_t>()};
  for (size_t i = 0; i < tokens; ++i) {
    ids.push_back(value(input, loaded.info.vocab_size));
    types.push_back(value(input, 2));
  }
  const std::vector<int32_t>* const given = has_types ? &types : nullptr;
  std::vector<float> logits;
  const int32_t code = forward(loaded, ids, offsets, given, logits);
  fuzz::require(code == ELECTRA_OK || code == ELECTRA_INVALID_ARGUMENT,
                "a batch is scored, or its values are wrong");
  if (code != ELECTRA_OK) return 0;
  const auto labels = static_cast<size_t>(loaded.info.num_labels);
  for (size_t row = 0; row < rows; ++row) {
    const auto cut = [&](const std::vector<int32_t>& all) {
      return std::vector(all.begin() + offsets[row], all.begin() + offsets[row + 1]);
    };
    const std::vector<int32_t> own_ids = cut(ids), own_types = cut(types),
                               own_offsets = {0, offsets[row + 1] - offsets[row]};
    std::vector<float> alone;
    fuzz::require(
        forward(loaded, own_ids, own_offsets, has_types ? &own_types : nullptr, alone) == ELECTRA_OK,
        "a row of a batch that was scored is scored alone");
    for (size_t label = 0; label < labels; ++label) {
      const float together = logits[row * labels + label];
      fuzz::require(std::isfinite(together), "logits are numbers");
      fuzz::require(together == alone[label], "a row has the same bits alone and in any batch");
    }
  }
  return 0;
}
