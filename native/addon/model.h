// The JavaScript edge: checks, copies, promises. Every function here runs on the JavaScript thread.
#pragma once

#include <napi.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "addon/inference_thread.h"

namespace electra {

// `what` names the argument in the TypeError that a wrong one gets.
std::string string_argument(const Napi::Value& value, const std::string& what);
LoadSpec load_spec_argument(const Napi::Value& value, const std::string& function);
[[noreturn]] void refuse(const Napi::Value& value, const std::string& what, const std::string& expected);

// What one environment (the main thread, or a worker) has under way: its lanes and its unsettled promises.
class Environment {
 public:
  // Makes the value that a promise is resolved with.
  using Convert = std::function<Napi::Value(Napi::Env env, Result& result)>;
  // Starts a call. True: a lane will answer it. False: there is nothing to wait for.
  using Begin = std::function<bool(uint64_t call)>;

  static Environment& of(Napi::Env env) { return *env.GetInstanceData<Environment>(); }

  Environment(Napi::Env env, const Napi::Function& model_class);
  Environment(const Environment&) = delete;
  Environment& operator=(const Environment&) = delete;

  // `keep_alive` is not collected before the promise is settled. A Fault that `begin` throws rejects it.
  Napi::Promise promise(const Begin& begin, Convert convert, Napi::ObjectReference keep_alive = {});
  // The same for work on a thread of its own.
  Napi::Promise promise_on_own_thread(const std::string& thread_name, InferenceThread::Work work,
                                      Convert convert);

  std::shared_ptr<InferenceThread> start_lane(const std::string& thread_name);
  // Logits of a batch. Throws where there is no memory for them, which napi_create_arraybuffer does not: it
  // ends the process.
  Napi::Float32Array make_array(const Logits& logits);
  Napi::Object make_model(std::shared_ptr<InferenceThread> lane);
  // For the constructor of Model, which nothing else can hand a lane to.
  std::shared_ptr<InferenceThread> take_handed_over() { return std::move(handed_over_); }

  bool is_shut() const { return shut_; }
  // Stops and joins every lane, for good.
  void shutdown();
  // What shutdown() left unsettled, for when JavaScript goes on.
  void settle_all();

 private:
  struct Pending {
    Napi::Promise::Deferred deferred;
    Convert convert;
    Napi::ObjectReference keep_alive;
  };

  void on_messages();
  void settle(uint64_t call, Result result);

  Napi::Env env_;
  napi_threadsafe_function wake_ = nullptr;
  std::shared_ptr<Outbox> outbox_;
  std::map<uint64_t, std::shared_ptr<InferenceThread>> lanes_;
  std::map<uint64_t, Pending> pending_;
  Napi::FunctionReference model_class_;
  Napi::FunctionReference float32_array_;  // the constructor
  std::shared_ptr<InferenceThread> handed_over_;
  uint64_t next_id_ = 1;
  bool shut_ = false;
};

class Model : public Napi::ObjectWrap<Model> {
 public:
  static Napi::Function define(Napi::Env env);

  explicit Model(const Napi::CallbackInfo& info);
  ~Model() override;

  // So that the garbage collector knows what a model that nobody uses is worth.
  void hold_memory(int64_t bytes);

 private:
  static Napi::Value load(const Napi::CallbackInfo& info);
  Napi::Value forward(const Napi::CallbackInfo& info);
  Napi::Value running(const Napi::CallbackInfo& info);
  Napi::Value give_up(const Napi::CallbackInfo& info);
  Napi::Value close(const Napi::CallbackInfo& info);

  std::shared_ptr<InferenceThread> lane_;
  int64_t held_ = 0;
};

}  // namespace electra
