#include "addon/inference_thread.h"

#include <condition_variable>
#include <cstdio>
#include <deque>
#include <exception>
#include <utility>

#include "platform.h"

namespace electra {

void Outbox::post(Message message) {
  const std::lock_guard lock(mutex_);
  if (!wake_) return;
  messages_.push_back(std::move(message));
  if (messages_.size() == 1) wake_();
}

std::vector<Message> Outbox::take() {
  const std::lock_guard lock(mutex_);
  return std::exchange(messages_, {});
}

void Outbox::close() {
  const std::lock_guard lock(mutex_);
  wake_ = nullptr;
}

namespace {

struct Job {
  uint64_t call = 0;
  InferenceThread::Work work;
  InferenceThread::After after = InferenceThread::After::kGoOn;
  InferenceThread::Prepare prepare;
};

Result result_of(const InferenceThread::Work& work, CoreModel& model, const electra_stop& stop) {
  try {
    return work(model, stop);
  } catch (const Fault& fault) {
    return fault;
  } catch (const std::bad_alloc&) {
    return Fault("OUT_OF_MEMORY", "there was not enough memory");
  } catch (const std::length_error&) {
    return Fault("OUT_OF_MEMORY", "there was not enough memory");
  } catch (const std::exception& error) {
    return Fault("FORWARD_FAILED", error.what());
  }
}

}  // namespace

// Owned by the lane's thread too, so that one that was left behind still finds it.
struct InferenceThread::Shared {
  uint64_t id;
  std::string name;
  std::shared_ptr<Outbox> outbox;

  std::atomic<bool> stop_requested = false;
  std::mutex mutex;
  std::condition_variable changed;
  std::deque<Job> jobs;
  std::vector<uint64_t> closers;
  bool closing = false;
  bool lost = false;
  bool given_up = false;
  bool freed = false;
  bool ended = false;
  uint64_t running = 0;  // the call; 0 for none
  std::chrono::steady_clock::time_point running_since;
  std::optional<std::chrono::steady_clock::time_point> stop_asked;

  // These are called under the mutex.
  void reject_queued(const Fault& fault) {
    for (const Job& job : jobs) outbox->post({job.call, fault});
    jobs.clear();
  }

  void stop_taking_work() {
    closing = true;
    reject_queued(Fault("CLOSED", "the model was closed before this batch ran"));
    changed.notify_all();
  }

  void lose() {
    lost = true;
    reject_queued(Fault("UNHEALTHY", kLost));
  }

  std::chrono::steady_clock::time_point stop() {
    stop_requested = true;
    stop_taking_work();
    if (!stop_asked) stop_asked = std::chrono::steady_clock::now();
    return *stop_asked;
  }
};

InferenceThread::InferenceThread(uint64_t id, const std::string& name, std::shared_ptr<Outbox> outbox)
    : shared_(std::make_shared<Shared>()) {
  shared_->id = id;
  shared_->name = name;
  shared_->outbox = std::move(outbox);
  thread_ = std::thread([shared = shared_] { run(shared); });
}

InferenceThread::~InferenceThread() {
  close();
  if (thread_.joinable()) thread_.detach();
}

InferenceThread::Taken InferenceThread::submit(uint64_t call, Work work, After after, Prepare prepare) {
  const std::lock_guard lock(shared_->mutex);
  if (shared_->lost) return Taken::kLost;
  if (shared_->closing) return Taken::kClosed;
  shared_->jobs.push_back({call, std::move(work), after, std::move(prepare)});
  shared_->changed.notify_all();
  return Taken::kYes;
}

std::optional<InferenceThread::Running> InferenceThread::running() const {
  const std::lock_guard lock(shared_->mutex);
  if (shared_->running == 0) return std::nullopt;
  return Running{shared_->running, std::chrono::steady_clock::now() - shared_->running_since};
}

bool InferenceThread::give_up(uint64_t call) {
  const std::lock_guard lock(shared_->mutex);
  if (shared_->running != call || shared_->given_up) return false;
  shared_->given_up = true;
  const std::chrono::duration<double> time = std::chrono::steady_clock::now() - shared_->running_since;
  char message[80];
  std::snprintf(message, sizeof(message), "a batch was given up that had run for %.1f s without an end",
                time.count());
  // What the thread says of it later finds nobody.
  shared_->outbox->post({call, Fault("FORWARD_FAILED", message)});
  shared_->lose();
  shared_->stop();
  for (const uint64_t closer : shared_->closers) shared_->outbox->post({closer, Done()});
  shared_->closers.clear();
  return true;
}

bool InferenceThread::close(uint64_t call) {
  const std::lock_guard lock(shared_->mutex);
  if (shared_->freed || shared_->given_up) return false;
  shared_->closers.push_back(call);
  shared_->stop_taking_work();
  return true;
}

void InferenceThread::close() {
  const std::lock_guard lock(shared_->mutex);
  shared_->stop_taking_work();
}

std::chrono::steady_clock::time_point InferenceThread::stop() {
  const std::lock_guard lock(shared_->mutex);
  return shared_->stop();
}

bool InferenceThread::join_until(std::chrono::steady_clock::time_point deadline) {
  if (!thread_.joinable()) return true;
  std::unique_lock lock(shared_->mutex);
  const bool ended = shared_->changed.wait_until(lock, deadline, [this] { return shared_->ended; });
  lock.unlock();
  if (ended) {
    thread_.join();
  } else {
    thread_.detach();
  }
  return ended;
}

void InferenceThread::run(const std::shared_ptr<Shared>& shared) {
  platform::name_thread(shared->name);
  const electra_stop stop = {
      [](void* requested) -> int32_t { return static_cast<std::atomic<bool>*>(requested)->load(); },
      &shared->stop_requested};
  {
    CoreModel model;
    model.while_waiting([&] {
      std::unique_lock lock(shared->mutex);
      if (shared->jobs.empty()) return;
      const Prepare prepare = std::exchange(shared->jobs.front().prepare, nullptr);
      lock.unlock();
      if (prepare) prepare(model, stop);
    });
    for (;;) {
      std::unique_lock lock(shared->mutex);
      shared->changed.wait(lock, [&] { return shared->closing || !shared->jobs.empty(); });
      if (shared->jobs.empty()) break;
      const Job job = std::move(shared->jobs.front());
      shared->jobs.pop_front();
      shared->running = job.call;
      shared->running_since = std::chrono::steady_clock::now();
      lock.unlock();

      Result result = result_of(job.work, model, stop);
      const Fault* fault = std::get_if<Fault>(&result);
      lock.lock();
      shared->running = 0;
      if (job.after == After::kEnd || (job.after == After::kEndOnFault && fault != nullptr)) {
        shared->stop_taking_work();
      }
      if (fault != nullptr && fault->lost()) shared->lose();
      lock.unlock();
      shared->outbox->post({job.call, std::move(result)});
    }
  }
  std::unique_lock lock(shared->mutex);
  shared->freed = true;
  for (const uint64_t call : shared->closers) shared->outbox->post({call, Done()});
  lock.unlock();
  // Last of all, so that whoever reads it joins a thread that has nothing left to do.
  shared->outbox->post({shared->id, LaneEnded()});
  lock.lock();
  shared->ended = true;
  shared->changed.notify_all();
}

}  // namespace electra
