#include "core/script_engine.h"

#include <ATen/ATen.h>
#include <torch/csrc/jit/passes/tensorexpr_fuser.h>
#include <torch/csrc/jit/runtime/graph_executor.h>

#include <algorithm>
#include <set>

#include "core/checkpoint/load_module.h"
#include "core/gpu/on_card.h"

namespace electra {

namespace {

using Ids = std::vector<int32_t>;

// Row lengths of the probe. The short row is short enough for a maximum over it to miss zero somewhere.
constexpr int64_t kShort = 3, kLong = 17;

const std::set<std::string> kOtherInputs = {"token_type_ids", "position_ids", "head_mask", "inputs_embeds"};

// As the option `dtype` spells it.
std::string spell(at::ScalarType dtype) {
  switch (dtype) {
    case at::kFloat:
      return "fp32";
    case at::kBFloat16:
      return "bf16";
    case at::kHalf:
      return "fp16";
    default:
      return c10::toString(dtype);
  }
}

// The logits of a tensor, of a tuple or list that starts with one, or of a dictionary's "logits".
at::IValue find_logits(const at::IValue& output) {
  if (output.isTuple() && !output.toTupleRef().elements().empty()) return output.toTupleRef().elements()[0];
  if (output.isTensorList() && !output.toTensorList().empty()) return output.toTensorList().get(0);
  if (output.isGenericDict()) {
    const auto dict = output.toGenericDict();
    const auto entry = dict.find("logits");
    if (entry != dict.end()) return entry->value();
  }
  return output;
}

}  // namespace

void prepare_interpreter() {
  torch::jit::FusionStrategy none;
  torch::jit::setFusionStrategy(none);
  torch::jit::setTensorExprFuserEnabled(false);
}

ScriptEngine::ScriptEngine(const std::string& path, const ModelLimits& limits, c10::Device device,
                           at::ScalarType dtype)
    : path_(path), limits_(limits), device_(device), dtype_(dtype), module_(load_module(path, device)) {
  prepare();
}

ScriptEngine::ScriptEngine(const std::string& path, const ModelLimits& limits, std::unique_ptr<Gpu> gpu,
                           at::ScalarType dtype, const std::vector<Bucket>& buckets, const Stop& stop)
    : gpu_(std::move(gpu)),
      path_(path),
      limits_(limits),
      device_(gpu_->device()),
      dtype_(dtype),
      module_(on_card(*gpu_, [&] { return load_module(path, device_); })) {
  on_card(*gpu_, [&] {
    prepare();
    if (buckets.empty() || !mixes_lengths_) return;
    graphs_.emplace(
        *gpu_, buckets,
        [this](const at::Tensor& ids, const at::Tensor& mask) { return run_module(ids, mask); },
        limits_.pad_token_id, limits_.vocab_size, tolerance(), stop);
  });
}

ScriptEngine::~ScriptEngine() {
  if (gpu_) gpu_->enter();
}

std::string ScriptEngine::note() const {
  std::string from;
  const auto add = [&from](const std::string& name) { from += (from.empty() ? "" : " and ") + name; };
  for (const std::string& device : origin_.devices) add(device);
  if (origin_.names_dtype) add(spell(origin_.dtype));
  std::string note;
  if (!from.empty()) note = "The archive's code names " + from + " and runs on " + place() + " all the same.";
  if (!graphs_) return note;
  if (!note.empty()) note.push_back('\n');
  return note.append(graphs_->note());
}

std::string ScriptEngine::place() const { return device_.str() + " in " + spell(dtype_); }

uint64_t ScriptEngine::memory() const {
  uint64_t bytes = 0;
  for (const at::Tensor& tensor : tensors_of(module_)) bytes += tensor.nbytes();
  return bytes;
}

at::Tensor ScriptEngine::forward(const Batch& batch, const Stop& stop) {
  if (!gpu_) return run_all(batch, stop);
  return on_card(*gpu_, [&] { return run_all(batch, stop); });
}

at::Tensor ScriptEngine::run_all(const Batch& batch, const Stop& stop) {
  const std::vector<Run> runs = batch.runs();
  const Run* begin = runs.data();
  const Run* const end = begin + runs.size();
  if (mixes_lengths_) {
    stop.check();
    return run_padded(batch, begin, end);
  }
  std::vector<at::Tensor> logits;
  for (const Run* run = begin; run != end; ++run) {
    stop.check();
    logits.push_back(run_padded(batch, run, run + 1));
  }
  return at::cat(logits);
}

void ScriptEngine::prepare() {
  check_signature();
  origin_ = retarget(module_, device_, dtype_);
  probe();
}

void ScriptEngine::check_signature() const {
  const auto fail = [this](const std::string& found) {
    throw CoreError(ELECTRA_CHECKPOINT_INVALID,
                    path_ + " cannot be used: expected a method forward(input_ids, attention_mask), found " +
                        found + ".");
  };
  const auto method = module_.find_method("forward");
  if (!method) fail("none");
  const std::vector<c10::Argument>& arguments = method->function().getSchema().arguments();
  std::string found = "forward(";
  bool fits = arguments.size() >= 3;
  for (size_t i = 1; i < arguments.size(); ++i) {
    found += (i > 1 ? ", " : "") + arguments[i].name();
    // Names are free, but a second input that says it is something else would be given the mask.
    fits = fits && (i <= 2 ? c10::TensorType::get()->isSubtypeOf(*arguments[i].type())
                           : arguments[i].default_value().has_value());
    fits = fits && !(i <= 2 && kOtherInputs.contains(arguments[i].name()));
  }
  if (!fits) fail(found + ")");
}

void ScriptEngine::probe() {
  const int64_t long_length = std::min(kLong, limits_.max_position_embeddings);
  const int64_t short_length = std::min(kShort, long_length);
  Ids ids(short_length + long_length);
  for (size_t i = 0; i < ids.size(); ++i) {
    // Different tokens, and no padding among them.
    auto id = static_cast<int64_t>(7 * i + 1) % limits_.vocab_size;
    if (id == limits_.pad_token_id) id = (id + 1) % limits_.vocab_size;
    ids[i] = static_cast<int32_t>(id);
  }
  const Run rows[] = {{0, 1, 0, short_length}, {1, 1, short_length, long_length}};
  const Batch batch{ids, {}, {}};
  at::Tensor alone, again, together;
  try {
    const auto run_alone = [&] {
      return at::cat({run_padded(batch, rows, rows + 1), run_padded(batch, rows + 1, rows + 2)});
    };
    alone = run_alone();
    again = run_alone();
    together = run_padded(batch, rows, rows + 2);
  } catch (const c10::OutOfMemoryError&) {
    throw;
  } catch (const CoreError&) {
    throw;
  } catch (const std::exception& error) {
    const std::string reason = reason_of(error);
    refuse_move("torch says: " + reason);
    throw CoreError(
        ELECTRA_MODEL_LOAD_FAILED,
        path_ + " runs for one shape only, or not at all: forward fails on batches of 1 and 2 rows of " +
            std::to_string(short_length) + " and " + std::to_string(long_length) +
            " tokens; trace it with dynamic shapes (no sizes taken from the example inputs), or " +
            "export the checkpoint with electra-classifier export. torch says: " + reason);
  }
  if (!together.isfinite().all().item<bool>()) refuse_move("its logits are not numbers there");
  if (!at::allclose(alone, again, tolerance(), tolerance(), /*equal_nan=*/true)) {
    throw CoreError(ELECTRA_CHECKPOINT_INVALID,
                    path_ +
                        " cannot be used: forward gives other logits for the same row each time, as with " +
                        "dropout; call model.eval() before tracing it.");
  }
  mixes_lengths_ = at::allclose(alone, together, tolerance(), tolerance());
}

void ScriptEngine::refuse_move(const std::string& reason) const {
  if (device_.is_cpu() && dtype_ == origin_.dtype) return;
  // Throws by itself where the archive does not run at all.
  const ScriptEngine as_made(path_, limits_, c10::Device(c10::kCPU), origin_.dtype);
  throw CoreError(ELECTRA_MODEL_LOAD_FAILED,
                  path_ + " runs on " + as_made.place() + ", but not on " + place() + " (" + reason +
                      "); load it with device 'cpu' and dtype '" + spell(origin_.dtype) +
                      "', or export the checkpoint with electra-classifier export.");
}

at::Tensor ScriptEngine::run_padded(const Batch& batch, const Run* begin, const Run* end) {
  int64_t rows = 0, length = 0;
  for (const Run* run = begin; run != end; ++run) {
    rows += run->rows;
    length = std::max(length, run->length);
  }
  at::Tensor ids = at::full({rows, length}, limits_.pad_token_id, at::kLong);
  at::Tensor mask = at::zeros({rows, length}, at::kLong);
  auto* id = ids.mutable_data_ptr<int64_t>();
  auto* real = mask.mutable_data_ptr<int64_t>();
  for (const Run* run = begin; run != end; ++run) {
    auto source = batch.input_ids.begin() + run->first_token;
    for (int64_t row = 0; row < run->rows; ++row, id += length, real += length, source += run->length) {
      std::copy_n(source, run->length, id);
      std::fill_n(real, run->length, 1);
    }
  }
  at::Tensor logits;
  if (graphs_) logits = (*graphs_)(ids, mask);
  if (!logits.defined()) logits = run_module(ids.to(device_), mask.to(device_));
  return logits.to(at::kCPU).contiguous();
}

at::Tensor ScriptEngine::run_module(const at::Tensor& ids, const at::Tensor& mask) {
  return checked_logits(module_.forward({ids, mask}), ids.size(0));
}

at::Tensor ScriptEngine::checked_logits(const at::IValue& output, int64_t rows) const {
  const at::IValue logits = find_logits(output);
  const std::string expected = c10::str(", expected logits of shape [", rows, ", ", limits_.num_labels,
                                        "] for ", rows, rows == 1 ? " row" : " rows");
  if (!logits.isTensor()) {
    const std::string found =
        output.isGenericDict() ? "a dictionary without \"logits\"" : "a " + output.tagKind();
    throw CoreError(ELECTRA_CHECKPOINT_INVALID,
                    path_ + " cannot be used: forward gives " + found + expected + ".");
  }
  const at::Tensor& tensor = logits.toTensor();
  if (tensor.dim() != 2 || tensor.size(1) != limits_.num_labels) {
    throw CoreError(ELECTRA_CHECKPOINT_INVALID, path_ + " cannot be used: forward gives a tensor of shape " +
                                                    c10::str(tensor.sizes()) + expected + ".");
  }
  if (tensor.size(0) != rows) {
    throw CoreError(
        ELECTRA_MODEL_LOAD_FAILED,
        path_ + " runs for one shape only: forward gives " + std::to_string(tensor.size(0)) + " rows" +
            expected +
            "; trace it with dynamic shapes, or export the checkpoint with electra-classifier export.");
  }
  return tensor.to(at::kFloat);
}

}  // namespace electra
