// ElectraModel and BertModel: token ids to hidden states, on packed rows.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "core/activations.h"
#include "core/attention.h"
#include "core/config.h"
#include "core/engine.h"
#include "core/layout.h"
#include "core/linear.h"

namespace electra {

// How weights serve.
struct Serving {
  at::Device device;
  at::ScalarType dtype;
  const cpu::Kernels* kernels = nullptr;  // of linear layers; nullptr for libtorch's operators
};

struct LayerNorm {
  at::Tensor weight, bias;
  double eps;

  at::Tensor operator()(const at::Tensor& x) const;
};

// A batch as int32 tensors on the device that computes, each [tokens].
struct Tokens {
  at::Tensor input_ids, position_ids;
  at::Tensor token_type_ids;  // undefined where all are 0
};

// `position_ids` of a batch: each row's tokens counted from 0.
void count_positions(const Batch& batch, std::span<int32_t> positions);

Tokens tokens_of(const Batch& batch, at::Device device);

class Body {
 public:
  // Takes its tensors out of `tensors`, so that no weight is held twice for long.
  Body(const ElectraConfig& config, TensorMap& tensors, const Serving& serving, const Stop& stop);

  // [tokens, hidden_size] in the serving dtype. Only `attention` knows rows; everything else only tokens.
  at::Tensor operator()(const Tokens& tokens, const Attention& attention, const Stop& stop) const;

  uint64_t bytes() const noexcept { return bytes_; }

 private:
  struct Layer {
    Linear query_key_value;
    at::Tensor attention_output;  // [hidden_size, hidden_size]; its bias, and that of `output`, were moved
    LayerNorm attention_norm;
    Linear intermediate;
    at::Tensor output;  // [hidden_size, intermediate_size]
    LayerNorm output_norm;
  };

  at::Tensor embed(const Tokens& tokens) const;
  at::Tensor attend(const at::Tensor& query_key_value, const Attention& attention) const;

  Serving serving_;
  int64_t heads_, head_size_;
  const Activation& activation_;
  // The tables keep the dtype of the file: looking up is exact in any, and half of a small model is here.
  at::Tensor word_embeddings_, position_embeddings_, token_type_embeddings_;
  LayerNorm embedding_norm_;
  std::optional<Linear> embeddings_project_;
  std::vector<Layer> layers_;
  uint64_t bytes_ = 0;
};

// Takes a linear layer, or several that read the same input as one matrix.
Linear take_linear(TensorMap& tensors, const std::vector<std::string>& prefixes, const Serving& serving);

// Takes one tensor, moved to where and what it serves in.
at::Tensor take(TensorMap& tensors, const std::string& name, at::Device device, at::ScalarType dtype);

}  // namespace electra
