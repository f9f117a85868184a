#include "core/gpu/script_graphs.h"

#include <ATen/ATen.h>

#include <algorithm>

namespace electra {

namespace {

// Of the block that holds them for a shape: ids in its first half, the mask in its second.
std::pair<at::Tensor, at::Tensor> parts_of(const at::Tensor& block, const Bucket& bucket) {
  const auto part = [&](int64_t start) {
    return block.narrow(0, start, bucket.tokens).view({bucket.rows, bucket.longest});
  };
  return {part(0), part(bucket.tokens)};
}

}  // namespace

ScriptGraphs::ScriptGraphs(Gpu& gpu, const std::vector<Bucket>& buckets, Forward forward,
                           int64_t pad_token_id, int64_t vocab_size, double tolerance, const Stop& stop)
    : gpu_(gpu), forward_(std::move(forward)), pad_token_id_(pad_token_id) {
  int64_t size = 0;
  for (const Bucket& bucket : buckets) size = std::max(size, 2 * bucket.tokens);
  host_ = gpu_.host_memory(size, at::kLong);
  // Ones are a batch: token 1 everywhere, and nothing masked.
  input_ = at::ones({size}, at::TensorOptions(at::kLong).device(gpu_.device()));
  graphs_.capture(
      gpu_, buckets,
      [this](const Bucket& bucket) {
        const auto [ids, mask] = parts_of(input_, bucket);
        return forward_(ids, mask);
      },
      stop);
  check(vocab_size, tolerance);
}

at::Tensor ScriptGraphs::operator()(const at::Tensor& ids, const at::Tensor& mask) {
  const Bucket shape{ids.numel(), ids.size(0), ids.size(1)};
  const at::Tensor logits = graphs_.run(gpu_, shape, [&](const Bucket& bucket) { fill(bucket, ids, mask); });
  return logits.defined() ? logits.narrow(0, 0, ids.size(0)) : logits;
}

void ScriptGraphs::fill(const Bucket& bucket, const at::Tensor& ids, const at::Tensor& mask) {
  const int64_t rows = ids.size(0), length = ids.size(1), size = 2 * bucket.tokens;
  const auto [all_ids, all_masks] = parts_of(host_, bucket);
  all_ids.fill_(pad_token_id_);
  all_masks.fill_(0);
  // A row that is masked whole has no softmax.
  all_masks.select(1, 0).fill_(1);
  all_ids.narrow(0, 0, rows).narrow(1, 0, length).copy_(ids);
  all_masks.narrow(0, 0, rows).narrow(1, 0, length).copy_(mask);
  // The one who called waits for the logits before the next call, so the host's memory is free again then.
  input_.narrow(0, 0, size).copy_(host_.narrow(0, 0, size), /*non_blocking=*/true);
}

void ScriptGraphs::check(int64_t vocab_size, double tolerance) {
  std::vector<const GraphCache::Captured*> wrong;
  for (const auto& captured : graphs_.captured()) {
    const Bucket& bucket = captured->bucket;
    // One row less than there is room for, and one token, where there is one to spare.
    const int64_t rows = std::max<int64_t>(1, bucket.rows - 1);
    const int64_t length = std::max<int64_t>(1, bucket.longest - 1);
    const at::Tensor ids = at::arange(rows * length, at::kLong).mul(7).add(1).remainder(vocab_size);
    const at::Tensor shaped = ids.view({rows, length}), mask = at::ones({rows, length}, at::kLong);
    fill(bucket, shaped, mask);
    captured->graph->replay();
    const at::Tensor found = captured->output.narrow(0, 0, rows).to(at::kCPU);
    const at::Tensor expected = forward_(shaped.to(gpu_.device()), mask.to(gpu_.device())).to(at::kCPU);
    if (!at::allclose(found, expected, tolerance, tolerance)) wrong.push_back(captured.get());
  }
  for (const auto* captured : wrong)
    graphs_.give_up(*captured, "their logits were others than the forward's");
}

}  // namespace electra
