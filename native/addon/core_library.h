// The core half as C++: opening it once for the whole process, and calls that throw a Fault. Knows no Node.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "core.h"

namespace electra {

// What a promise is rejected with: a code of binding.d.ts, or kOutOfRange for a RangeError, and one sentence.
class Fault : public std::runtime_error {
 public:
  static constexpr const char* kOutOfRange = "ERR_OUT_OF_RANGE";

  Fault(const char* code, const std::string& message, bool lost = false)
      : std::runtime_error(message), code_(code), lost_(lost) {}
  const char* code() const noexcept { return code_; }
  // Whether the model that it came from can run nothing any more.
  bool lost() const noexcept { return lost_; }

 private:
  const char* code_;
  bool lost_;
};

struct LoadSpec {
  int32_t kind = ELECTRA_CHECKPOINT;
  int32_t dtype = ELECTRA_DTYPE_AUTO;
  double threads = 1;  // as the caller gave it; checked when it loads
  std::string path;
  std::string config;
  std::string device;
  int32_t warmup = ELECTRA_WARMUP_GRAPHS;
  int32_t max_batch_tokens = 16384;
  std::vector<electra_bucket> graph_buckets;  // none: the core chooses
};

// Packed rows, the addon's own copy of what the caller passed.
struct Batch {
  std::vector<int32_t> input_ids;
  std::vector<int32_t> cu_seqlens;
  std::optional<std::vector<int32_t>> token_type_ids;
};

struct ArchiveFile {
  std::string name;
  std::vector<std::byte> bytes;
};

struct CoreInfo {
  std::string torch_version;
  std::vector<std::pair<std::string, std::string>> devices;  // name, description
  std::string cuda_unavailable;
};

// Opens libtorch and the core, both for the life of the process; see binding.d.ts for what a second call
// does.
CoreInfo open_core(const std::string& libtorch_lib, const std::string& core);

void export_archive(const LoadSpec& spec, const std::string& out, const std::vector<ArchiveFile>& files,
                    const electra_stop& stop);

std::vector<ArchiveFile> read_archive(const std::string& path);

// A model of the core. One thread loads it, runs it and destroys it.
class CoreModel {
 public:
  CoreModel() = default;
  ~CoreModel();
  CoreModel(const CoreModel&) = delete;
  CoreModel& operator=(const CoreModel&) = delete;

  electra_model_info load(const LoadSpec& spec, const electra_stop& stop);
  // Logits, rows x num_labels.
  std::vector<float> forward(const Batch& batch, const electra_stop& stop);

  // The same in two parts, where the model `overlaps`: the device works on a batch that has begun while
  // another one is waited for. At most two are under way, and they finish in the order in which they began.
  bool overlaps() const { return overlaps_; }
  int32_t begin(const Batch& batch, const electra_stop& stop);
  // What was begun is left to the device where a stop is asked for.
  std::vector<float> finish(int32_t ticket, const Batch& batch, const electra_stop& stop);
  // Called again and again while finish waits.
  void while_waiting(std::function<void()> meanwhile) { meanwhile_ = std::move(meanwhile); }

 private:
  const electra_core* core_ = nullptr;
  electra_model* model_ = nullptr;
  size_t num_labels_ = 0;
  bool overlaps_ = false;
  std::function<void()> meanwhile_ = [] {};
};

}  // namespace electra
