#include "core/config.h"

#include <optional>

#include "core/activations.h"
#include "core/error.h"
#include "core/json.h"

namespace electra {

namespace {

constexpr size_t kMaxConfigBytes = 4 << 20;
// Far above any real model, and two of them multiplied are far below 2^63.
constexpr int64_t kMaxSize = int64_t{1} << 28;
constexpr int64_t kMaxLayers = 1024;

struct Known {
  const char* name;
  const char* model_type;  // and the prefix of the body's tensors
  Architecture architecture;
};

constexpr Known kKnown[] = {
    {"ElectraClassifier", "electra", Architecture::kElectraClassifier},
    {"ElectraForSequenceClassification", "electra", Architecture::kElectraForSequenceClassification},
    {"BertForSequenceClassification", "bert", Architecture::kBertForSequenceClassification},
};

[[noreturn]] void fail(const std::string& what) {
  throw CoreError(ELECTRA_CHECKPOINT_INVALID, "config.json cannot be used: " + what + ".");
}

class Reader {
 public:
  explicit Reader(std::string_view text) : value_(parse(text)), object_(*value_.get<json::Object>()) {}

  // nullptr where the key is absent or null, which transformers treats alike.
  const json::Value* find(const char* key) const {
    const json::Value* value = json::find(object_, key);
    return value == nullptr || value->is_null() ? nullptr : value;
  }

  int64_t integer(const char* key, int64_t least, int64_t most, std::optional<int64_t> otherwise = {}) const {
    const json::Value* value = find(key);
    if (value == nullptr) {
      if (otherwise) return *otherwise;
      fail(std::string(key) + " is missing");
    }
    const int64_t* integer = value->get<int64_t>();
    if (integer == nullptr || *integer < least || *integer > most) {
      fail(std::string(key) + " must be an integer from " + std::to_string(least) + " to " +
           std::to_string(most));
    }
    return *integer;
  }

  double number(const char* key, double least, double most, std::optional<double> otherwise = {}) const {
    const json::Value* value = find(key);
    if (value == nullptr) {
      if (otherwise) return *otherwise;
      fail(std::string(key) + " is missing");
    }
    const int64_t* integer = value->get<int64_t>();
    const double* real = value->get<double>();
    if (integer == nullptr && real == nullptr) fail(std::string(key) + " must be a number");
    const double number = integer != nullptr ? static_cast<double>(*integer) : *real;
    if (!(number >= least && number <= most)) fail(std::string(key) + " is out of range");
    return number;
  }

  std::string text(const char* key, std::optional<std::string> otherwise = {}) const {
    const json::Value* value = find(key);
    if (value == nullptr) {
      if (otherwise) return *otherwise;
      fail(std::string(key) + " is missing");
    }
    const std::string* text = value->get<std::string>();
    if (text == nullptr) fail(std::string(key) + " must be a string");
    return *text;
  }

  bool boolean(const char* key) const {
    const json::Value* value = find(key);
    if (value == nullptr) return false;
    const bool* boolean = value->get<bool>();
    if (boolean == nullptr) fail(std::string(key) + " must be true or false");
    return *boolean;
  }

  // As transformers counts them: the entries of id2label, else num_labels, else 2.
  int64_t num_labels() const {
    const json::Value* id2label = find("id2label");
    if (id2label == nullptr) return integer("num_labels", 1, kMaxSize, 2);
    const json::Object* labels = id2label->get<json::Object>();
    if (labels == nullptr || labels->empty()) fail("id2label must be an object with a name for each label");
    const auto count = static_cast<int64_t>(labels->size());
    if (integer("num_labels", 1, kMaxSize, count) != count) {
      fail("num_labels and id2label disagree: id2label has " + std::to_string(count) + " labels");
    }
    return count;
  }

  ModelLimits limits() const {
    ModelLimits limits;
    limits.vocab_size = integer("vocab_size", 1, kMaxSize);
    limits.max_position_embeddings = integer("max_position_embeddings", 1, kMaxSize, 512);
    limits.type_vocab_size = integer("type_vocab_size", 1, kMaxSize, 2);
    limits.pad_token_id = integer("pad_token_id", 0, limits.vocab_size - 1, 0);
    limits.num_labels = num_labels();
    return limits;
  }

  const Known& known() const {
    const json::Value* value = find("architectures");
    const json::Array* names = value != nullptr ? value->get<json::Array>() : nullptr;
    const std::string* name =
        names != nullptr && names->size() == 1 ? (*names)[0].get<std::string>() : nullptr;
    if (name == nullptr) fail("architectures must name one class");
    std::string supported;
    for (const Known& known : kKnown) {
      if (*name == known.name) return known;
      supported += (supported.empty() ? "" : ", ") + std::string(known.name);
    }
    fail("its architecture is " + *name + "; supported are " + supported);
  }

