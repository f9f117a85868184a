#include "core/layout.h"

#include <ATen/ATen.h>

#include <optional>

#include "core/error.h"

namespace electra {

namespace {

using Shape = std::vector<int64_t>;

// One tensor under each of its names; more than one for the head's shared activation.
struct Expected {
  std::vector<std::string> names;
  Shape shape;
};

[[noreturn]] void fail(const std::string& what) {
  throw CoreError(ELECTRA_CHECKPOINT_INVALID, "The weights and config.json disagree: " + what + ".");
}

std::string text(at::IntArrayRef shape) {
  std::string text = "[";
  for (const int64_t size : shape) text += (text.size() > 1 ? ", " : "") + std::to_string(size);
  return text + "]";
}

class List {
 public:
  void add(const std::string& name, Shape shape) { expected_.push_back({{name}, std::move(shape)}); }
  void add_shared(std::vector<std::string> names, Shape shape) {
    expected_.push_back({std::move(names), std::move(shape)});
  }
  void add_linear(const std::string& prefix, int64_t out, int64_t in) {
    add(prefix + ".weight", {out, in});
    add(prefix + ".bias", {out});
  }
  void add_norm(const std::string& prefix, int64_t size) {
    add(prefix + ".weight", {size});
    add(prefix + ".bias", {size});
  }
  std::vector<Expected> take() { return std::move(expected_); }

