#include "core/gpu/gpu_engine.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "core/error.h"
#include "core/gpu/on_card.h"

namespace electra {

namespace {

// A graph is captured whole; a stop is looked for between one and the next.
const Stop kNeverStop(nullptr);

}  // namespace

GpuEngine::GpuEngine(const ElectraConfig& config, TensorMap tensors, at::ScalarType dtype,
                     std::unique_ptr<Gpu> gpu, const std::vector<Bucket>& buckets, const Stop& stop)
    : gpu_(std::move(gpu)),
      dtype_(dtype),
      head_size_(config.hidden_size / config.num_attention_heads),
      pooling_(config.pooling),
      body_(on_card(*gpu_,
                    [&] {
                      return Body(config, tensors, {gpu_->device(), dtype}, stop);
                    })),
      head_(on_card(*gpu_, [&] { return Head(config, tensors, gpu_->device()); })) {
  for (Slot& slot : slots_) slot.done = gpu_->make_mark();
  capture(buckets, stop);
}

GpuEngine::~GpuEngine() { gpu_->enter(); }

std::string GpuEngine::note() const { return graphs_.note(); }

void GpuEngine::capture(const std::vector<Bucket>& buckets, const Stop& stop) {
  if (buckets.empty()) return;
  on_card(*gpu_, [&] {
    int64_t size = 0;
    for (const Bucket& bucket : buckets) size = std::max(size, StagingLayout(bucket).size);
    // Zeros are a batch: token 0 everywhere, and only empty rows.
    graph_input_ = at::zeros({size}, at::TensorOptions(at::kInt).device(gpu_->device()));
    graphs_.capture(
        *gpu_, buckets, [this](const Bucket& bucket) { return compute(graph_input_, bucket, kNeverStop); },
        stop);
  });
}

at::Tensor GpuEngine::forward(const Batch& batch, const Stop& stop) { return finish(begin(batch, stop)); }

int GpuEngine::begin(const Batch& batch, const Stop& stop) {
  const auto slot = std::find_if(slots_.begin(), slots_.end(), [](const Slot& s) { return !s.busy; });
  if (slot == slots_.end()) throw CoreError(ELECTRA_FORWARD_FAILED, "Two batches are under way already.");
  on_card(*gpu_, [&] {
    launch(*slot, batch, stop);
    slot->done->set();
  });
  slot->busy = true;
  return static_cast<int>(slot - slots_.begin());
}

bool GpuEngine::finished(int ticket) {
  return on_card(*gpu_, [&] { return slots_.at(static_cast<size_t>(ticket)).done->passed(); });
}

at::Tensor GpuEngine::finish(int ticket) {
  Slot& slot = slots_.at(static_cast<size_t>(ticket));
  slot.busy = false;
  return on_card(*gpu_, [&] {
    slot.done->wait();
    return slot.logits.narrow(0, 0, slot.rows).clone();
  });
}

void GpuEngine::launch(Slot& slot, const Batch& batch, const Stop& stop) {
  const Bucket shape = shape_of(batch);
  at::Tensor logits = graphs_.run(*gpu_, shape, [&](const Bucket& bucket) {
    // On one stream: after whatever read it for the batch before.
    const at::Tensor input = staged(slot, batch, bucket);
    graph_input_.narrow(0, 0, input.size(0)).copy_(input, /*non_blocking=*/true);
  });
  if (!logits.defined()) logits = run_eagerly(slot, batch, shape, stop);
  slot.rows = batch.rows();
  if (!slot.logits.defined() || slot.logits.size(0) < slot.rows) {
    slot.logits = gpu_->host_memory(slot.rows * logits.size(1), at::kFloat).view({slot.rows, -1});
  }
  slot.logits.narrow(0, 0, slot.rows).copy_(logits.narrow(0, 0, slot.rows), /*non_blocking=*/true);
}

at::Tensor GpuEngine::run_eagerly(Slot& slot, const Batch& batch, const Bucket& shape, const Stop& stop) {
  const at::Tensor input =
      staged(slot, batch, shape).to(gpu_->device(), at::kInt, /*non_blocking=*/true, /*copy=*/true);
  return compute(input, shape, stop);
}

at::Tensor GpuEngine::staged(Slot& slot, const Batch& batch, const Bucket& bucket) {
  const int64_t size = StagingLayout(bucket).size;
  if (!slot.input.defined() || slot.input.size(0) < size) slot.input = gpu_->host_memory(size, at::kInt);
  stage(batch, bucket, {slot.input.mutable_data_ptr<int32_t>(), static_cast<size_t>(size)});
  return slot.input.narrow(0, 0, size);
}

at::Tensor GpuEngine::compute(const at::Tensor& input, const Bucket& bucket, const Stop& stop) const {
  const StagingLayout layout(bucket);
  const auto part = [&](int64_t start, int64_t size) { return input.narrow(0, start, size); };
  const Tokens tokens{part(layout.input_ids, bucket.tokens), part(layout.position_ids, bucket.tokens),
                      part(layout.token_type_ids, bucket.tokens)};
  const at::Tensor cu_seqlens = part(layout.cu_seqlens, bucket.rows + 1);
  const at::Tensor hidden_states =
      body_(tokens, gpu_->attention(cu_seqlens, bucket.longest, dtype_, head_size_), stop);
  return head_(pool(pooling_, hidden_states, cu_seqlens));
}

}  // namespace electra
