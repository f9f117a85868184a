// config.json as the engines need it, checked: every size is positive and small enough to multiply.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace electra {

// What any model's inputs and outputs are bounded by.
struct ModelLimits {
  int64_t vocab_size = 0;
  int64_t max_position_embeddings = 0;
  int64_t type_vocab_size = 0;
  int64_t pad_token_id = 0;
  int64_t num_labels = 0;
};

// The classes whose weights the electra engine takes by name. They share a body; what differs is the head.
enum class Architecture {
  kElectraClassifier,
  kElectraForSequenceClassification,
  kBertForSequenceClassification
};

enum class Pooling { kCls, kMean, kMax };

// Names as in transformers' ElectraConfig and BertConfig and the ElectraClassifier class. The heads of the
// stock classes are stated in ElectraClassifier's terms.
struct ElectraConfig {
  Architecture architecture = Architecture::kElectraClassifier;
  std::string architecture_name;
  // Where the body's tensors stand: "electra" or "bert".
  std::string base_model_prefix;
  ModelLimits limits;
  int64_t embedding_size = 0;
  int64_t hidden_size = 0;
  int64_t num_hidden_layers = 0;
  int64_t num_attention_heads = 0;
  int64_t intermediate_size = 0;
  double layer_norm_eps = 0;
  std::string hidden_act;
  Pooling pooling = Pooling::kCls;
  std::string hidden_activation;
  int64_t hidden_dim = 0;
  int64_t num_layers = 0;
  // Dropout does nothing here, but where the rate is 0 the Python class leaves the modules out, which shifts
  // the indices of classifier.layers.
  bool has_dropout = false;
};

// Whether the head's activation is a module with weights of its own: SwishGLU or PReLU.
bool head_has_weights(const ElectraConfig& config);

// Both throw CoreError(ELECTRA_CHECKPOINT_INVALID) that names the key.
ModelLimits parse_limits(std::string_view text);
ElectraConfig parse_electra_config(std::string_view text);

}  // namespace electra
