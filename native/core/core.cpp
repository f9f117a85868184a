// core.h on top of the engines: builds a model from what the addon asks for, checks every batch, and turns
// exceptions into codes.
#include "core.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/version.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <mutex>
#include <new>
#include <system_error>

#include "core/checkpoint/archive.h"
#include "core/checkpoint/weights.h"
#include "core/config.h"
#include "core/cpu/choose_kernels.h"
#include "core/device.h"
#include "core/electra_engine.h"
#include "core/error.h"
#include "core/gpu/cuda_library.h"
#include "core/gpu/gpu_engine.h"
#include "core/json.h"
#include "core/script_engine.h"
#include "platform.h"

struct electra_model {
  electra::ModelLimits limits;
  std::unique_ptr<electra::Engine> engine;
};

namespace electra {

namespace {

template <size_t Capacity>
void copy_text(const std::string& text, char (&out)[Capacity]) {
  size_t size = std::min(text.size(), Capacity - 1);
  // Not in the middle of a UTF-8 sequence.
  while (size < text.size() && size > 0 && (static_cast<unsigned char>(text[size]) & 0xc0) == 0x80) --size;
  std::memcpy(out, text.data(), size);
  out[size] = '\0';
}

std::string only_ascii(std::string text) {
  std::replace_if(
      text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) >= 0x80; }, '?');
  return text;
}

// One line of UTF-8: torch writes over several, and quotes the bytes of a damaged file as they are.
std::string one_sentence(std::string text) {
  text.erase(text.find_last_not_of(" \n\r\t") + 1);
  std::replace(text.begin(), text.end(), '\n', ' ');
  return json::is_utf8(text) ? text : only_ascii(std::move(text));
}

int32_t report(electra_error* error, int32_t code, const std::string& message) {
  error->code = code;
  copy_text(one_sentence(message), error->message);
  return code;
}

// Runs `work`; what it throws becomes a code: memory first, since it hides in torch's errors as well, then
// what was thrown on purpose, then torch's errors without their backtrace, then the rest as `otherwise`.
template <typename Work>
int32_t guarded(electra_error* error, int32_t otherwise, const Work& work) noexcept {
  const auto out_of_memory = [error] {
    return report(error, ELECTRA_OUT_OF_MEMORY, "There was not enough memory.");
  };
  const auto report_torch = [&](const std::string& message) {
    const bool memory = message.find("can't allocate memory") != std::string::npos ||
                        message.find("out of memory") != std::string::npos;
    return memory ? out_of_memory() : report(error, otherwise, without_traceback(message));
  };
  try {
    work();
    return ELECTRA_OK;
  } catch (const std::bad_alloc&) {
    return out_of_memory();
  } catch (const CoreError& e) {
    return report(error, e.code(), e.what());
  } catch (const c10::OutOfMemoryError&) {
    return out_of_memory();
  } catch (const platform::Error& e) {
    return report(error, e.not_found() ? ELECTRA_CHECKPOINT_NOT_FOUND : ELECTRA_CHECKPOINT_INVALID, e.what());
  } catch (const std::system_error& e) {
    const bool no_thread = e.code() == std::errc::resource_unavailable_try_again;
    return no_thread ? report(error, ELECTRA_OUT_OF_MEMORY, "No thread could be started.")
                     : report(error, otherwise, e.what());
  } catch (const c10::Error& e) {
    return report_torch(e.what_without_backtrace());
  } catch (const std::exception& e) {
    return report_torch(e.what());
  } catch (...) {
    return report(error, otherwise, "An unknown error occurred.");
  }
}

