// A core without torch, for the tests of the addon half: it does what a script tells it, faults included.
//
// The script is `spec.config`: words of the form key=value, separated by blanks. Values of `load`, `forward`
// and `export`:
//   ok              (default) forward answers each row with [sum of ids, tokens, sum of types or -1]
//   <number>        fails with that code
//   throw, throw_bad_alloc, throw_number
//   nan             forward answers NaN
//   gate:<file>     creates <file>.entered, then waits until <file> exists; ends with ELECTRA_STOPPED at a
//   stop deaf:<file>     the same, without looking at the stop flag
// overlap=<file>: the model overlaps. begin adds its code to <file>.begun, a line each, and no
// batch is finished before <file> exists.
// Also: on=<id> (forward does what it is told on batches that hold this id only), no_labels=1 (the model says
// that it has none), and freed=<file>: free_model adds a line to it, "freed" or "another thread". A path of
// read_archive that holds `fail-<number>` fails with that code, and a library whose own file name holds
// `other-version` offers no version.
#include <dlfcn.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <new>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "core.h"

struct electra_model {
  std::thread::id thread;
  std::map<std::string, std::string> script;
  std::map<int32_t, std::vector<float>> begun = {};
  int32_t next_ticket = 0;
};

namespace {

constexpr int kLabels = 3;

// Says when the process runs static destructors under a thread that still computes; torch would crash there.
struct Teardown {
  std::atomic<int> waiting = 0;
  ~Teardown() {
    if (waiting != 0) std::fputs("static destructors ran under a busy thread\n", stderr);
  }
} teardown;

using Script = std::map<std::string, std::string>;

Script parse(const char* config) {
  Script script;
  std::istringstream words(config);
  for (std::string word; words >> word;) {
    const size_t equals = word.find('=');
    if (equals != std::string::npos) script[word.substr(0, equals)] = word.substr(equals + 1);
  }
  return script;
}

std::string value(const Script& script, const std::string& key) {
  const auto found = script.find(key);
  return found == script.end() ? "ok" : found->second;
}

int32_t fail(electra_error* error, int32_t code, const std::string& message) {
  error->code = code;
  std::strncpy(error->message, message.c_str(), sizeof(error->message) - 1);
  return code;
}

int32_t wait_for(const std::string& file, bool deaf, const electra_stop* stop, electra_error* error) {
  ++teardown.waiting;
  std::ofstream(file + ".entered") << "entered";
  bool stopped = false;
  while (!stopped && !std::filesystem::exists(file)) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
    stopped = !deaf && stop->requested(stop->context) != 0;
  }
  --teardown.waiting;
  return stopped ? fail(error, ELECTRA_STOPPED, "stopped at the gate") : ELECTRA_OK;
}

int32_t act(const std::string& what, const std::string& step, const electra_stop* stop,
            electra_error* error) {
  if (what == "throw") throw std::runtime_error("the fake core threw in " + step);
  if (what == "throw_bad_alloc") throw std::bad_alloc();
  if (what == "throw_number") throw 7;
  if (what.starts_with("gate:")) return wait_for(what.substr(5), false, stop, error);
  if (what.starts_with("deaf:")) return wait_for(what.substr(5), true, stop, error);
  if (what == "ok" || what == "nan") return ELECTRA_OK;
  return fail(error, std::stoi(what), "the fake core failed in " + step + " with " + what);
}

int32_t load(const electra_load_spec* spec, const electra_stop* stop, electra_model** model,
             electra_model_info* info, electra_error* error) {
  const Script script = parse(spec->config);
  const int32_t code = act(value(script, "load"), "load", stop, error);
  if (code != ELECTRA_OK) return code;
  *model = new electra_model{std::this_thread::get_id(), script};
  std::strcpy(info->device, "cpu");
  info->dtype = spec->dtype == ELECTRA_DTYPE_AUTO ? spec->cpu_dtype : spec->dtype;
  info->engine = spec->kind == ELECTRA_ARCHIVE ? ELECTRA_ENGINE_SCRIPT : ELECTRA_ENGINE_ELECTRA;
  info->num_labels = script.contains("no_labels") ? 0 : kLabels;
  info->vocab_size = 100;
  info->max_position_embeddings = 16;
  info->threads = spec->threads;
  info->mixes_lengths = 1;
  info->overlaps = script.contains("overlap") ? 1 : 0;
  info->memory = 5'000'000'000;
  std::strcpy(info->notes, "first note\nsecond note\n");
  return ELECTRA_OK;
}