  void refuse_unsupported(const Known& known) const {
    if (const std::string type = text("model_type", known.model_type); type != known.model_type) {
      fail("model_type is \"" + type + "\"; " + known.name + " has \"" + known.model_type + "\"");
    }
    if (const std::string type = text("position_embedding_type", "absolute"); type != "absolute") {
      fail("position_embedding_type is \"" + type + "\"; \"absolute\" is supported");
    }
    for (const char* key : {"is_decoder", "add_cross_attention", "is_encoder_decoder"}) {
      if (boolean(key)) fail(std::string(key) + " is true; only encoders are supported");
    }
  }

 private:
  static json::Value parse(std::string_view text) {
    try {
      json::Value value = json::parse(text, kMaxConfigBytes);
      if (value.get<json::Object>() == nullptr) fail("it is not a JSON object");
      return value;
    } catch (const json::Error& error) {
      fail(std::string("it is not JSON: ") + error.what());
    }
  }

  json::Value value_;
  const json::Object& object_;
};

// The defaults are ElectraConfig's and BertConfig's own.
void read_body(const Reader& reader, ElectraConfig& config) {
  const bool bert = config.architecture == Architecture::kBertForSequenceClassification;
  config.hidden_size = reader.integer("hidden_size", 1, kMaxSize, bert ? 768 : 256);
  config.embedding_size = bert ? config.hidden_size : reader.integer("embedding_size", 1, kMaxSize, 128);
  config.num_hidden_layers = reader.integer("num_hidden_layers", 1, kMaxLayers, 12);
  config.num_attention_heads = reader.integer("num_attention_heads", 1, kMaxSize, bert ? 12 : 4);
  config.intermediate_size = reader.integer("intermediate_size", 1, kMaxSize, bert ? 3072 : 1024);
  config.layer_norm_eps = reader.number("layer_norm_eps", 0, 1, 1e-12);
  config.hidden_act = reader.text("hidden_act", "gelu");
  encoder_activation(config.hidden_act);  // throws for what is not supported
  if (config.hidden_size % config.num_attention_heads != 0) {
    fail("hidden_size " + std::to_string(config.hidden_size) + " is not a multiple of num_attention_heads " +
         std::to_string(config.num_attention_heads));
  }
}

Pooling pooling_named(const std::string& name) {
  if (name == "cls") return Pooling::kCls;
  if (name == "mean") return Pooling::kMean;
  if (name == "max") return Pooling::kMax;
  fail("pooling is \"" + name + "\"; \"cls\", \"mean\" and \"max\" are supported");
}

void read_head(const Reader& reader, ElectraConfig& config) {
  if (config.architecture == Architecture::kElectraClassifier) {
    // Its keys have no defaults.
    config.pooling = pooling_named(reader.text("pooling"));
    config.hidden_activation = reader.text("hidden_activation");
    if (!head_has_weights(config)) head_activation(config.hidden_activation);  // throws, as above
    config.hidden_dim = reader.integer("hidden_dim", 1, kMaxSize);
    config.num_layers = reader.integer("num_layers", 1, kMaxLayers);
    config.has_dropout = reader.number("dropout_rate", 0, 1) > 0;
    return;
  }
  // One layer as wide as the body on the first token; in the stock ELECTRA class the activation between is
  // GELU whatever hidden_act says, in BERT's it is the pooler's.
  config.pooling = Pooling::kCls;
  config.hidden_activation =
      config.architecture == Architecture::kBertForSequenceClassification ? "Tanh" : "GELU";
  config.hidden_dim = config.hidden_size;
  config.num_layers = 1;
}

}  // namespace

bool head_has_weights(const ElectraConfig& config) {
  return config.hidden_activation == "SwishGLU" || config.hidden_activation == "PReLU";
}

ModelLimits parse_limits(std::string_view text) { return Reader(text).limits(); }

ElectraConfig parse_electra_config(std::string_view text) {
  const Reader reader(text);
  const Known& known = reader.known();
  reader.refuse_unsupported(known);
  ElectraConfig config;
  config.architecture = known.architecture;
  config.architecture_name = known.name;
  config.base_model_prefix = known.model_type;
  config.limits = reader.limits();
  read_body(reader, config);
  read_head(reader, config);
  return config;
}

}  // namespace electra
