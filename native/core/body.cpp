#include "core/body.h"

#include <ATen/ATen.h>

#include <numeric>

namespace electra {

namespace {

LayerNorm take_norm(TensorMap& tensors, const std::string& prefix, double eps, at::Device device,
                    at::ScalarType dtype) {
  return {take(tensors, prefix + ".weight", device, dtype), take(tensors, prefix + ".bias", device, dtype),
          eps};
}

at::Tensor take_table(TensorMap& tensors, const std::string& name, at::Device device) {
  return take(tensors, name, device, tensors.at(name).scalar_type());
}

at::Tensor index_tensor(std::span<const int32_t> values, at::Device device) {
  const auto size = static_cast<int64_t>(values.size());
  // from_blob has no const form; the view is only read, and only while the batch lives.
  return at::from_blob(const_cast<int32_t*>(values.data()), {size}, at::kInt).to(device);
}

at::Tensor look_up(const at::Tensor& table, const at::Tensor& indices) {
  return at::embedding(table, indices).to(at::kFloat);
}

}  // namespace

at::Tensor take(TensorMap& tensors, const std::string& name, at::Device device, at::ScalarType dtype) {
  return tensors.extract(name).mapped().to(device, dtype, /*non_blocking=*/false, /*copy=*/true);
}

Linear take_linear(TensorMap& tensors, const std::vector<std::string>& prefixes, const Serving& serving) {
  std::vector<at::Tensor> weights, biases;
  for (const std::string& prefix : prefixes) {
    weights.push_back(take(tensors, prefix + ".weight", serving.device, serving.dtype));
    biases.push_back(take(tensors, prefix + ".bias", serving.device, serving.dtype));
  }
  const bool one = prefixes.size() == 1;
  return Linear(one ? weights[0] : at::cat(weights), one ? biases[0] : at::cat(biases), serving.kernels);
}

at::Tensor LayerNorm::operator()(const at::Tensor& x) const {
  return at::layer_norm(x, weight.sizes(), weight, bias, eps);
}

Body::Body(const ElectraConfig& config, TensorMap& tensors, const Serving& serving, const Stop& stop)
    : serving_(serving),
      heads_(config.num_attention_heads),
      head_size_(config.hidden_size / config.num_attention_heads),
      activation_(encoder_activation(config.hidden_act)) {
  const at::Device device = serving.device;
  const double eps = config.layer_norm_eps;
  const std::string body = config.base_model_prefix + ".";
  const std::string embeddings = body + "embeddings.";
  word_embeddings_ = take_table(tensors, embeddings + "word_embeddings.weight", device);
  position_embeddings_ = take_table(tensors, embeddings + "position_embeddings.weight", device);
  token_type_embeddings_ = take_table(tensors, embeddings + "token_type_embeddings.weight", device);
  embedding_norm_ = take_norm(tensors, embeddings + "LayerNorm", eps, device, at::kFloat);
  for (const at::Tensor& table : {word_embeddings_, position_embeddings_, token_type_embeddings_,
                                  embedding_norm_.weight, embedding_norm_.bias}) {
    bytes_ += table.nbytes();
  }
  if (config.embedding_size != config.hidden_size) {
    embeddings_project_ = take_linear(tensors, {body + "embeddings_project"}, serving);
    bytes_ += embeddings_project_->bytes();
  }
  layers_.reserve(config.num_hidden_layers);
  for (int64_t i = 0; i < config.num_hidden_layers; ++i) {
    stop.check();
    const LayerModules layer = layer_modules(config, i);
    layers_.push_back({
        take_linear(tensors, layer.query_key_value, serving),
        take_linear(tensors, {layer.attention_output}, serving),
        take_linear(tensors, {layer.intermediate}, serving),
        take_linear(tensors, {layer.output}, serving),
        take_norm(tensors, layer.attention_norm, eps, device, serving.dtype),
        take_norm(tensors, layer.output_norm, eps, device, serving.dtype),
    });
    const Layer& added = layers_.back();
    bytes_ += added.query_key_value.bytes() + added.attention_output.bytes() + added.intermediate.bytes() +
              added.output.bytes() + 2 * added.attention_norm.weight.nbytes() +
              2 * added.output_norm.weight.nbytes();
  }
}

at::Tensor Body::operator()(const Batch& batch, const std::vector<Run>& runs, const Stop& stop) const {
  at::Tensor x = embed(batch, runs);
  for (const Layer& layer : layers_) {
    stop.check();
    x = layer.attention_norm(layer.attention_output(attend(layer.query_key_value(x), runs)).add_(x));
    x = layer.output_norm(layer.output(activation_.apply(layer.intermediate(x))).add_(x));
  }
  return x;
}

at::Tensor Body::embed(const Batch& batch, const std::vector<Run>& runs) const {
  std::vector<int32_t> positions(batch.input_ids.size());
  for (const Run& run : runs) {
    for (int64_t row = 0; row < run.rows; ++row) {
      const auto start = positions.begin() + run.first_token + row * run.length;
      std::iota(start, start + run.length, 0);
    }
  }
  at::Tensor x = look_up(word_embeddings_, index_tensor(batch.input_ids, serving_.device));
  if (batch.token_type_ids.empty()) {
    x.add_(token_type_embeddings_[0]);
  } else {
    x.add_(look_up(token_type_embeddings_, index_tensor(batch.token_type_ids, serving_.device)));
  }
  x.add_(look_up(position_embeddings_, index_tensor(positions, serving_.device)));
  x = embedding_norm_(x).to(serving_.dtype);
  return embeddings_project_ ? (*embeddings_project_)(x) : x;
}

// Attention knows rows; everything else only tokens.
at::Tensor Body::attend(const at::Tensor& query_key_value, const std::vector<Run>& runs) const {
  std::vector<at::Tensor> contexts;
  contexts.reserve(runs.size());
  for (const Run& run : runs) {
    const std::vector<at::Tensor> parts = query_key_value.narrow(0, run.first_token, run.rows * run.length)
                                              .view({run.rows, run.length, 3, heads_, head_size_})
                                              .permute({2, 0, 3, 1, 4})
                                              .unbind(0);
    const at::Tensor context = at::scaled_dot_product_attention(parts[0], parts[1], parts[2]);
    contexts.push_back(context.transpose(1, 2).reshape({run.rows * run.length, heads_ * head_size_}));
  }
  return contexts.size() == 1 ? contexts[0] : at::cat(contexts);
}

}  // namespace electra
