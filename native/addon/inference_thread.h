// A lane: one thread, one queue, stop and join. Everything that the core does, it does on one of these: load,
// forward, free. Knows no Node: what it has found out goes to an Outbox, under the number of the call.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <variant>
#include <vector>

#include "addon/core_library.h"

namespace electra {

struct Done {};
struct LaneEnded {};
using Logits = std::vector<float>;
using Result =
    std::variant<Done, Fault, electra_model_info, Logits, CoreInfo, std::vector<ArchiveFile>, LaneEnded>;

struct Message {
  uint64_t id;  // of the call; with LaneEnded, of the lane
  Result result;
};

// Where the threads of an environment leave results for its JavaScript thread.
class Outbox {
 public:
  // `wake` is called under a lock, from any thread, when the first message since the last take() is there.
  explicit Outbox(std::function<void()> wake) : wake_(std::move(wake)) {}

  void post(Message message);
  std::vector<Message> take();
  // Afterwards `wake` is never called again: a thread that was left behind talks to nobody.
  void close();

 private:
  std::mutex mutex_;
  std::function<void()> wake_;
  std::vector<Message> messages_;
};

class InferenceThread {
 public:
  // Runs on the lane, on its one model; a Fault that it throws is the call's result.
  using Work = std::function<Result(CoreModel& model, const electra_stop& stop)>;
  // Runs before the work, where the model waits for its device meanwhile, or not at all. Throws nothing.
  using Prepare = std::function<void(CoreModel& model, const electra_stop& stop)>;
  enum class After { kGoOn, kEndOnFault, kEnd };
  enum class Taken { kYes, kClosed, kLost };
  // The message of UNHEALTHY, for what a lost model did not run.
  static constexpr const char* kLost =
      "the model can run no batch any more, because an earlier one failed for good";
  struct Running {
    uint64_t call;
    std::chrono::steady_clock::duration time;  // since it began
  };

  // Every method is called from the thread that made the lane, and none waits but join_until.
  InferenceThread(uint64_t id, const std::string& name, std::shared_ptr<Outbox> outbox);
  ~InferenceThread();
  InferenceThread(const InferenceThread&) = delete;
  InferenceThread& operator=(const InferenceThread&) = delete;

  // Whether the lane takes the work, or takes none any more: it was closed, or its model is lost. After some
  // work it ends by itself.
  Taken submit(uint64_t call, Work work, After after = After::kGoOn, Prepare prepare = nullptr);
  std::optional<Running> running() const;
  // For a call that is taken to hang: where it is still the one that runs, it is rejected now, the model is
  // lost, and nobody waits for the thread but a shutdown. The thread is asked to stop.
  bool give_up(uint64_t call);
  // Finishes what runs, rejects what is queued with CLOSED, frees the model, ends. `call` is answered then.
  // False when there is nothing to wait for: the lane has freed its model, or was given up.
  bool close(uint64_t call);
  void close();
  // As close(), and what runs is asked to stop. Returns when it was first asked.
  std::chrono::steady_clock::time_point stop();
  // False when the thread is still busy at that time: it is left behind, and everything that it uses with it.
  bool join_until(std::chrono::steady_clock::time_point deadline);

 private:
  struct Shared;
  static void run(const std::shared_ptr<Shared>& shared);

  std::shared_ptr<Shared> shared_;
  std::thread thread_;
};

}  // namespace electra