 private:
  std::vector<Expected> expected_;
};

void add_body(const ElectraConfig& config, List& list) {
  const int64_t embedding = config.embedding_size, hidden = config.hidden_size;
  const std::string body = config.base_model_prefix + ".";
  const std::string embeddings = body + "embeddings.";
  list.add(embeddings + "word_embeddings.weight", {config.limits.vocab_size, embedding});
  list.add(embeddings + "position_embeddings.weight", {config.limits.max_position_embeddings, embedding});
  list.add(embeddings + "token_type_embeddings.weight", {config.limits.type_vocab_size, embedding});
  list.add_norm(embeddings + "LayerNorm", embedding);
  if (embedding != hidden) list.add_linear(body + "embeddings_project", hidden, embedding);
  for (int64_t i = 0; i < config.num_hidden_layers; ++i) {
    const LayerModules layer = layer_modules(config, i);
    for (const std::string& part : layer.query_key_value) list.add_linear(part, hidden, hidden);
    list.add_linear(layer.attention_output, hidden, hidden);
    list.add_norm(layer.attention_norm, hidden);
    list.add_linear(layer.intermediate, config.intermediate_size, hidden);
    list.add_linear(layer.output, hidden, config.intermediate_size);
    list.add_norm(layer.output_norm, hidden);
  }
}

void add_head(const ElectraConfig& config, List& list) {
  const int64_t dim = config.hidden_dim;
  for (int64_t i = 0; i < config.num_layers; ++i) {
    list.add_linear(head_layer(config, i), dim, i == 0 ? config.hidden_size : dim);
  }
  list.add_linear(head_layer(config, config.num_layers), config.limits.num_labels, dim);

  const auto add_shared = [&](const std::string& suffix, Shape shape) {
    std::vector<std::string> names;
    for (int64_t i = 0; i < config.num_layers; ++i) {
      names.push_back(head_activation_module(config, i) + suffix);
    }
    list.add_shared(std::move(names), std::move(shape));
  };
  if (config.hidden_activation == "SwishGLU") {
    add_shared(".projection.weight", {2 * dim, dim});
    add_shared(".projection.bias", {2 * dim});
  } else if (config.hidden_activation == "PReLU") {
    add_shared(".weight", {1});
  }
}

std::vector<Expected> expected_tensors(const ElectraConfig& config) {
  List list;
  add_body(config, list);
  add_head(config, list);
  return list.take();
}

void check(const std::string& name, const at::Tensor& tensor, const Shape& shape) {
  if (tensor.sizes() != at::IntArrayRef(shape)) {
    fail("tensor " + name + " has shape " + text(tensor.sizes()) + ", expected " + text(shape));
  }
  const at::ScalarType type = tensor.scalar_type();
  if (type != at::kFloat && type != at::kHalf && type != at::kBFloat16) {
    fail("tensor " + name + " holds " + toString(type) + ", expected fp32, fp16 or bf16");
  }
}

// Older versions of transformers stored these counters, which hold nothing that a model learned.
bool is_counter(const ElectraConfig& config, const std::string& name) {
  const std::string embeddings = config.base_model_prefix + ".embeddings.";
  return name == embeddings + "position_ids" || name == embeddings + "token_type_ids";
}

// Of all disagreements the one that has a remedy of its own.
void check_num_labels(const ElectraConfig& config, const TensorMap& stored) {
  const std::string name = head_layer(config, config.num_layers) + ".weight";
  const auto found = stored.find(name);
  const int64_t labels = config.limits.num_labels;
  if (found == stored.end() || found->second.dim() != 2 || found->second.size(0) == labels) return;
  const Shape expected = {labels, config.hidden_dim};
  fail("config.json names " + std::to_string(labels) +
       " labels (id2label or num_labels), but the head gives " + std::to_string(found->second.size(0)) +
       " logits: tensor " + name + " has shape " + text(found->second.sizes()) + ", expected " +
       text(expected));
}

// classifier.layers is a torch.nn.Sequential of linear layers, activations and, where there is any, dropout.
int64_t layers_stride(const ElectraConfig& config) { return config.has_dropout ? 3 : 2; }

}  // namespace

LayerModules layer_modules(const ElectraConfig& config, int64_t i) {
  const std::string layer = config.base_model_prefix + ".encoder.layer." + std::to_string(i) + ".";
  const std::string self = layer + "attention.self.";
  return {
      {self + "query", self + "key", self + "value"},
      layer + "attention.output.dense",
      layer + "attention.output.LayerNorm",
      layer + "intermediate.dense",
      layer + "output.dense",
      layer + "output.LayerNorm",
  };
}

std::string head_layer(const ElectraConfig& config, int64_t i) {
  const bool output = i == config.num_layers;
  switch (config.architecture) {
    case Architecture::kElectraForSequenceClassification:
      return output ? "classifier.out_proj" : "classifier.dense";
    case Architecture::kBertForSequenceClassification:
      return output ? "classifier" : "bert.pooler.dense";
    case Architecture::kElectraClassifier:
      break;
  }
  return "classifier.layers." + std::to_string(i * layers_stride(config));
}

std::string head_activation_module(const ElectraConfig& config, int64_t i) {
  return "classifier.layers." + std::to_string(i * layers_stride(config) + 1);
}

TensorMap checked_tensors(const ElectraConfig& config, TensorMap stored) {
  check_num_labels(config, stored);
  TensorMap complete;
  for (const Expected& expected : expected_tensors(config)) {
    at::Tensor tensor;
    std::string found_as;
    for (const std::string& name : expected.names) {
      const auto node = stored.extract(name);
      if (node.empty()) continue;
      check(name, node.mapped(), expected.shape);
      if (tensor.defined() && !at::equal(tensor, node.mapped())) {
        fail("tensors " + found_as + " and " + name + " differ, but the layers share one " +
             config.hidden_activation);
      }
      if (!tensor.defined()) {
        tensor = node.mapped();
        found_as = name;
      }
    }
    if (!tensor.defined()) {
      fail("tensor " + expected.names.front() + " is missing, expected shape " + text(expected.shape));
    }
    for (const std::string& name : expected.names) complete.emplace(name, tensor);
  }
  std::erase_if(stored, [&](const auto& entry) { return is_counter(config, entry.first); });
  if (!stored.empty()) {
    const auto& [name, tensor] = *stored.begin();
    const size_t others = stored.size() - 1;
    fail("tensor " + name + " of shape " + text(tensor.sizes()) +
         (others == 0 ? "" : " and " + std::to_string(others) + " more") + " should not be there");
  }
  return complete;
}

}  // namespace electra
