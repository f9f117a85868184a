#include "addon/core_library.h"

#include <atomic>
#include <cmath>
#include <filesystem>
#include <mutex>
#include <thread>

#include "platform.h"

namespace electra {

namespace {

// Of the process, not of an environment: libtorch's static state is one, and worker threads share it. Nothing
// here has a destructor that could run under a thread still computing; the libraries are never closed.
struct Opened {
  std::mutex mutex;
  std::string libtorch;  // as soon as it is open, whether or not a core was found for it
  std::string core_path;
  std::atomic<const electra_core*> core = nullptr;
};

Opened& opened() {
  static Opened& leaked = *new Opened;
  return leaked;
}

const electra_core& opened_core() {
  const electra_core* core = opened().core;
  if (core == nullptr) throw Fault("LIBTORCH_NOT_FOUND", "no libtorch is open yet: call open() first");
  return *core;
}

// One spelling for one file, so that opening it again under another is still a no-op.
std::string canonical(const std::string& path) {
  const std::filesystem::path utf8(std::u8string(path.begin(), path.end()));
  std::error_code error;
  const std::filesystem::path canonical = std::filesystem::weakly_canonical(utf8, error);
  const std::u8string text = (error ? utf8 : canonical).u8string();
  return std::string(text.begin(), text.end());
}

const char* code_name(int32_t code, const char* otherwise) {
  switch (code) {
    case ELECTRA_INVALID_ARGUMENT:
      return Fault::kOutOfRange;
    case ELECTRA_CHECKPOINT_NOT_FOUND:
      return "CHECKPOINT_NOT_FOUND";
    case ELECTRA_CHECKPOINT_INVALID:
      return "CHECKPOINT_INVALID";
    case ELECTRA_DEVICE_UNAVAILABLE:
      return "DEVICE_UNAVAILABLE";
    case ELECTRA_MODEL_LOAD_FAILED:
      return "MODEL_LOAD_FAILED";
    case ELECTRA_FORWARD_FAILED:
      return "FORWARD_FAILED";
    case ELECTRA_OUT_OF_MEMORY:
      return "OUT_OF_MEMORY";
    case ELECTRA_STOPPED:
      return "CLOSED";
    default:
      return otherwise;
  }
}

// Calls the core, and turns whatever goes wrong into a Fault; `otherwise` is the code of what has none.
template <typename Call>
void call_core(const char* otherwise, Call call) {
  electra_error error = {};
  int32_t code;
  try {
    code = call(&error);
  } catch (const std::bad_alloc&) {
    throw Fault("OUT_OF_MEMORY", "there was not enough memory");
  } catch (const std::exception& thrown) {
    throw Fault(otherwise, thrown.what());
  } catch (...) {
    throw Fault(otherwise, "the core threw something that is no exception");
  }
  if (code == ELECTRA_OK) return;
  error.message[sizeof(error.message) - 1] = '\0';
  std::string message = error.message;
  if (message.empty()) {
    message = code == ELECTRA_STOPPED
                  ? "the model was closed while it ran"
                  : "the core failed with code " + std::to_string(code) + " and no reason";
  }
  throw Fault(code_name(code, otherwise), message, code == ELECTRA_LOST);
}

// What must hold before anything is allocated for the batch or read from it; the core checks every value.
void check_lengths(const Batch& batch) {
  if (batch.cu_seqlens.size() < 2) {
    throw Fault(Fault::kOutOfRange,
                "cu_seqlens must hold the offsets of at least one row, two numbers, but has " +
                    std::to_string(batch.cu_seqlens.size()));
  }
  const size_t rows = batch.cu_seqlens.size() - 1, tokens = batch.input_ids.size();
  if (rows > tokens) {
    throw Fault(Fault::kOutOfRange, "cu_seqlens has " + std::to_string(rows) + " rows, but input_ids only " +
                                        std::to_string(tokens) + " tokens; every row needs at least one");
  }
  if (batch.token_type_ids && batch.token_type_ids->size() != tokens) {
    throw Fault(Fault::kOutOfRange, "token_type_ids has " + std::to_string(batch.token_type_ids->size()) +
                                        " numbers, but input_ids " + std::to_string(tokens));
  }
}

electra_load_spec plain(const LoadSpec& spec) {
  electra_load_spec plain = {};
  plain.kind = spec.kind;
  plain.dtype = spec.dtype;
  plain.threads = static_cast<int32_t>(spec.threads);
  plain.path = spec.path.c_str();
  plain.config = spec.config.c_str();
  plain.device = spec.device.c_str();
  plain.warmup = spec.warmup;
  plain.max_batch_tokens = spec.max_batch_tokens;
  plain.buckets = spec.graph_buckets.data();
  plain.num_buckets = spec.graph_buckets.size();
  return plain;
}

electra_batch plain(const Batch& batch) {
  check_lengths(batch);
  electra_batch plain = {};
  plain.input_ids = batch.input_ids.data();
  plain.cu_seqlens = batch.cu_seqlens.data();
  plain.token_type_ids = batch.token_type_ids ? batch.token_type_ids->data() : nullptr;
  plain.total_tokens = static_cast<int64_t>(batch.input_ids.size());
  plain.rows = static_cast<int64_t>(batch.cu_seqlens.size()) - 1;
  return plain;
}

CoreInfo describe(const electra_core& core) {
  CoreInfo info;
  info.torch_version = core.torch_version;
  char reason[1024] = {};
  call_core("LIBTORCH_NOT_FOUND", [&](electra_error*) {
    core.devices(
        [](void* context, const char* name, const char* description) {
          static_cast<CoreInfo*>(context)->devices.emplace_back(name, description);
        },
        &info, reason, sizeof(reason));
    return ELECTRA_OK;
  });
  reason[sizeof(reason) - 1] = '\0';
  info.cuda_unavailable = reason;
  return info;
}

const electra_core& open_libraries(const std::string& libtorch_lib, const std::string& core_path) {
  Opened& process = opened();
  const std::lock_guard lock(process.mutex);
  const std::string libtorch = canonical(libtorch_lib), core_file = canonical(core_path);
  if (!process.libtorch.empty() && process.libtorch != libtorch) {
    throw Fault("LIBTORCH_MISMATCH", "this process has opened the libtorch in " + process.libtorch +
                                         " and cannot open another one in " + libtorch);
  }
  if (const electra_core* core = process.core) {
    if (process.core_path == core_file) return *core;
    throw Fault("LIBTORCH_MISMATCH", "this process has opened the core " + process.core_path +
                                         " and cannot open another one, " + core_file);
  }
  // Another copy of this package, or another addon, may have opened a libtorch of its own. Two in one process
  // would share some symbols and not others.
  const std::string torch_cpu = platform::library_file("torch_cpu");
  const std::string other = platform::Library::where_open(torch_cpu);
  if (!other.empty() && canonical(other) != canonical(libtorch + "/" + torch_cpu)) {
    throw Fault("LIBTORCH_MISMATCH", "this process has opened the libtorch in " +
                                         other.substr(0, other.find_last_of('/')) +
                                         " and cannot open another one in " + libtorch);
  }
  try {
    platform::Library::open(libtorch + "/" + platform::library_file("torch"));
  } catch (const platform::Error& error) {
    throw Fault("LIBTORCH_NOT_FOUND", error.what());
  }
  process.libtorch = libtorch;
  const electra_core* core = nullptr;
  try {
    const auto library = platform::Library::open(core_file);
    core = reinterpret_cast<electra_core_get_fn>(library.symbol("electra_core_get"))(ELECTRA_CORE_VERSION);
  } catch (const platform::Error& error) {
    throw Fault("LIBTORCH_MISMATCH", error.what());
  }
  if (core == nullptr || core->version != ELECTRA_CORE_VERSION || core->size != sizeof(electra_core)) {
    throw Fault("LIBTORCH_MISMATCH",
                core_file + " was built for another version of the addon; build both from the same sources");
  }
  process.core_path = core_file;
  process.core = core;
  return *core;
}

}  // namespace

CoreInfo open_core(const std::string& libtorch_lib, const std::string& core) {
  return describe(open_libraries(libtorch_lib, core));
}

void export_archive(const LoadSpec& spec, const std::string& out, const std::vector<ArchiveFile>& files,
                    const electra_stop& stop) {
  const electra_core& core = opened_core();
  std::vector<electra_file> plain_files;
  for (const ArchiveFile& file : files) {
    plain_files.push_back({file.name.c_str(), file.bytes.data(), file.bytes.size()});
  }
  const electra_load_spec plain_spec = plain(spec);
  call_core("MODEL_LOAD_FAILED", [&](electra_error* error) {
    return core.export_archive(&plain_spec, out.c_str(), plain_files.data(), plain_files.size(), &stop,
                               error);
  });
}

std::vector<ArchiveFile> read_archive(const std::string& path) {
  const electra_core& core = opened_core();
  std::vector<ArchiveFile> files;
  call_core("CHECKPOINT_INVALID", [&](electra_error* error) {
    return core.read_archive(
        path.c_str(),
        [](void* context, const electra_file* file) {
          const auto* bytes = static_cast<const std::byte*>(file->bytes);
          static_cast<std::vector<ArchiveFile>*>(context)->push_back(
              {file->name, std::vector<std::byte>(bytes, bytes + file->size)});
        },
        &files, error);
  });
  return files;
}

CoreModel::~CoreModel() {
  if (model_ == nullptr) return;
  try {
    core_->free_model(model_);
  } catch (...) {
    // The core promises not to throw; what it could not free is left.
  }
}

electra_model_info CoreModel::load(const LoadSpec& spec, const electra_stop& stop) {
  core_ = &opened_core();
  if (!(spec.threads >= 1 && spec.threads <= 1024) || spec.threads != std::floor(spec.threads)) {
    throw Fault(Fault::kOutOfRange, "threads must be a whole number from 1 to 1024");
  }
  electra_load_spec plain_spec = plain(spec);
  // Without bf16 products, weights in fp16 are read twice as fast as in fp32, and multiplied in fp32 all the
  // same.
  const platform::Cpu cpu = platform::cpu();
  plain_spec.cpu_dtype = cpu.has("amx_bf16") || cpu.has("avx512_bf16") ? ELECTRA_BF16
                         : cpu.has("avx2")                             ? ELECTRA_FP16
                                                                       : ELECTRA_FP32;
  electra_model_info info = {};
  call_core("MODEL_LOAD_FAILED",
            [&](electra_error* error) { return core_->load(&plain_spec, &stop, &model_, &info, error); });
  if (model_ == nullptr || info.num_labels < 1) {
    throw Fault("MODEL_LOAD_FAILED", "the core loaded " + spec.path + " without a label");
  }
  info.device[sizeof(info.device) - 1] = '\0';
  info.notes[sizeof(info.notes) - 1] = '\0';
  num_labels_ = static_cast<size_t>(info.num_labels);
  overlaps_ = info.overlaps != 0;
  return info;
}

std::vector<float> CoreModel::forward(const Batch& batch, const electra_stop& stop) {
  const electra_batch rows = plain(batch);
  std::vector<float> logits(static_cast<size_t>(rows.rows) * num_labels_);
  call_core("FORWARD_FAILED",
            [&](electra_error* error) { return core_->forward(model_, &rows, &stop, logits.data(), error); });
  return logits;
}

int32_t CoreModel::begin(const Batch& batch, const electra_stop& stop) {
  const electra_batch rows = plain(batch);
  int32_t ticket = 0;
  call_core("FORWARD_FAILED",
            [&](electra_error* error) { return core_->begin(model_, &rows, &stop, &ticket, error); });
  return ticket;
}

std::vector<float> CoreModel::finish(int32_t ticket, const Batch& batch, const electra_stop& stop) {
  // A device is done in a millisecond or a few; sleeping would cost more than it saves.
  for (int32_t finished = 0; finished == 0;) {
    meanwhile_();
    call_core("FORWARD_FAILED",
              [&](electra_error* error) { return core_->finished(model_, ticket, &finished, error); });
    if (finished != 0) break;
    // A device that hangs says so never.
    if (stop.requested(stop.context) != 0) throw Fault("CLOSED", "the model was closed while it ran");
    std::this_thread::yield();
  }
  std::vector<float> logits((batch.cu_seqlens.size() - 1) * num_labels_);
  call_core("FORWARD_FAILED",
            [&](electra_error* error) { return core_->finish(model_, ticket, logits.data(), error); });
  return logits;
}

}  // namespace electra
