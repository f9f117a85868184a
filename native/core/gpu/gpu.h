// What the engine needs of a card beyond tensors: a stream, graphs, memory that copies can overlap with, and
// what is wrong where something is. The CUDA library has the one for real cards (core/cuda/); tests have one
// without a card.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "core/attention.h"

namespace electra {

// Work that was captured once and is launched as a whole.
class Graph {
 public:
  virtual ~Graph() = default;
  // Launches it on the stream; does not wait.
  virtual void replay() = 0;
};

// A moment in the order of the stream's work.
class Mark {
 public:
  virtual ~Mark() = default;
  virtual void set() = 0;
  virtual bool passed() = 0;
  virtual void wait() = 0;
};

struct GpuMemory {
  uint64_t free = 0, total = 0;  // of the card, in bytes
  uint64_t held = 0;             // of it by this process's allocator
};

// One card, as one model uses it. Every method is called from the model's own thread.
class Gpu {
 public:
  virtual ~Gpu() = default;

  virtual at::Device device() const = 0;
  // Makes the model's stream the current one of this thread. All else works on it.
  virtual void enter() = 0;
  virtual Attention attention(const at::Tensor& cu_seqlens, int64_t longest, at::ScalarType dtype,
                              int64_t head_size) const = 0;
  // Memory of the host that is copied from and to without a stop in between.
  virtual at::Tensor host_memory(int64_t size, at::ScalarType dtype) = 0;
  virtual std::unique_ptr<Mark> make_mark() = 0;
  // Captures what `work` launches; all graphs of a model share one pool of memory, so what one computes lasts
  // until the next is replayed, but for tensors that are held. What `work` refers to must live as long as
  // the graph, for a card of tests that replays by running it again. Throws what `work` throws, and leaves
  // the stream as it was.
  virtual std::unique_ptr<Graph> capture(const std::function<void()>& work) = 0;
  virtual GpuMemory memory() const = 0;
  // Gives what the allocator holds without need back to the card.
  virtual void release_memory() = 0;
  // What is wrong with the card for the rest of this process; "" where it goes on.
  virtual std::string fatal_error() = 0;
};

}  // namespace electra
