#include "core/cpu/encoder.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <atomic>
#include <cstring>

#include "core/activations.h"
#include "core/cpu/choose_kernels.h"
#include "core/error.h"

namespace electra::cpu {

namespace {

// Tokens that one thread takes through the layers at a time: enough to multiply each weight that is read from
// memory often, and few enough to stay in the second-level cache.
constexpr int64_t kGroupTokens = 128;
// Below this many tokens for each thread, threads share a product by its columns: each reads a part of the
// weights then, where they would all read all of them. From here on by its rows, so that nobody has to wait.
constexpr int64_t kTokensAlone = 32;

// Of the weights: what is left over at the end of each mapping is at most one huge page that counts as used.
constexpr size_t kMapping = 64 << 20;

at::ScalarType narrowest(const std::vector<at::Tensor>& weights) {
  const at::ScalarType first = weights[0].scalar_type();
  const bool same = std::all_of(weights.begin(), weights.end(),
                                [first](const at::Tensor& weight) { return weight.scalar_type() == first; });
  return same ? first : at::kFloat;
}

bool all_fit_fp16(const std::vector<at::Tensor>& weights) {
  constexpr double kGreatest = 65504;
  return std::all_of(weights.begin(), weights.end(), [](const at::Tensor& weight) {
    return weight.scalar_type() == at::kHalf || weight.numel() == 0 ||
           weight.abs().max().item().toDouble() <= kGreatest;
  });
}

int64_t element_size(const Kernels& kernels) { return kernels.activations == Stored::kBf16 ? 2 : 4; }

// Elements from row to row. Not a power of two, or rows would fall on the same few lines of the cache.
int64_t padded(int64_t size, int64_t element_size) {
  constexpr int64_t kLine = 64;
  return ((size * element_size + kLine - 1) / kLine * kLine + kLine) / element_size;
}

}  // namespace

// What one member of the team does of one forward of one group.
struct Encoder::Run {
  const Batch& batch;
  Group group;
  const Stop& stop;
  std::atomic<bool>& stopped;
  float* pooled;    // [rows of the batch, hidden]
  Workspace& work;  // of the group: shared where several members work on it
  Workspace& own;   // of the member: for what it needs by itself
  Part part;
  Barrier* barrier;  // nullptr where it works alone

  void wait() const {
    if (barrier != nullptr) barrier->wait();
  }
  bool by_rows(int64_t rows) const { return rows >= part.members * kTokensAlone; }
  // Where members share products by rows, each reads only what it wrote itself.
  void wait_between(int64_t rows) const {
    if (!by_rows(rows)) wait();
  }

