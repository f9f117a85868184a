// A card without a card: tensors on the CPU, graphs that run their work again, and faults on demand.
#pragma once

#include <ATen/ATen.h>

#include <cmath>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "core/gpu/gpu.h"

namespace electra::test {

// What the tests ask for and what they look at; it outlives the card, as an engine owns that.
struct FakeCard {
  int captures = 0, replays = 0, releases = 0, marks_set = 0;
  // The n-th of these from 1 on fails, with what is asked for here.
  std::vector<int> out_of_memory_at_captures;
  int fail_capture = 0, fail_replay = 0;
  bool frozen = false;  // replays change nothing, as where a capture holds on to what should be computed anew
  int out_of_memory_at_attention = 0, attentions = 0;
  std::string fatal;
};

[[noreturn]] inline void throw_out_of_memory() {
  throw c10::OutOfMemoryError({__func__, __FILE__, __LINE__}, "CUDA out of memory. Tried to allocate 2 GiB");
}

class FakeGraph final : public Graph {
 public:
  FakeGraph(FakeCard& card, std::function<void()> work) : card_(card), work_(std::move(work)) {}
  void replay() override {
    if (++card_.replays == card_.fail_replay || !card_.fatal.empty()) {
      throw std::runtime_error("the replay failed");
    }
    if (!card_.frozen) work_();
  }

 private:
  FakeCard& card_;
  std::function<void()> work_;
};

class FakeMark final : public Mark {
 public:
  explicit FakeMark(FakeCard& card) : card_(card) {}
  void set() override { ++card_.marks_set; }
  bool passed() override { return true; }
  void wait() override {
    if (!card_.fatal.empty()) throw std::runtime_error("waiting failed");
  }

 private:
  FakeCard& card_;
};

class FakeGpu final : public Gpu {
 public:
  explicit FakeGpu(FakeCard& card) : card_(card) {}

  at::Device device() const override { return at::Device(at::kCPU); }
  void enter() override {}

  // The reference: row by row, as the offsets say when it runs. Behind the last of them it leaves NaN, and a
  // row that is longer than promised is an error.
  Attention attention(const at::Tensor& cu_seqlens, int64_t longest, at::ScalarType,
                      int64_t head_size) const override {
    return [this, cu_seqlens, longest, head_size](const at::Tensor& query_key_value) {
      if (++card_.attentions == card_.out_of_memory_at_attention) throw_out_of_memory();
      const at::Tensor parts = query_key_value.permute({1, 2, 0, 3});  // [3, heads, tokens, head_size]
      at::Tensor contexts = at::full({query_key_value.size(0), query_key_value.size(2), head_size},
                                     std::nan(""), query_key_value.options());
      const int32_t* offset = cu_seqlens.const_data_ptr<int32_t>();
      for (int64_t row = 0; row + 1 < cu_seqlens.size(0); ++row) {
        const int64_t start = offset[row], length = offset[row + 1] - start;
        if (length < 0 || length > longest) throw std::logic_error("a row is longer than promised");
        if (length == 0) continue;
        const at::Tensor own = parts.narrow(2, start, length);
        const at::Tensor scores = at::matmul(own[0], own[1].transpose(1, 2)) / std::sqrt(double(head_size));
        contexts.narrow(0, start, length).copy_(at::matmul(at::softmax(scores, -1), own[2]).transpose(0, 1));
      }
      return contexts.flatten(1);
    };
  }

  at::Tensor host_memory(int64_t size, at::ScalarType dtype) override {
    return at::full({size}, 0x5a5a5a, at::TensorOptions(dtype));
  }
  std::unique_ptr<Mark> make_mark() override { return std::make_unique<FakeMark>(card_); }

  std::unique_ptr<Graph> capture(const std::function<void()>& work) override {
    const int n = ++card_.captures;
    for (const int at : card_.out_of_memory_at_captures) {
      if (n == at) throw_out_of_memory();
    }
    if (n == card_.fail_capture) throw std::runtime_error("operation not permitted when stream is capturing");
    work();
    return std::make_unique<FakeGraph>(card_, work);
  }

  GpuMemory memory() const override {
    return {5'000'000, 80'000'000, 1'000'000 * static_cast<uint64_t>(1 + card_.captures)};
  }
  void release_memory() override { ++card_.releases; }
  std::string fatal_error() override { return card_.fatal; }

 private:
  FakeCard& card_;
};

}  // namespace electra::test
