#include "addon/model.h"

#include <chrono>
#include <cstdio>
#include <cstring>
#include <sstream>
#include <system_error>
#include <utility>

#include "platform.h"

namespace electra {

namespace {

constexpr std::chrono::seconds kPatience{5};

std::string describe(const Napi::Value& value) {
  switch (value.Type()) {
    case napi_undefined:
      return "undefined";
    case napi_null:
      return "null";
    case napi_boolean:
      return "a boolean";
    case napi_number:
      return "a number";
    case napi_string:
      return "a string";
    case napi_symbol:
      return "a symbol";
    case napi_bigint:
      return "a bigint";
    case napi_function:
      return "a function";
    default:
      break;
  }
  if (value.IsArray()) return "an array";
  if (value.IsArrayBuffer()) return "an ArrayBuffer";
  if (value.IsDataView()) return "a DataView";
  if (!value.IsTypedArray()) return "an object";
  switch (value.As<Napi::TypedArray>().TypedArrayType()) {
    case napi_int8_array:
      return "an Int8Array";
    case napi_uint8_array:
      return "a Uint8Array";
    case napi_uint8_clamped_array:
      return "a Uint8ClampedArray";
    case napi_int16_array:
      return "an Int16Array";
    case napi_uint16_array:
      return "a Uint16Array";
    case napi_int32_array:
      return "an Int32Array";
    case napi_uint32_array:
      return "a Uint32Array";
    case napi_float32_array:
      return "a Float32Array";
    case napi_float64_array:
      return "a Float64Array";
    case napi_bigint64_array:
      return "a BigInt64Array";
    case napi_biguint64_array:
      return "a BigUint64Array";
    default:
      return "another typed array";
  }
}

Napi::Int32Array int32_array_argument(const Napi::Value& value, const std::string& what) {
  if (!value.IsTypedArray() || value.As<Napi::TypedArray>().TypedArrayType() != napi_int32_array) {
    refuse(value, what, "an Int32Array");
  }
  return value.As<Napi::Int32Array>();
}

std::vector<int32_t> copy(const Napi::Int32Array& array) {
  return std::vector<int32_t>(array.Data(), array.Data() + array.ElementLength());
}

// The position of a string among those allowed.
template <size_t Size>
int32_t choice_argument(const Napi::Value& value, const std::string& what,
                        const char* const (&choices)[Size]) {
  std::string expected;
  for (size_t i = 0; i < Size; ++i) {
    if (value.IsString() && value.As<Napi::String>().Utf8Value() == choices[i])
      return static_cast<int32_t>(i);
    expected += std::string(i == 0 ? "" : ", ") + "'" + choices[i] + "'";
  }
  if (!value.IsString()) refuse(value, what, "one of " + expected);
  throw Napi::TypeError::New(value.Env(), what + " must be one of " + expected + ", got '" +
                                              value.As<Napi::String>().Utf8Value() + "'");
}

Napi::Value error_of(Napi::Env env, const Fault& fault) {
  const bool out_of_range = fault.code() == std::string(Fault::kOutOfRange);
  Napi::Error error = out_of_range ? Napi::Error(Napi::RangeError::New(env, fault.what()))
                                   : Napi::Error::New(env, fault.what());
  error.Set("code", Napi::String::New(env, fault.code()));
  return error.Value();
}

Napi::Object info_object(Napi::Env env, const electra_model_info& info) {
  static constexpr const char* kDtypes[] = {"auto", "fp32", "bf16", "fp16", "int8"};
  Napi::Object object = Napi::Object::New(env);
  object.Set("device", info.device);
  object.Set("dtype",
             info.dtype >= ELECTRA_FP32 && info.dtype <= ELECTRA_INT8 ? kDtypes[info.dtype] : "fp32");
  object.Set("engine", info.engine == ELECTRA_ENGINE_SCRIPT ? "script" : "electra");
  object.Set("num_labels", info.num_labels);
  object.Set("vocab_size", info.vocab_size);
  object.Set("max_position_embeddings", info.max_position_embeddings);
  object.Set("memory", static_cast<double>(info.memory));
  object.Set("threads", info.threads);
  object.Set("mixes_lengths", info.mixes_lengths != 0);
  Napi::Array notes = Napi::Array::New(env);
  std::istringstream lines(info.notes);
  for (std::string line; std::getline(lines, line);) notes.Set(notes.Length(), line);
  notes.Freeze();
  object.Set("notes", notes);
  object.Freeze();
  return object;
}

}  // namespace

// ── Arguments ─────────────────────────────────────────────────────────────────────────────────────────────

void refuse(const Napi::Value& value, const std::string& what, const std::string& expected) {
  throw Napi::TypeError::New(value.Env(), what + " must be " + expected + ", got " + describe(value));
}

std::string string_argument(const Napi::Value& value, const std::string& what) {
  if (!value.IsString()) refuse(value, what, "a string");
  std::string text = value.As<Napi::String>().Utf8Value();
  // It would end there for the core, and name another file.
  if (text.find('\0') != std::string::npos) {
    throw Napi::TypeError::New(value.Env(), what + " must not contain a NUL character");
  }
  return text;
}

LoadSpec load_spec_argument(const Napi::Value& value, const std::string& function) {
  static constexpr const char* kKinds[] = {"checkpoint", "archive"};
  static constexpr const char* kDtypes[] = {"auto", "fp32", "bf16", "fp16", "int8"};
  if (!value.IsObject() || value.IsFunction()) refuse(value, function + ": spec", "an object");
  const Napi::Object object = value.As<Napi::Object>();
  LoadSpec spec;
  spec.kind = choice_argument(object.Get("kind"), function + ": spec.kind", kKinds);
  spec.path = string_argument(object.Get("path"), function + ": spec.path");
  spec.config = string_argument(object.Get("config"), function + ": spec.config");
  spec.device = string_argument(object.Get("device"), function + ": spec.device");
  spec.dtype = choice_argument(object.Get("dtype"), function + ": spec.dtype", kDtypes);
  const Napi::Value threads = object.Get("threads");
  if (!threads.IsNumber()) refuse(threads, function + ": spec.threads", "a number");
  spec.threads = threads.As<Napi::Number>().DoubleValue();
  static constexpr const char* kWarmups[] = {"graphs", "eager"};
  if (const Napi::Value warmup = object.Get("warmup"); !warmup.IsUndefined()) {
    spec.warmup = choice_argument(warmup, function + ": spec.warmup", kWarmups);
  }
  if (const Napi::Value tokens = object.Get("max_batch_tokens"); !tokens.IsUndefined()) {
    if (!tokens.IsNumber()) refuse(tokens, function + ": spec.max_batch_tokens", "a number");
    spec.max_batch_tokens = std::max(1, tokens.As<Napi::Number>().Int32Value());
  }
  if (const Napi::Value buckets = object.Get("graph_buckets"); !buckets.IsUndefined()) {
    const std::vector<int32_t> numbers =
        copy(int32_array_argument(buckets, function + ": spec.graph_buckets"));
    for (size_t i = 0; i + 2 < numbers.size(); i += 3) {
      spec.graph_buckets.push_back({numbers[i], numbers[i + 1], numbers[i + 2]});
    }
  }
  return spec;
}

// ── Environment ───────────────────────────────────────────────────────────────────────────────────────────

Environment::Environment(Napi::Env env, const Napi::Function& model_class)
    : env_(env),
      model_class_(Napi::Persistent(model_class)),
      float32_array_(Napi::Persistent(env.Global().Get("Float32Array").As<Napi::Function>())) {
  const auto on_wake = [](napi_env env, napi_value, void* environment, void*) {
    // Without an env the queue is only being emptied, and the environment may be gone.
    if (env != nullptr) static_cast<Environment*>(environment)->on_messages();
  };
  napi_status status =
      napi_create_threadsafe_function(env, nullptr, nullptr, Napi::String::New(env, "electra"), 0, 1, nullptr,
                                      nullptr, this, on_wake, &wake_);
  if (status != napi_ok) throw Napi::Error::New(env);
  // An idle model must not keep the process alive; promises do (see promise()).
  napi_unref_threadsafe_function(env, wake_);
  outbox_ = std::make_shared<Outbox>(
      [wake = wake_] { napi_call_threadsafe_function(wake, nullptr, napi_tsfn_nonblocking); });

  // Hooks run last in, first out: added after the thread-safe function, this one joins the lanes before that
  // function is torn down, and no lane can call a dead one.
  status = napi_add_env_cleanup_hook(
      env, [](void* environment) { static_cast<Environment*>(environment)->shutdown(); }, this);
  if (status != napi_ok) throw Napi::Error::New(env);
}

Napi::Promise Environment::promise(const Begin& begin, Convert convert, Napi::ObjectReference keep_alive) {
  const uint64_t call = next_id_++;
  const auto deferred = Napi::Promise::Deferred::New(env_);
  if (pending_.empty() && !shut_) napi_ref_threadsafe_function(env_, wake_);
  pending_.emplace(call, Pending{deferred, std::move(convert), std::move(keep_alive)});
  try {
    if (!begin(call)) settle(call, Done());
  } catch (const Fault& fault) {
    settle(call, fault);
  } catch (const std::bad_alloc&) {
    settle(call, Fault("OUT_OF_MEMORY", "there was not enough memory for a copy of the arguments"));
  } catch (const std::system_error& error) {
    settle(call, Fault("OUT_OF_MEMORY", std::string("no thread could be started: ") + error.what()));
  }
  return deferred.Promise();
}

Napi::Promise Environment::promise_on_own_thread(const std::string& thread_name, InferenceThread::Work work,
                                                 Convert convert) {
  return promise(
      [&](uint64_t call) {
        start_lane(thread_name)->submit(call, std::move(work), InferenceThread::After::kEnd);
        return true;
      },
      std::move(convert));
}

std::shared_ptr<InferenceThread> Environment::start_lane(const std::string& thread_name) {
  if (shut_)
    throw Fault("CLOSED", "shutdown() has been called: nothing can be started in this environment any more");
  const uint64_t id = next_id_++;
  auto lane = std::make_shared<InferenceThread>(id, thread_name, outbox_);
  lanes_.emplace(id, lane);
  return lane;
}

Napi::Float32Array Environment::make_array(const Logits& logits) {
  const Napi::Number size = Napi::Number::New(env_, static_cast<double>(logits.size()));
  auto array = float32_array_.New({size}).As<Napi::Float32Array>();
  std::memcpy(array.Data(), logits.data(), logits.size() * sizeof(float));
  return array;
}

Napi::Object Environment::make_model(std::shared_ptr<InferenceThread> lane) {
  handed_over_ = std::move(lane);
  return model_class_.New({});
}

void Environment::shutdown() {
  if (std::exchange(shut_, true)) return;
  for (const auto& [id, lane] : lanes_) lane->stop();
  int left_behind = 0;
  for (const auto& [id, lane] : lanes_) {
    // Counted from when it was first asked: one that was given up long ago is not waited for again.
    if (!lane->join_until(lane->stop() + kPatience)) ++left_behind;
  }
  lanes_.clear();
  outbox_->close();
  napi_release_threadsafe_function(wake_, napi_tsfn_abort);
  if (left_behind == 0) return;
  platform::exit_without_destructors();
  std::fprintf(stderr,
               "electra-classifier: %d inference thread%s did not stop within %d s and %s left behind\n",
               left_behind, left_behind == 1 ? "" : "s", static_cast<int>(kPatience.count()),
               left_behind == 1 ? "was" : "were");
}

void Environment::settle_all() {
  for (Message& message : outbox_->take()) settle(message.id, std::move(message.result));
  while (!pending_.empty()) settle(pending_.begin()->first, Fault("CLOSED", "shutdown() was called"));
}

void Environment::on_messages() {
  for (Message& message : outbox_->take()) {
    const Napi::HandleScope scope(env_);
    if (!std::holds_alternative<LaneEnded>(message.result)) {
      settle(message.id, std::move(message.result));
      continue;
    }
    const auto lane = lanes_.find(message.id);
    if (lane == lanes_.end()) continue;
    lane->second->join_until(std::chrono::steady_clock::now() + kPatience);  // returns at once: it has ended
    lanes_.erase(lane);
  }
}

void Environment::settle(uint64_t call, Result result) {
  const auto node = pending_.extract(call);
  if (node.empty()) return;
  if (pending_.empty() && !shut_) napi_unref_threadsafe_function(env_, wake_);
  const Pending& pending = node.mapped();
  try {
    Napi::Value value = env_.Undefined();
    if (!std::holds_alternative<Fault>(result) && pending.convert) {
      try {
        value = pending.convert(env_, result);
      } catch (const Napi::Error&) {
        result = Fault("OUT_OF_MEMORY", "there was not enough memory for the result");
      }
    }
    if (const Fault* fault = std::get_if<Fault>(&result)) {
      pending.deferred.Reject(error_of(env_, *fault));
    } else {
      pending.deferred.Resolve(value);
    }
  } catch (const Napi::Error&) {
    // JavaScript no longer runs: its worker is being terminated, and nobody awaits the promise.
  }
}

// ── Model ─────────────────────────────────────────────────────────────────────────────────────────────────

Napi::Function Model::define(Napi::Env env) {
  return DefineClass(env, "Model",
                     {StaticMethod<&Model::load>("load"), InstanceMethod<&Model::forward>("forward"),
                      InstanceMethod<&Model::running>("running"), InstanceMethod<&Model::give_up>("giveUp"),
                      InstanceMethod<&Model::close>("close")});
}

Model::Model(const Napi::CallbackInfo& info)
    : ObjectWrap(info), lane_(Environment::of(info.Env()).take_handed_over()) {
  if (!lane_) throw Napi::TypeError::New(info.Env(), "a Model is made by Model.load()");
}

Model::~Model() {
  // Collected without close(): the lane frees the weights and ends by itself, and is joined when it has.
  if (lane_) lane_->close();
  hold_memory(0);
}

void Model::hold_memory(int64_t bytes) {
  Napi::MemoryManagement::AdjustExternalMemory(Env(), bytes - held_);
  held_ = bytes;
}

Napi::Value Model::load(const Napi::CallbackInfo& info) {
  Environment& environment = Environment::of(info.Env());
  LoadSpec spec = load_spec_argument(info[0], "Model.load");
  const auto lane = std::make_shared<std::shared_ptr<InferenceThread>>();
  return environment.promise(
      [&](uint64_t call) {
        *lane = environment.start_lane("electra-lane");
        (*lane)->submit(
            call,
            [spec = std::move(spec)](CoreModel& model, const electra_stop& stop) -> Result {
              return model.load(spec, stop);
            },
            InferenceThread::After::kEndOnFault);
        return true;
      },
      [lane](Napi::Env env, Result& result) -> Napi::Value {
        const auto& info = std::get<electra_model_info>(result);
        Napi::Object model = Environment::of(env).make_model(*lane);
        model.DefineProperty(
            Napi::PropertyDescriptor::Value("info", info_object(env, info), napi_enumerable));
        Model::Unwrap(model)->hold_memory(static_cast<int64_t>(info.memory));
        return model;
      });
}

namespace {

// A batch on the lane, which begins it while the batch before it runs, where the model can do that.
struct Forward {
  Batch batch;
  std::optional<int32_t> ticket;
  std::optional<Fault> fault;