  int64_t first_token() const { return batch.cu_seqlens[group.first_row]; }
  int64_t tokens() const { return batch.cu_seqlens[group.end_row] - first_token(); }
  int64_t rows() const { return group.end_row - group.first_row; }
  // Of the group's i-th row: its first token, counted from the group's first, and its length.
  int64_t start(int64_t i) const { return batch.cu_seqlens[group.first_row + i] - first_token(); }
  int64_t length(int64_t i) const { return start(i + 1) - start(i); }
};

Encoder::Encoder(const ElectraConfig& config, TensorMap& tensors, at::ScalarType dtype,
                 const Kernels& kernels, int threads, const Stop& stop)
    : kernels_(kernels),
      int8_(dtype == at::kChar ? int8_kernels() : nullptr),
      pooling_(config.pooling),
      embedding_size_(config.embedding_size),
      hidden_size_(config.hidden_size),
      intermediate_size_(config.intermediate_size),
      heads_(config.num_attention_heads),
      max_length_(config.limits.max_position_embeddings),
      eps_(static_cast<float>(config.layer_norm_eps)),
      act_(encoder_activation(config.hidden_act).act),
      team_(threads),
      memory_(kMapping) {
  const std::string body = config.base_model_prefix + ".";
  const std::string embeddings = body + "embeddings.";
  word_embeddings_ = take_embeddings(tensors, embeddings + "word_embeddings.weight");
  position_embeddings_ = take_embeddings(tensors, embeddings + "position_embeddings.weight");
  token_type_embeddings_ = take_embeddings(tensors, embeddings + "token_type_embeddings.weight");
  embedding_norm_ = take_norm(tensors, embeddings + "LayerNorm");
  if (embedding_size_ != hidden_size_) {
    embeddings_project_ = take_linear(tensors, {body + "embeddings_project"}, dtype);
  }
  layers_.reserve(config.num_hidden_layers);
  for (int64_t i = 0; i < config.num_hidden_layers; ++i) {
    stop.check();
    const LayerModules layer = layer_modules(config, i);
    layers_.push_back({
        take_linear(tensors, layer.query_key_value, dtype),
        take_linear(tensors, {layer.attention_output}, dtype),
        take_linear(tensors, {layer.intermediate}, dtype),
        take_linear(tensors, {layer.output}, dtype),
        take_norm(tensors, layer.attention_norm),
        take_norm(tensors, layer.output_norm),
    });
  }

  const int64_t tokens = std::max(max_length_, kGroupTokens);
  const int64_t size = element_size(kernels_);
  const int64_t widest = std::max(embedding_size_, hidden_size_);
  const auto buffer = [&](int64_t ld, int64_t element_size) {
    return Memory(static_cast<size_t>(tokens * ld * element_size), memory_);
  };
  for (int member = 0; member < team_.size(); ++member) {
    Workspace& work = workspaces_.emplace_back();
    work.ld_fp32 = padded(widest, sizeof(float));
    work.ld_hidden = padded(widest, size);
    work.ld_query = padded(3 * hidden_size_, size);
    work.ld_intermediate = padded(intermediate_size_, size);
    work.x = buffer(work.ld_fp32, sizeof(float));
    work.y = buffer(work.ld_fp32, sizeof(float));
    if (kernels_.activations != Stored::kFp32) work.a = buffer(work.ld_hidden, size);
    work.query = buffer(work.ld_query, size);
    work.context = buffer(work.ld_hidden, size);
    work.intermediate = buffer(work.ld_intermediate, size);
    if (int8_ != nullptr) {
      // The shallower a layer is, the more rows are quantized at a time: none of the three is always the
      // largest.
      work.int8_scratch =
          Memory(static_cast<size_t>(std::max({int8_->scratch(embedding_size_), int8_->scratch(hidden_size_),
                                               int8_->scratch(intermediate_size_)})),
                 memory_);
    }
    work.attend_scratch =
        Memory(static_cast<size_t>(kernels_.attend_scratch(max_length_, hidden_size_ / heads_)), memory_);
  }
}

std::string Encoder::kernel_names() const {
  return int8_ == nullptr ? kernels_.name : std::string(int8_->name) + " and " + kernels_.name;
}

at::Tensor Encoder::take(TensorMap& tensors, const std::string& name) const {
  return tensors.extract(name).mapped().contiguous();
}

Memory Encoder::keep(const at::Tensor& tensor) {
  Memory memory(tensor.nbytes(), memory_);
  std::memcpy(memory.get(), tensor.const_data_ptr(), tensor.nbytes());
  bytes_ += tensor.nbytes();
  return memory;
}

Encoder::Embeddings Encoder::take_embeddings(TensorMap& tensors, const std::string& name) {
  const at::Tensor table = take(tensors, name);
  return {keep(table), stored_as(table.scalar_type())};
}

Encoder::LayerNorm Encoder::take_norm(TensorMap& tensors, const std::string& prefix) {
  const auto vector = [&](const char* name) { return keep(take(tensors, prefix + name).to(at::kFloat)); };
  return {vector(".weight"), vector(".bias")};
}

PackedLinear Encoder::take_linear(TensorMap& tensors, const std::vector<std::string>& prefixes,
                                  at::ScalarType dtype) {
  std::vector<at::Tensor> weights, biases;
  for (const std::string& prefix : prefixes) {
    weights.push_back(take(tensors, prefix + ".weight"));
    biases.push_back(take(tensors, prefix + ".bias").to(at::kFloat));
  }
  if (dtype == at::kFloat) dtype = narrowest(weights);
  // What is too great for fp16 stays as it is.
  if (dtype == at::kHalf && !all_fit_fp16(weights)) dtype = at::kFloat;
  for (at::Tensor& weight : weights) weight = weight.to(dtype == at::kChar ? at::kFloat : dtype);
  const at::Tensor weight = weights.size() == 1 ? weights[0] : at::cat(weights), bias = at::cat(biases);
  PackedLinear linear = int8_ != nullptr ? PackedLinear(weight, bias, kernels_, *int8_, team_, memory_)
                                         : PackedLinear(weight, bias, kernels_, team_, memory_);
  bytes_ += linear.bytes();
  return linear;
}

at::Tensor Encoder::operator()(const Batch& batch, const Stop& stop) {
  at::Tensor pooled = at::empty({batch.rows(), hidden_size_}, at::kFloat);
  const int members = team_.size();
  int64_t longest = 0;
  for (int64_t row = 0; row < batch.rows(); ++row) {
    longest = std::max<int64_t>(longest, batch.cu_seqlens[row + 1] - batch.cu_seqlens[row]);
  }
  // Apart only where no thread would wait long for the one that has the longest row.
  const bool together = members > 1 && (batch.total_tokens() < members * kTokensAlone ||
                                        4 * members * longest > 5 * batch.total_tokens());
  const std::vector<Group> groups = this->groups(batch, together);
  std::atomic<bool> stopped{false};
  float* out = pooled.mutable_data_ptr<float>();
  Barrier barrier(members);
  std::atomic<size_t> next{0};
  auto work = [&](int member) {
    Workspace& own = workspaces_[member];
    if (together) {
      for (const Group& group : groups) {
        forward({batch, group, stop, stopped, out, workspaces_[0], own, {member, members}, &barrier});
      }
    } else {
      for (size_t i = next++; i < groups.size(); i = next++) {
        forward({batch, groups[i], stop, stopped, out, own, own, {}, nullptr});
      }
    }
  };
  team_.run(work);
  if (stopped) stop.check();
  return pooled;
}

std::vector<Encoder::Group> Encoder::groups(const Batch& batch, bool together) const {
  const int64_t capacity = std::max(max_length_, kGroupTokens);
  // Two for each thread at least, so that one which was held up does not hold up the others.
  const int64_t fair = batch.total_tokens() / (2 * team_.size());
  const int64_t limit = together ? capacity : std::clamp(fair, kTokensAlone, kGroupTokens);
  std::vector<Group> groups;
  for (int64_t row = 0; row < batch.rows();) {
    int64_t end = row + 1;
    while (end < batch.rows() && batch.cu_seqlens[end + 1] - batch.cu_seqlens[row] <= limit) ++end;
    groups.push_back({row, end});
    row = end;
  }
  return groups;
}

void Encoder::forward(const Run& run) const {
  Workspace& work = run.work;
  const Part part = run.part;
  const bool fp32 = kernels_.activations == Stored::kFp32;
  Memory& a = fp32 ? work.x : work.a;
  const int64_t lda = fp32 ? work.ld_fp32 : work.ld_hidden;
  int64_t tokens = run.tokens();

  const auto product = [&](const PackedLinear& linear, Memory& from, int64_t ld, PackedLinear::Output out,
                           Act act) {
    linear({from.get(), ld, tokens}, out, act, part, run.by_rows(tokens), run.own.int8_scratch.get());
  };

  embed(run);
  if (embeddings_project_) {
    const PackedLinear& project = *embeddings_project_;
    norm(embedding_norm_, run, tokens, embedding_size_, false);
    run.wait_between(tokens);
    product(project, a, lda, {work.y.get(), work.ld_fp32, true}, Act::kNone);
    product(project, a, lda, {work.context.get(), work.ld_hidden, false}, Act::kNone);
    run.wait_between(tokens);
    const Share share(tokens, part);
    const auto copy = [&](Memory& to, const Memory& from, int64_t ld) {
      std::memcpy(to.get() + share.first * ld, from.get() + share.first * ld, (share.end - share.first) * ld);
    };
    copy(work.x, work.y, work.ld_fp32 * static_cast<int64_t>(sizeof(float)));
    if (!fp32) copy(work.a, work.context, work.ld_hidden * element_size(kernels_));
  } else {
    norm(embedding_norm_, run, tokens, hidden_size_, false);
  }
  for (const Layer& layer : layers_) {
    // Written before this wait and read after it, so that all members see the same.
    if (part.member == 0 && run.stop.requested()) run.stopped.store(true, std::memory_order_relaxed);
    run.wait();
    if (run.stopped.load(std::memory_order_relaxed)) return;
    product(layer.query_key_value, a, lda, {work.query.get(), work.ld_query, false}, Act::kNone);
    run.wait();
    // What follows the last layer's attention is wanted for the first token of each row only.
    const bool first_only = pooling_ == Pooling::kCls && &layer == &layers_.back();
    attend(run, first_only ? 1 : max_length_);
    if (first_only) {
      tokens = run.rows();
      const Share share(hidden_size_, part);
      for (int64_t i = 0; i < tokens; ++i) {
        float* x = work.x.as<float>() + share.first;
        std::memmove(x + i * work.ld_fp32, x + run.start(i) * work.ld_fp32,
                     (share.end - share.first) * sizeof(float));
      }
    }
    run.wait();
    product(layer.attention_output, work.context, work.ld_hidden, {work.y.get(), work.ld_fp32, true},
            Act::kNone);
    run.wait_between(tokens);
    norm(layer.attention_norm, run, tokens, hidden_size_, true);
    run.wait_between(tokens);
    product(layer.intermediate, a, lda, {work.intermediate.get(), work.ld_intermediate, false}, act_);
    run.wait_between(tokens);
    product(layer.output, work.intermediate, work.ld_intermediate, {work.y.get(), work.ld_fp32, true},
            Act::kNone);
    run.wait_between(tokens);
    norm(layer.output_norm, run, tokens, hidden_size_, true);
  }
  run.wait();
  pool(run);
  run.wait();
}

void Encoder::embed(const Run& run) const {
  Workspace& work = run.work;
  const auto table = [](const Embeddings& embeddings) {
    return Table{embeddings.table.get(), embeddings.stored};
  };
  const Share share(run.tokens(), run.part);
  for (int64_t row = 0; row < run.rows(); ++row) {
    const int64_t first = std::max(run.start(row), share.first);
    const int64_t end = std::min(run.start(row) + run.length(row), share.end);
    if (first >= end) continue;
    const int64_t token = run.first_token() + first;
    kernels_.embed({
        .ids = run.batch.input_ids.data() + token,
        .type_ids = run.batch.token_type_ids.empty() ? nullptr : run.batch.token_type_ids.data() + token,
        .tokens = end - first,
        .first_position = first - run.start(row),
        .size = embedding_size_,
        .words = table(word_embeddings_),
        .types = table(token_type_embeddings_),
        .positions = table(position_embeddings_),
        .y = work.y.as<float>() + first * work.ld_fp32,
        .ldy = work.ld_fp32,
    });
  }
}

// Each member takes some heads of some rows.
void Encoder::attend(const Run& run, int64_t queries) const {
  Workspace& work = run.work;
  const int64_t size = element_size(kernels_), head_size = hidden_size_ / heads_;
  const Share share(run.rows() * heads_, run.part);
  for (int64_t i = share.first; i < share.end; ++i) {
    const int64_t row = i / heads_, head = i % heads_;
    // Where only some tokens of each row go on, the rows close up.
    const int64_t to = queries == 1 ? row : run.start(row);
    kernels_.attend({
        .query = work.query.get() + (run.start(row) * work.ld_query + head * head_size) * size,
        .ld = work.ld_query,
        .hidden = hidden_size_,
        .head_size = head_size,
        .length = run.length(row),
        .queries = std::min(queries, run.length(row)),
        .out = work.context.get() + (to * work.ld_hidden + head * head_size) * size,
        .ldo = work.ld_hidden,
        .scratch = run.own.attend_scratch.get(),
    });
  }
}

void Encoder::norm(const LayerNorm& norm, const Run& run, int64_t rows, int64_t size, bool residual) const {
  Workspace& work = run.work;
  const Share share(rows, run.part);
  const bool fp32 = kernels_.activations == Stored::kFp32;
  kernels_.norm({
      .y = work.y.as<float>() + share.first * work.ld_fp32,
      .ldy = work.ld_fp32,
      .x = work.x.as<float>() + share.first * work.ld_fp32,
      .ldx = work.ld_fp32,
      .a = fp32 ? nullptr : work.a.get() + share.first * work.ld_hidden * element_size(kernels_),
      .lda = work.ld_hidden,
      .rows = share.end - share.first,
      .size = size,
      .weight = norm.weight.as<float>(),
      .bias = norm.bias.as<float>(),
      .eps = eps_,
      .residual = residual,
  });
}

// One vector for each row; each member takes some of its elements.
void Encoder::pool(const Run& run) const {
  const Workspace& work = run.work;
  const Share share(hidden_size_, run.part);
  for (int64_t row = 0; row < run.rows(); ++row) {
    float* pooled = run.pooled + (run.group.first_row + row) * hidden_size_;
    const int64_t start = pooling_ == Pooling::kCls ? row : run.start(row);
    const float* x = work.x.as<float>() + start * work.ld_fp32;
    std::copy(x + share.first, x + share.end, pooled + share.first);
    if (pooling_ == Pooling::kCls) continue;
    const int64_t length = run.length(row);
    for (int64_t token = 1; token < length; ++token) {
      x += work.ld_fp32;
      for (int64_t i = share.first; i < share.end; ++i) {
        pooled[i] = pooling_ == Pooling::kMean ? pooled[i] + x[i] : std::max(pooled[i], x[i]);
      }
    }
    if (pooling_ == Pooling::kMean) {
      for (int64_t i = share.first; i < share.end; ++i) pooled[i] /= static_cast<float>(length);
    }
  }
}

}  // namespace electra::cpu
