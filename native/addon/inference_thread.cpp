#include "addon/inference_thread.h"

#include <condition_variable>
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
  bool freed = false;
  bool ended = false;

  // Under the mutex.
  void stop_taking_work() {
    closing = true;
    for (const Job& job : jobs) {
      outbox->post({job.call, Fault("CLOSED", "the model was closed before this batch ran")});
    }
    jobs.clear();
    changed.notify_all();
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

bool InferenceThread::submit(uint64_t call, Work work, After after, Prepare prepare) {
  const std::lock_guard lock(shared_->mutex);
  if (shared_->closing) return false;
  shared_->jobs.push_back({call, std::move(work), after, std::move(prepare)});
  shared_->changed.notify_all();
  return true;
}

bool InferenceThread::close(uint64_t call) {
  const std::lock_guard lock(shared_->mutex);
  if (shared_->freed) return false;
  shared_->closers.push_back(call);
  shared_->stop_taking_work();
  return true;
}

void InferenceThread::close() {
  const std::lock_guard lock(shared_->mutex);
  shared_->stop_taking_work();
}

void InferenceThread::stop() {
  shared_->stop_requested = true;
  close();
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
      lock.unlock();

      Result result = result_of(job.work, model, stop);
      const bool failed = std::holds_alternative<Fault>(result);
      if (job.after == After::kEnd || (job.after == After::kEndOnFault && failed)) {
        lock.lock();
        shared->stop_taking_work();
        lock.unlock();
      }
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