int32_t forward(electra_model* model, const electra_batch* batch, const electra_stop* stop, float* logits,
                electra_error* error) {
  if (model->thread != std::this_thread::get_id())
    return fail(error, ELECTRA_FORWARD_FAILED, "another thread");
  if (batch->cu_seqlens[0] != 0 || batch->cu_seqlens[batch->rows] != batch->total_tokens) {
    return fail(error, ELECTRA_INVALID_ARGUMENT, "cu_seqlens does not end at the last token");
  }
  const auto on = model->script.find("on");
  const int32_t* const end = batch->input_ids + batch->total_tokens;
  const bool meant =
      on == model->script.end() || std::find(batch->input_ids, end, std::stoi(on->second)) != end;
  const std::string what = meant ? value(model->script, "forward") : "ok";
  const int32_t code = act(what, "forward", stop, error);
  if (code != ELECTRA_OK) return code;
  for (int64_t row = 0; row < batch->rows; ++row) {
    float* out = logits + row * kLabels;
    out[0] = out[2] = 0;
    for (int32_t i = batch->cu_seqlens[row]; i < batch->cu_seqlens[row + 1]; ++i) {
      out[0] += static_cast<float>(batch->input_ids[i]);
      if (batch->token_type_ids != nullptr) out[2] += static_cast<float>(batch->token_type_ids[i]);
    }
    out[1] = static_cast<float>(batch->cu_seqlens[row + 1] - batch->cu_seqlens[row]);
    if (batch->token_type_ids == nullptr) out[2] = -1;
    if (what == "nan") out[0] = std::nanf("");
  }
  return ELECTRA_OK;
}

int32_t begin(electra_model* model, const electra_batch* batch, const electra_stop* stop, int32_t* ticket,
              electra_error* error) {
  std::vector<float> logits(static_cast<size_t>(batch->rows) * kLabels);
  const int32_t code = forward(model, batch, stop, logits.data(), error);
  std::ofstream(model->script.at("overlap") + ".begun", std::ios::app) << code << '\n';
  if (code != ELECTRA_OK) return code;
  if (model->begun.size() == 2) return fail(error, ELECTRA_FORWARD_FAILED, "three batches under way");
  *ticket = model->next_ticket++;
  model->begun.emplace(*ticket, std::move(logits));
  return ELECTRA_OK;
}

int32_t finished(electra_model* model, int32_t, int32_t* finished, electra_error*) {
  *finished = std::filesystem::exists(model->script.at("overlap")) ? 1 : 0;
  return ELECTRA_OK;
}

int32_t finish(electra_model* model, int32_t ticket, float* logits, electra_error* error) {
  if (model->begun.empty() || model->begun.begin()->first != ticket) {
    return fail(error, ELECTRA_FORWARD_FAILED, "finished out of order");
  }
  const auto node = model->begun.extract(ticket);
  std::copy(node.mapped().begin(), node.mapped().end(), logits);
  return ELECTRA_OK;
}

void free_model(electra_model* model) {
  const auto file = model->script.find("freed");
  if (file != model->script.end()) {
    std::ofstream(file->second, std::ios::app)
        << (model->thread == std::this_thread::get_id() ? "freed\n" : "another thread\n");
  }
  delete model;
}

// Writes what it was given, one thing a line.
int32_t export_archive(const electra_load_spec* spec, const char* out, const electra_file* files,
                       size_t num_files, const electra_stop* stop, electra_error* error) {
  const int32_t code = act(value(parse(spec->config), "export"), "export", stop, error);
  if (code != ELECTRA_OK) return code;
  std::ofstream file(out);
  file << spec->path << '\n';
  for (size_t i = 0; i < num_files; ++i) {
    file << files[i].name << ' ' << std::string(static_cast<const char*>(files[i].bytes), files[i].size)
         << '\n';
  }
  return ELECTRA_OK;
}

int32_t read_archive(const char* path, void (*visit)(void* context, const electra_file* file), void* context,
                     electra_error* error) {
  if (const char* failure = std::strstr(path, "fail-")) return act(failure + 5, "read", nullptr, error);
  const electra_file files[] = {{"config.json", "{}", 2}, {"bytes", "\0\xff\x01", 3}, {"empty", nullptr, 0}};
  for (const electra_file& file : files) visit(context, &file);
  return ELECTRA_OK;
}

void devices(void (*visit)(void* context, const char* name, const char* description), void* context,
             char* cuda_unavailable, size_t capacity) {
  visit(context, "cpu", "a fake CPU");
  std::strncpy(cuda_unavailable, "the fake core has no CUDA", capacity - 1);
}

constexpr electra_core kCore = {
    ELECTRA_CORE_VERSION, sizeof(electra_core), "0.0.0-fake", devices, load, forward, begin, finished, finish,
    free_model,           export_archive,       read_archive};

}  // namespace

extern "C" __attribute__((visibility("default"))) const electra_core* electra_core_get(uint32_t version) {
  Dl_info self = {};
  dladdr(&kCore, &self);
  if (version != ELECTRA_CORE_VERSION || std::strstr(self.dli_fname, "other-version") != nullptr)
    return nullptr;
  return &kCore;
}
