#include "core/gpu/graph_cache.h"

#include <c10/util/Exception.h>

#include <algorithm>
#include <chrono>
#include <cstdio>

#include "core/error.h"

namespace electra {

namespace {

// Before the first capture libraries choose kernels and load them, which a capture does not allow; for a
// further shape once is enough.
constexpr int kFirstWarmUps = 3;

}  // namespace

void GraphCache::capture(Gpu& gpu, const std::vector<Bucket>& buckets, const Compute& compute,
                         const Stop& stop) {
  const auto begin = std::chrono::steady_clock::now();
  const uint64_t held = gpu.memory().held;
  asked_for_ = buckets.size();
  for (const Bucket& bucket : buckets) {
    stop.check();
    try {
      for (int i = captured_.empty() ? kFirstWarmUps : 1; i > 0; --i) compute(bucket);
      std::unique_ptr<Captured> captured(new Captured{bucket, nullptr, {}});
      captured->graph = gpu.capture([compute, &to = *captured] { to.output = compute(to.bucket); });
      captured_.push_back(std::move(captured));
      buckets_.push_back(bucket);
    } catch (const CoreError&) {
      throw;
    } catch (const c10::OutOfMemoryError&) {
      if (failure_.empty()) failure_ = "the card has too little memory";
      gpu.release_memory();
    } catch (const std::exception& error) {
      if (!gpu.fatal_error().empty()) throw;
      failure_ = reason_of(error);
      break;
    }
  }
  seconds_ = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  const uint64_t now = gpu.memory().held;
  bytes_ = now > held ? now - held : 0;
}

const GraphCache::Captured* GraphCache::find(const Bucket& shape) {
  const int64_t index = choose_bucket(buckets_, shape);
  if (index < 0) {
    ++misses_;
    return nullptr;
  }
  ++hits_;
  return captured_[static_cast<size_t>(index)].get();
}

at::Tensor GraphCache::run(Gpu& gpu, const Bucket& shape, const Fill& fill) {
  while (const Captured* captured = find(shape)) {
    try {
      fill(captured->bucket);
      captured->graph->replay();
      return captured->output;
    } catch (const std::exception& error) {
      if (!gpu.fatal_error().empty()) throw;
      give_up(*captured, reason_of(error));
    }
  }
  return {};
}

void GraphCache::give_up(const Captured& captured, const std::string& why) {
  if (failure_.empty()) failure_ = why;
  const auto place = std::find_if(captured_.begin(), captured_.end(),
                                  [&](const auto& candidate) { return candidate.get() == &captured; });
  const auto index = place - captured_.begin();
  captured_.erase(captured_.begin() + index);
  buckets_.erase(buckets_.begin() + index);
}

std::string GraphCache::note() const {
  if (asked_for_ == 0) return "";
  char text[160];
  std::snprintf(text, sizeof(text),
                "Captured %zu of %zu CUDA graphs in %.1f s, with %.0f MB of the card's memory",
                captured_.size(), asked_for_, seconds_, static_cast<double>(bytes_) / 1e6);
  return text + (failure_.empty() ? "." : "; the others run eagerly because " + failure_ + ".");
}

}  // namespace electra