  void begin(CoreModel& model, const electra_stop& stop) {
    try {
      if (model.overlaps()) ticket = model.begin(batch, stop);
    } catch (const Fault& thrown) {
      fault.emplace(thrown);
    }
  }

  Result run(CoreModel& model, const electra_stop& stop) {
    if (!model.overlaps()) return model.forward(batch, stop);
    if (!ticket && !fault) begin(model, stop);
    if (fault) return *fault;
    return model.finish(*ticket, batch, stop);
  }
};

}  // namespace

Napi::Value Model::forward(const Napi::CallbackInfo& info) {
  const Napi::Int32Array input_ids = int32_array_argument(info[0], "forward: input_ids");
  const Napi::Int32Array cu_seqlens = int32_array_argument(info[1], "forward: cu_seqlens");
  const bool has_types = !info[2].IsUndefined();
  if (has_types) int32_array_argument(info[2], "forward: token_type_ids");
  return Environment::of(info.Env())
      .promise(
          [&](uint64_t call) {
            const auto forward = std::make_shared<Forward>();
            forward->batch.input_ids = copy(input_ids);
            forward->batch.cu_seqlens = copy(cu_seqlens);
            if (has_types) forward->batch.token_type_ids = copy(info[2].As<Napi::Int32Array>());
            const InferenceThread::Taken taken = lane_->submit(
                call,
                [forward](CoreModel& model, const electra_stop& stop) -> Result {
                  return forward->run(model, stop);
                },
                InferenceThread::After::kGoOn,
                [forward](CoreModel& model, const electra_stop& stop) { forward->begin(model, stop); });
            if (taken == InferenceThread::Taken::kClosed) throw Fault("CLOSED", "the model is closed");
            if (taken == InferenceThread::Taken::kLost) throw Fault("UNHEALTHY", InferenceThread::kLost);
            return true;
          },
          [](Napi::Env env, Result& result) -> Napi::Value {
            return Environment::of(env).make_array(std::get<Logits>(result));
          },
          Napi::Persistent(info.This().As<Napi::Object>()));
}

Napi::Value Model::running(const Napi::CallbackInfo& info) {
  const auto running = lane_->running();
  if (!running) return info.Env().Undefined();
  const std::chrono::duration<double, std::milli> time = running->time;
  Napi::Object object = Napi::Object::New(info.Env());
  object.Set("call", static_cast<double>(running->call));
  object.Set("ms", time.count());
  return object;
}

Napi::Value Model::give_up(const Napi::CallbackInfo& info) {
  if (!info[0].IsNumber()) refuse(info[0], "giveUp: call", "a number");
  const auto call = static_cast<uint64_t>(info[0].As<Napi::Number>().Int64Value());
  return Napi::Boolean::New(info.Env(), lane_->give_up(call));
}

Napi::Value Model::close(const Napi::CallbackInfo& info) {
  Environment& environment = Environment::of(info.Env());
  hold_memory(0);
  return environment.promise([&](uint64_t call) { return !environment.is_shut() && lane_->close(call); },
                             nullptr, Napi::Persistent(info.This().As<Napi::Object>()));
}

}  // namespace electra
