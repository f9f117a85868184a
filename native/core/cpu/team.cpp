#include "core/cpu/team.h"

#if defined(__x86_64__) || defined(_M_X64)
#include <immintrin.h>
#endif

#include "platform.h"

namespace electra::cpu {

namespace {

// About 50 microseconds: longer than two batches are apart where a queue waits, and short enough that a
// service without work costs nothing.
constexpr int kSpinsBeforeSleep = 2000;
// With more threads than free CPUs the one that is waited for needs this CPU.
constexpr int kSpinsBeforeYield = 4000;

void pause() {
#if defined(__x86_64__) || defined(_M_X64)
  _mm_pause();
#endif
}

}  // namespace

void Barrier::wait() {
  if (size_ == 1) return;
  const uint32_t round = round_.load(std::memory_order_relaxed);
  if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == size_) {
    arrived_.store(0, std::memory_order_relaxed);
    round_.store(round + 1, std::memory_order_release);
    return;
  }
  for (int spins = 0; round_.load(std::memory_order_acquire) == round; ++spins) {
    pause();
    if (spins >= kSpinsBeforeYield) std::this_thread::yield();
  }
}

Team::Team(int size) : size_(size) {
  threads_.reserve(size - 1);
  try {
    for (int member = 1; member < size; ++member) {
      threads_.emplace_back([this, member] { serve(member); });
    }
  } catch (...) {  // there is no memory for so many
    end();
    throw;
  }
}

Team::~Team() { end(); }

void Team::end() {
  ended_.store(true, std::memory_order_relaxed);
  start();
  for (std::thread& thread : threads_) thread.join();
}

// Under the lock, or a member that is about to sleep could miss it. Not std::atomic's own wait, which the
// libraries of older systems lack.
void Team::start() {
  {
    const std::lock_guard lock(mutex_);
    started_.fetch_add(1, std::memory_order_release);
  }
  changed_.notify_all();
}

void Team::run(Job job, void* context) {
  job_ = job;
  context_ = context;
  unfinished_.store(size_ - 1, std::memory_order_relaxed);
  if (size_ > 1) start();
  job(context, 0);
  for (int spins = 0; unfinished_.load(std::memory_order_acquire) > 0; ++spins) {
    pause();
    if (spins >= kSpinsBeforeYield) std::this_thread::yield();
  }
}

void Team::serve(int member) {
  platform::name_thread("electra-" + std::to_string(member));
#if defined(__x86_64__) || defined(_M_X64)
  _mm_setcsr(_mm_getcsr() | 0x8040);  // denormals are zero, as on the lane
#endif
  for (uint32_t seen = 0;; ++seen) {
    for (int spins = 0; spins < kSpinsBeforeSleep && started_.load(std::memory_order_acquire) == seen;
         ++spins) {
      pause();
    }
    if (started_.load(std::memory_order_acquire) == seen) {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [&] { return started_.load(std::memory_order_acquire) != seen; });
    }
    if (ended_.load(std::memory_order_relaxed)) return;
    job_(context_, member);
    unfinished_.fetch_sub(1, std::memory_order_release);
  }
}

}  // namespace electra::cpu
