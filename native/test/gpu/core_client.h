// core.h as C++, for the tests on a card: the core is opened as the addon opens it.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "core.h"

namespace electra::test {

// What the core refused or failed with.
class Failure : public std::runtime_error {
 public:
  Failure(int32_t code, const std::string& message) : std::runtime_error(message), code(code) {}
  const int32_t code;
};

struct Rows {
  std::vector<int32_t> ids, offsets = {0};

  void add(const std::vector<int32_t>& row) {
    ids.insert(ids.end(), row.begin(), row.end());
    offsets.push_back(static_cast<int32_t>(ids.size()));
  }
  int64_t rows() const { return static_cast<int64_t>(offsets.size()) - 1; }
  electra_batch batch() const {
    return {ids.data(), offsets.data(), nullptr, static_cast<int64_t>(ids.size()), rows()};
  }
};

const electra_core& open_core(const std::string& libtorch_lib, const std::string& core_path);

// Why there is no CUDA; "" where there is. `cards` gets a line for each.
std::string cuda_unavailable(const electra_core& core, std::vector<std::string>& cards);

struct Spec {
  int32_t kind = ELECTRA_CHECKPOINT;
  std::string path, config, device = "cuda:0";
  int32_t dtype = ELECTRA_BF16, warmup = ELECTRA_WARMUP_GRAPHS, max_batch_tokens = 16384, threads = 1;
  std::vector<electra_bucket> buckets;
};

// A checkpoint's folder: weights and config.
Spec checkpoint(const std::string& folder);

class Model {
 public:
  Model(const electra_core& core, const Spec& spec);
  ~Model() { core_.free_model(model_); }
  Model(const Model&) = delete;
  Model& operator=(const Model&) = delete;

  std::vector<float> forward(const Rows& rows);
  int32_t begin(const Rows& rows);
  std::vector<float> finish(int32_t ticket, int64_t rows);

  electra_model_info info = {};

 private:
  const electra_core& core_;
  electra_model* model_ = nullptr;
};

}  // namespace electra::test
