#include "core/cuda/cuda_gpu.h"

#include <ATen/ATen.h>
#include <ATen/cuda/CUDAGraph.h>
#include <c10/cuda/CUDACachingAllocator.h>
#include <c10/cuda/CUDAFunctions.h>
#include <c10/cuda/CUDAStream.h>
#include <cuda_runtime_api.h>

#include <utility>

namespace electra {

namespace {

class CudaGraph final : public Graph {
 public:
  explicit CudaGraph(at::cuda::MempoolId_t pool) : pool_(pool) {}

  void capture(const std::function<void()>& work) {
    // Other models' threads may allocate meanwhile, so only this thread is held to what a capture allows.
    graph_.capture_begin(pool_, cudaStreamCaptureModeThreadLocal);
    try {
      work();
    } catch (...) {
      // Ends the capture on the stream; what it says of a capture that failed is not the reason.
      try {
        graph_.capture_end();
      } catch (const std::exception&) {
      }
      cudaGetLastError();
      throw;
    }
    graph_.capture_end();
  }

  void replay() override { graph_.replay(); }

 private:
  at::cuda::MempoolId_t pool_;
  at::cuda::CUDAGraph graph_;
};

// A bare event rather than at::cuda::CUDAEvent: it must be destroyed without a throw on a card that is lost.
class CudaMark final : public Mark {
 public:
  explicit CudaMark(c10::cuda::CUDAStream stream) : stream_(stream) {
    C10_CUDA_CHECK(cudaEventCreateWithFlags(&event_, cudaEventDisableTiming));
  }
  ~CudaMark() override { cudaEventDestroy(event_); }
  CudaMark(const CudaMark&) = delete;
  CudaMark& operator=(const CudaMark&) = delete;

  void set() override { C10_CUDA_CHECK(cudaEventRecord(event_, stream_)); }

  bool passed() override {
    const cudaError_t status = cudaEventQuery(event_);
    if (status == cudaErrorNotReady) return false;
    C10_CUDA_CHECK(status);
    return true;
  }

  void wait() override { C10_CUDA_CHECK(cudaEventSynchronize(event_)); }

 private:
  c10::cuda::CUDAStream stream_;
  cudaEvent_t event_ = nullptr;
};

class CudaGpu final : public Gpu {
 public:
  explicit CudaGpu(int index) : index_(static_cast<c10::DeviceIndex>(index)), stream_(own_stream(index_)) {
    cudaDeviceProp properties;
    C10_CUDA_CHECK(cudaGetDeviceProperties(&properties, index));
    capability_ = 10 * properties.major + properties.minor;
  }

  at::Device device() const override { return {c10::kCUDA, index_}; }

  void enter() override {
    c10::cuda::set_device(index_);
    c10::cuda::setCurrentCUDAStream(stream_);
  }

  Attention attention(const at::Tensor& cu_seqlens, int64_t longest, at::ScalarType dtype,
                      int64_t head_size) const override {
    const bool flash = capability_ >= 80 && dtype != at::kFloat && head_size % 8 == 0 && head_size <= 256;
    return attention_by_offsets(cu_seqlens, longest, flash);
  }

  at::Tensor host_memory(int64_t size, at::ScalarType dtype) override {
    return at::empty({size}, at::TensorOptions(dtype).pinned_memory(true));
  }

  std::unique_ptr<Mark> make_mark() override { return std::make_unique<CudaMark>(stream_); }

  std::unique_ptr<Graph> capture(const std::function<void()>& work) override {
    enter();
    C10_CUDA_CHECK(cudaStreamSynchronize(stream_));
    auto graph = std::make_unique<CudaGraph>(pool_);
    graph->capture(work);
    return graph;
  }

  GpuMemory memory() const override {
    GpuMemory memory;
    size_t free = 0, total = 0;
    if (cudaMemGetInfo(&free, &total) == cudaSuccess) {
      memory.free = free;
      memory.total = total;
    }
    const auto stats = c10::cuda::CUDACachingAllocator::getDeviceStats(index_);
    memory.held = static_cast<uint64_t>(stats.reserved_bytes[0].current);
    return memory;
  }

  void release_memory() override { c10::cuda::CUDACachingAllocator::emptyCache(); }

  std::string fatal_error() override {
    // Clears what can be cleared; what is still there then stays for good.
    cudaGetLastError();
    const cudaError_t status = cudaStreamSynchronize(stream_);
    const cudaError_t again = cudaDeviceSynchronize();
    cudaGetLastError();
    if (status == cudaSuccess || again == cudaSuccess) return "";
    return std::string(cudaGetErrorName(again)) + ", " + cudaGetErrorString(again);
  }

 private:
  static c10::cuda::CUDAStream own_stream(c10::DeviceIndex index) {
    c10::cuda::set_device(index);
    return c10::cuda::getStreamFromPool(/*isHighPriority=*/false, index);
  }

  c10::DeviceIndex index_;
  c10::cuda::CUDAStream stream_;
  int capability_ = 0;
  at::cuda::MempoolId_t pool_ = at::cuda::graph_pool_handle();
};

}  // namespace

std::unique_ptr<Gpu> make_cuda_gpu(int index) { return std::make_unique<CudaGpu>(index); }

}  // namespace electra
