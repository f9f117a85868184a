#include "core/body.h"

#include <ATen/ATen.h>

#include <numeric>

namespace electra {

namespace {

// Moves the bias of `module`, whose output is added to a residual, to where the residual comes from, so that
// adding needs no kernel of its own. `readers` read the residual as well, and their biases make up for it:
// (x + b) W^T + (c - b W^T) = x W^T + c.
void move_bias(TensorMap& tensors, const std::string& module, const std::string& source,
               const std::vector<std::string>& readers) {
  const at::Tensor bias = tensors.extract(module + ".bias").mapped().to(at::kFloat);
  at::Tensor& moved = tensors.at(source + ".bias");
  moved = moved.to(at::kFloat) + bias;
  for (const std::string& reader : readers) {
    at::Tensor& corrected = tensors.at(reader + ".bias");
    corrected = corrected.to(at::kFloat) - at::mv(tensors.at(reader + ".weight").to(at::kFloat), bias);
  }
}

void move_biases(const ElectraConfig& config, TensorMap& tensors, const Stop& stop) {
  const bool project = config.embedding_size != config.hidden_size;
  std::string source = config.base_model_prefix + (project ? ".embeddings_project" : ".embeddings.LayerNorm");
  for (int64_t i = 0; i < config.num_hidden_layers; ++i) {
    stop.check();
    const LayerModules layer = layer_modules(config, i);
    move_bias(tensors, layer.attention_output, source, layer.query_key_value);
    move_bias(tensors, layer.output, layer.attention_norm, {layer.intermediate});
    source = layer.output_norm;
  }
}

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
  move_biases(config, tensors, stop);
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
        take(tensors, layer.attention_output + ".weight", device, serving.dtype),
        take_norm(tensors, layer.attention_norm, eps, device, serving.dtype),
        take_linear(tensors, {layer.intermediate}, serving),
        take(tensors, layer.output + ".weight", device, serving.dtype),
        take_norm(tensors, layer.output_norm, eps, device, serving.dtype),
    });
    const Layer& added = layers_.back();
    bytes_ += added.query_key_value.bytes() + added.attention_output.nbytes() + added.intermediate.bytes() +
              added.output.nbytes() + 2 * added.attention_norm.weight.nbytes() +
              2 * added.output_norm.weight.nbytes();
  }
}

at::Tensor Body::operator()(const Tokens& tokens, const Attention& attention, const Stop& stop) const {
  at::Tensor x = embed(tokens);
  // In place: the matrix library adds its product to the residual that is there.
  for (const Layer& layer : layers_) {
    stop.check();
    x.addmm_(attend(layer.query_key_value(x), attention), layer.attention_output.t());
    x = layer.attention_norm(x);
    x.addmm_(layer.intermediate(x, activation_), layer.output.t());
    x = layer.output_norm(x);
  }
  return x;
}

at::Tensor Body::embed(const Tokens& tokens) const {
  at::Tensor x = look_up(word_embeddings_, tokens.input_ids);
  if (tokens.token_type_ids.defined()) {
    x.add_(look_up(token_type_embeddings_, tokens.token_type_ids));
  } else {
    x.add_(token_type_embeddings_[0]);
  }
  x.add_(look_up(position_embeddings_, tokens.position_ids));
  x = embedding_norm_(x).to(serving_.dtype);
  return embeddings_project_ ? (*embeddings_project_)(x) : x;
}

at::Tensor Body::attend(const at::Tensor& query_key_value, const Attention& attention) const {
  return attention(query_key_value.view({query_key_value.size(0), 3, heads_, head_size_}));
}

void count_positions(const Batch& batch, std::span<int32_t> positions) {
  for (int64_t row = 0; row < batch.rows(); ++row) {
    const auto start = positions.begin() + batch.cu_seqlens[row];
    std::iota(start, positions.begin() + batch.cu_seqlens[row + 1], 0);
  }
}

Tokens tokens_of(const Batch& batch, at::Device device) {
  at::Tensor positions = at::empty({batch.total_tokens()}, at::kInt);
  count_positions(batch, {positions.mutable_data_ptr<int32_t>(), batch.input_ids.size()});
  Tokens tokens{index_tensor(batch.input_ids, device), positions.to(device), {}};
  if (!batch.token_type_ids.empty()) tokens.token_type_ids = index_tensor(batch.token_type_ids, device);
  return tokens;
}

}  // namespace electra
