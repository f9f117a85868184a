// Memory of the CPU encoder: aligned for vectors, zero at first, and not resident before it is written.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>

namespace electra::cpu {

class Memory {
 public:
  static constexpr size_t kAlignment = 64;

  Memory() = default;
  explicit Memory(size_t bytes) : block_(std::calloc(bytes + kAlignment, 1)), size_(bytes) {
    if (block_ == nullptr) throw std::bad_alloc();
    void* start = block_.get();
    size_t space = bytes + kAlignment;
    start_ = static_cast<std::byte*>(std::align(kAlignment, bytes, start, space));
  }

  std::byte* get() const noexcept { return start_; }
  template <typename T>
  T* as() const noexcept {
    return reinterpret_cast<T*>(start_);
  }
  size_t size() const noexcept { return size_; }

 private:
  struct Free {
    void operator()(void* block) const noexcept { std::free(block); }
  };
  std::unique_ptr<void, Free> block_;
  std::byte* start_ = nullptr;
  size_t size_ = 0;
};

}  // namespace electra::cpu
