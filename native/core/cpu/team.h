// The threads that compute one model's batches: as many as the model was loaded with, the caller among them.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <thread>
#include <vector>

namespace electra::cpu {

// What waits for the others inside one job. Threads spin, for what they wait for takes microseconds.
class Barrier {
 public:
  explicit Barrier(int size) : size_(size) {}
  void wait();

 private:
  const int size_;
  std::atomic<int> arrived_{0};
  std::atomic<uint32_t> round_{0};
};

class Team {
 public:
  explicit Team(int size);
  ~Team();
  Team(const Team&) = delete;
  Team& operator=(const Team&) = delete;

  int size() const noexcept { return size_; }

  // Calls job(context, 0 … size - 1), each on a thread of its own, 0 on the calling one; returns when all
  // have. The job must not throw.
  using Job = void (*)(void* context, int member);
  void run(Job job, void* context);

  template <typename Work>
  void run(Work& work) {
    run([](void* context, int member) { (*static_cast<Work*>(context))(member); }, &work);
  }

 private:
  void serve(int member);
  void start();
  void end();

  const int size_;
  Job job_ = nullptr;
  void* context_ = nullptr;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::atomic<uint32_t> started_{0};  // jobs so far; a member that sees it rise has one to do
  std::atomic<int> unfinished_{0};
  std::atomic<bool> ended_{false};
  std::vector<std::thread> threads_;
};

}  // namespace electra::cpu