// Before torch's first work: oneDNN keeps a primitive for each shape, and would keep 1024 of them.
void prepare_process() {
  static std::once_flag once;
  std::call_once(once, [] {
    platform::set_default_variable("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "256");
    platform::set_default_variable("LRU_CACHE_CAPACITY", "256");
    prepare_interpreter();
  });
}

// Settings that torch keeps per thread. The first call reads the process-wide default into this thread; only
// after it does a count set here stay this thread's own.
int prepare_thread(int threads) {
  at::get_num_threads();
  at::set_num_threads(threads);
  at::globalContext().setFlushDenormal(true);
  return at::get_num_threads();
}

struct ChosenDtype {
  int32_t dtype;
  std::string note;
};

ChosenDtype choose_dtype(const electra_load_spec& spec, c10::Device device, bool script) {
  if (spec.dtype == ELECTRA_INT8 && (script || !device.is_cpu() || cpu::int8_kernels() == nullptr)) {
    const std::string why = script            ? "an archive's own forward has no int8"
                            : device.is_cpu() ? "this CPU has no AVX2"
                                              : "int8 runs on the CPU only";
    throw CoreError(ELECTRA_INVALID_ARGUMENT, "dtype 'int8' cannot be used here: " + why + "; use 'auto'");
  }
  if (spec.dtype != ELECTRA_DTYPE_AUTO) return {spec.dtype, ""};
  if (script) return {ELECTRA_FP32, "The dtype is fp32 because the archive's own forward runs."};
  if (device.is_cuda()) return {ELECTRA_BF16, "The dtype is bf16 because the device is CUDA."};
  if (spec.cpu_dtype == ELECTRA_BF16) {
    return {ELECTRA_BF16, "The dtype is bf16 because this CPU multiplies bf16 in hardware."};
  }
  if (spec.cpu_dtype == ELECTRA_FP16 && cpu::kernels_for(at::kHalf) != nullptr) {
    return {ELECTRA_FP16,
            "The dtype is fp16, which weights are kept in and multiplied from in fp32, because this CPU has "
            "no bf16 "
            "arithmetic."};
  }
  return {ELECTRA_FP32, "The dtype is fp32 because this CPU has no kernels for a smaller one."};
}

at::ScalarType scalar_type(int32_t dtype) {
  switch (dtype) {
    case ELECTRA_FP32:
      return at::kFloat;
    case ELECTRA_BF16:
      return at::kBFloat16;
    case ELECTRA_FP16:
      return at::kHalf;
    case ELECTRA_INT8:
      return at::kChar;
    default:
      throw CoreError(ELECTRA_INVALID_ARGUMENT, "dtype must be 'auto', 'fp32', 'bf16', 'fp16' or 'int8'.");
  }
}

TensorMap read_checkpoint(const ElectraConfig& config, const char* path, const Stop& stop) {
  return checked_tensors(config, read_weights(path, stop));
}

// The shapes that are captured as graphs at load; none where nothing is to be captured. An engine that pads
// has matrices of rows.
std::vector<Bucket> buckets_of(const electra_load_spec& spec, const ModelLimits& limits, bool pads) {
  if (spec.warmup == ELECTRA_WARMUP_EAGER) return {};
  const int64_t max_length = limits.max_position_embeddings;
  if (spec.num_buckets == 0) {
    return pads ? padded_ladder(spec.max_batch_tokens, max_length)
                : ladder(spec.max_batch_tokens, max_length);
  }
  std::vector<Bucket> buckets;
  for (size_t i = 0; i < spec.num_buckets; ++i) {
    const electra_bucket& bucket = spec.buckets[i];
    if (bucket.tokens < 1 || bucket.rows < 1 || bucket.longest < 1) {
      throw CoreError(ELECTRA_INVALID_ARGUMENT, "Each graph's tokens, rows and longest must be at least 1.");
    }
    const int64_t longest = std::min<int64_t>(bucket.longest, max_length);
    buckets.push_back({pads ? bucket.rows * longest : bucket.tokens, bucket.rows, longest});
  }
  return in_capture_order(std::move(buckets), max_length);
}

// One row of one token: libraries initialise and kernels are compiled before the first text comes.
void warm_up(electra_model& model, const Stop& stop) {
  const int32_t ids[] = {0}, offsets[] = {0, 1};
  model.engine->forward({ids, offsets, {}}, stop);
}

void load(const electra_load_spec& spec, const Stop& stop, electra_model** out, electra_model_info* info) {
  prepare_process();
  const int threads = prepare_thread(spec.threads);
  const c10::InferenceMode inference;
  const bool is_archive = spec.kind == ELECTRA_ARCHIVE;
  const bool own = is_archive && read_archive(spec.path).own;
  const bool script = is_archive && !own;
  const ChosenDevice device = choose_device(spec.device);
  if (device.device.is_cuda()) at::globalContext().lazyInitDevice(c10::DeviceType::CUDA);
  const ChosenDtype dtype = choose_dtype(spec, device.device, script);
  const at::ScalarType type = scalar_type(dtype.dtype);

  auto model = std::make_unique<electra_model>();
  std::string notes;
  const auto add_note = [&notes](const std::string& note) {
    if (!note.empty()) notes += note + "\n";
  };
  add_note(device.note);
  add_note(dtype.note);
  const CudaLibrary* cuda = nullptr;
  std::string why;
  if (device.device.is_cuda()) cuda = cuda_library(why);
  if (!why.empty()) add_note("Batches run without CUDA graphs because " + why + ".");
  if (script) {
    model->limits = parse_limits(spec.config);
    auto engine =
        cuda == nullptr
            ? std::make_unique<ScriptEngine>(spec.path, model->limits, device.device, type)
            : std::make_unique<ScriptEngine>(spec.path, model->limits, cuda->make_gpu(device.device.index()),
                                             type, buckets_of(spec, model->limits, true), stop);
    add_note("The engine is the archive's own forward because electra-classifier did not export it.");
    model->engine = std::move(engine);
    if (!model->engine->mixes_lengths()) {
      add_note(std::string("Rows of unequal length are scored apart") +
               (cuda == nullptr ? "" : ", and without CUDA graphs,") +
               " because padding changes what this archive gives.");
    }
  } else {
    const ElectraConfig config = parse_electra_config(spec.config);
    const Serving serving{device.device, type};
    TensorMap tensors = own ? checked_tensors(config, read_archive_tensors(spec.path))
                            : read_checkpoint(config, spec.path, stop);
    model->limits = config.limits;
    if (cuda != nullptr) {
      model->engine =
          std::make_unique<GpuEngine>(config, std::move(tensors), type, cuda->make_gpu(device.device.index()),
                                      buckets_of(spec, config.limits, false), stop);
    } else {
      model->engine = std::make_unique<ElectraEngine>(config, std::move(tensors), serving, threads, stop);
    }
  }
  add_note(model->engine->note());
  warm_up(*model, stop);
  // What packing took beside the weights, which this process may never need again.
  platform::release_freed_memory();

  *info = {};
  copy_text(device.device.str(), info->device);
  info->dtype = dtype.dtype;
  info->engine = script ? ELECTRA_ENGINE_SCRIPT : ELECTRA_ENGINE_ELECTRA;
  info->num_labels = static_cast<int32_t>(model->limits.num_labels);
  info->vocab_size = static_cast<int32_t>(model->limits.vocab_size);
  info->max_position_embeddings = static_cast<int32_t>(model->limits.max_position_embeddings);
  info->threads = threads;
  info->mixes_lengths = model->engine->mixes_lengths() ? 1 : 0;
  info->overlaps = model->engine->overlaps() ? 1 : 0;
  info->memory = model->engine->memory();
  copy_text(notes, info->notes);
  *out = model.release();
}

[[noreturn]] void refuse(const std::string& what) { throw CoreError(ELECTRA_INVALID_ARGUMENT, what + "."); }

void check_values(const char* name, std::span<const int32_t> values, int64_t limit) {
  for (size_t i = 0; i < values.size(); ++i) {
    if (values[i] < 0 || values[i] >= limit) {
      refuse(std::string(name) + "[" + std::to_string(i) + "] is " + std::to_string(values[i]) +
             ", but must be from 0 to " + std::to_string(limit - 1));
    }
  }
}

// Nothing may index past a table: this is the last check before memory is read by these values.
Batch checked(const electra_batch& batch, const ModelLimits& limits) {
  if (batch.rows < 1) refuse("cu_seqlens must have at least 2 entries, one row");
  if (batch.total_tokens < 1 || batch.total_tokens > INT32_MAX) {
    refuse("input_ids must have from 1 to " + std::to_string(INT32_MAX) + " tokens");
  }
  const auto total = static_cast<size_t>(batch.total_tokens);
  const std::span offsets(batch.cu_seqlens, static_cast<size_t>(batch.rows) + 1);
  const std::span ids(batch.input_ids, total);
  std::span<const int32_t> types;
  if (batch.token_type_ids != nullptr) types = {batch.token_type_ids, total};

  if (offsets.front() != 0) refuse("cu_seqlens[0] is " + std::to_string(offsets.front()) + ", but must be 0");
  if (offsets.back() != batch.total_tokens) {
    refuse("the last of cu_seqlens is " + std::to_string(offsets.back()) + ", but input_ids has " +
           std::to_string(batch.total_tokens) + " tokens");
  }
  for (size_t i = 1; i < offsets.size(); ++i) {
    const int64_t length = int64_t{offsets[i]} - offsets[i - 1];
    if (length < 1) {
      refuse("cu_seqlens[" + std::to_string(i) + "] is " + std::to_string(offsets[i]) +
             ", but must be greater than the one before, " + std::to_string(offsets[i - 1]));
    }
    if (length > limits.max_position_embeddings) {
      refuse("row " + std::to_string(i - 1) + " has " + std::to_string(length) +
             " tokens, but the model takes " + std::to_string(limits.max_position_embeddings));
    }
  }
  check_values("input_ids", ids, limits.vocab_size);
  check_values("token_type_ids", types, limits.type_vocab_size);
  // So that a batch costs the same whether the caller says 0 or leaves it out.
  if (std::all_of(types.begin(), types.end(), [](int32_t type) { return type == 0; })) types = {};
  return {ids, offsets, types};
}

// ── core.h ────────────────────────────────────────────────────────────────────────────────────────────────

void core_devices(void (*visit)(void*, const char*, const char*), void* context, char* unavailable,
                  size_t capacity) {
  std::string reason;
  visit(context, "cpu", "the CPU");
  try {
    reason = cuda_unavailable();
    for (int i = 0; i < cuda_devices(); ++i) {
      visit(context, ("cuda:" + std::to_string(i)).c_str(), cuda_description(i).c_str());
    }
  } catch (const std::exception& error) {
    reason = one_sentence(error.what());
  }
  if (capacity > 0) {
    const size_t size = std::min(reason.size(), capacity - 1);
    std::memcpy(unavailable, reason.data(), size);
    unavailable[size] = '\0';
  }
}

// As engine.h has it: a batch under way, for engines that overlap.
int32_t core_begin(electra_model* model, const electra_batch* batch, const electra_stop* stop,
                   int32_t* ticket, electra_error* error) {
  return guarded(error, ELECTRA_FORWARD_FAILED, [&] {
    const Batch rows = checked(*batch, model->limits);
    const c10::InferenceMode inference;
    *ticket = model->engine->begin(rows, Stop(stop));
  });
}

int32_t core_finished(electra_model* model, int32_t ticket, int32_t* finished, electra_error* error) {
  return guarded(error, ELECTRA_FORWARD_FAILED, [&] { *finished = model->engine->finished(ticket) ? 1 : 0; });
}

int32_t core_finish(electra_model* model, int32_t ticket, float* logits, electra_error* error) {
  return guarded(error, ELECTRA_FORWARD_FAILED, [&] {
    const c10::InferenceMode inference;
    const at::Tensor result = model->engine->finish(ticket);
    std::memcpy(logits, result.const_data_ptr<float>(), result.nbytes());
  });
}

int32_t core_load(const electra_load_spec* spec, const electra_stop* stop, electra_model** model,
                  electra_model_info* info, electra_error* error) {
  return guarded(error, ELECTRA_MODEL_LOAD_FAILED, [&] { load(*spec, Stop(stop), model, info); });
}

int32_t core_forward(electra_model* model, const electra_batch* batch, const electra_stop* stop,
                     float* logits, electra_error* error) {
  return guarded(error, ELECTRA_FORWARD_FAILED, [&] {
    const Batch rows = checked(*batch, model->limits);
    const c10::InferenceMode inference;
    const at::Tensor result = model->engine->forward(rows, Stop(stop));
    std::memcpy(logits, result.const_data_ptr<float>(), result.nbytes());
  });
}

void core_free_model(electra_model* model) {
  delete model;
  platform::release_freed_memory();
}

int32_t core_export_archive(const electra_load_spec* spec, const char* out, const electra_file* files,
                            size_t num_files, const electra_stop* stop, electra_error* error) {
  return guarded(error, ELECTRA_MODEL_LOAD_FAILED, [&] {
    prepare_process();
    const ElectraConfig config = parse_electra_config(spec->config);
    const at::NoGradGuard no_grad;
    write_archive(out, config, read_checkpoint(config, spec->path, Stop(stop)), {files, num_files},
                  Stop(stop));
  });
}

int32_t core_read_archive(const char* path, void (*visit)(void*, const electra_file*), void* context,
                          electra_error* error) {
  return guarded(error, ELECTRA_CHECKPOINT_INVALID, [&] {
    for (const auto& [name, bytes] : read_archive(path).files) {
      const electra_file file{name.c_str(), bytes.data(), bytes.size()};
      visit(context, &file);
    }
  });
}

}  // namespace

}  // namespace electra

extern "C" {
#ifdef _WIN32
__declspec(dllexport)
#else
__attribute__((visibility("default")))
#endif
    const electra_core* electra_core_get(uint32_t version) {
  static const electra_core core = {
      ELECTRA_CORE_VERSION,     sizeof(electra_core),         TORCH_VERSION,
      electra::core_devices,    electra::core_load,           electra::core_forward,
      electra::core_begin,      electra::core_finished,       electra::core_finish,
      electra::core_free_model, electra::core_export_archive, electra::core_read_archive,
  };
  return version == ELECTRA_CORE_VERSION ? &core : nullptr;
}
}
