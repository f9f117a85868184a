// Memory of the CPU encoder: aligned for vectors, zero at first, and not resident before it is written.
#pragma once

#include <algorithm>
#include <cstddef>
#include <memory>
#include <utility>

#include "platform.h"

#ifdef __SANITIZE_ADDRESS__
#define ELECTRA_ASAN
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ELECTRA_ASAN
#endif
#endif
#ifdef ELECTRA_ASAN
#include <sanitizer/asan_interface.h>
#endif

namespace electra::cpu {

// Blocks of memory, taken one after the other out of a few large mappings: a model's weights lie end to end,
// in huge pages where the system has them. With 4 kB pages a text alone took a large model 1.25 times as
// long, for it reads all weights once.
class Arena {
 public:
  // Mappings of so many bytes, each for as many blocks as fit; with 0, each block has one of its own.
  explicit Arena(size_t mapping) : mapping_(mapping) {}

 private:
  friend class Memory;
  static constexpr size_t kAlignment = 64;

  // Pages whose bytes may be touched, under AddressSanitizer, only where a block has been taken.
  struct Mapping : platform::Pages {
    explicit Mapping(size_t bytes) : Pages(bytes) {
#ifdef ELECTRA_ASAN
      __asan_poison_memory_region(this->bytes().data(), bytes);
#endif
    }
    ~Mapping() {
#ifdef ELECTRA_ASAN
      __asan_unpoison_memory_region(bytes().data(), bytes().size());
#endif
    }
  };

  // A block keeps its mapping alive.
  std::shared_ptr<std::byte> take(size_t bytes) {
    // With a gap, which nobody may touch.
    const size_t room = (bytes + kAlignment - 1) / kAlignment * kAlignment + kAlignment;
    if (current_ == nullptr || room > current_->bytes().size() - used_) {
      current_ = std::make_shared<Mapping>(std::max(room, mapping_));
      used_ = 0;
    }
    std::byte* const start = current_->bytes().data() + used_;
    used_ += room;
#ifdef ELECTRA_ASAN
    __asan_unpoison_memory_region(start, bytes);
#endif
    return {current_, start};
  }

  size_t mapping_, used_ = 0;
  std::shared_ptr<Mapping> current_;
};

class Memory {
 public:
  Memory() = default;
  // By itself, in pages of its own.
  explicit Memory(size_t bytes) : size_(bytes) {
    Arena alone(0);
    start_ = alone.take(bytes);
  }
  Memory(size_t bytes, Arena& arena) : start_(arena.take(bytes)), size_(bytes) {}

  std::byte* get() const noexcept { return start_.get(); }
  template <typename T>
  T* as() const noexcept {
    return reinterpret_cast<T*>(get());
  }
  size_t size() const noexcept { return size_; }

 private:
  std::shared_ptr<std::byte> start_;
  size_t size_ = 0;
};

}  // namespace electra::cpu
