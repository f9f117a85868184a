#include "core/script_source.h"

#include <locale>
#include <sstream>

#include "core/activations.h"
#include "core/layout.h"

namespace electra {

namespace {

std::string number(double value) {
  std::ostringstream stream;
  stream.imbue(std::locale::classic());
  stream.precision(17);
  stream << std::scientific << value;
  return stream.str();
}

// The submodule at a path such as "encoder.layer.0"; `.` cannot spell a name that is a number.
std::string module_at(const std::string& path) {
  std::string expression = "self";
  std::istringstream names(path);
  for (std::string name; std::getline(names, name, '.');) {
    const bool number = name.find_first_not_of("0123456789") == std::string::npos;
    expression = number ? "getattr(" + expression + ", \"" + name + "\")" : expression + "." + name;
  }
  return expression;
}

std::string linear(const std::string& x, const std::string& module) {
  return "torch.linear(" + x + ", " + module + ".weight, " + module + ".bias)";
}

std::string layer_norm(const std::string& x, const std::string& module, int64_t size, double eps) {
  return "torch.layer_norm(" + x + ", [" + std::to_string(size) + "], " + module + ".weight, " + module +
         ".bias, " + number(eps) + ")";
}

std::string line(const std::string& statement) { return "    " + statement + "\n"; }

std::string pool_source(Pooling pooling) {
  switch (pooling) {
    case Pooling::kCls:
      return line("x = x.select(1, 0)");
    case Pooling::kMean:
      return line("keep = real.unsqueeze(-1).type_as(x)") + line("x = (x * keep).sum([1]) / keep.sum([1])");
    case Pooling::kMax:
      // Not a product with the mask, as the Python class has it: its zeros could be the maximum.
      return line("x = x.masked_fill(real.logical_not().unsqueeze(-1), float(\"-inf\")).amax([1])");
  }
  return "";
}

std::string activation_source(const ElectraConfig& config, const std::string& module) {
  if (config.hidden_activation == "SwishGLU") {
    return line("x, gate = " + linear("x", module + ".projection") + ".chunk(2, -1)") +
           line("x = x * torch.silu(gate)");
  }
  if (config.hidden_activation == "PReLU") return line("x = torch.prelu(x, " + module + ".weight)");
  return line(std::string("x = ") + head_activation(config.hidden_activation).script);
}

}  // namespace

std::string embeddings_source(const ElectraConfig& config) {
  return "def forward(self, input_ids: Tensor, token_type_ids: Optional[Tensor]) -> Tensor:\n" +
         line("x = torch.embedding(self.word_embeddings.weight, input_ids)") +
         line("if token_type_ids is None:") + line("    x = x + self.token_type_embeddings.weight[0]") +
         line("else:") +
         line("    x = x + torch.embedding(self.token_type_embeddings.weight, token_type_ids)") +
         line("x = x + self.position_embeddings.weight[:input_ids.size(1)]") +
         line("return " + layer_norm("x", "self.LayerNorm", config.embedding_size, config.layer_norm_eps));
}

std::string layer_source(const ElectraConfig& config) {
  const int64_t hidden = config.hidden_size, heads = config.num_attention_heads;
  const auto norm = [&](const std::string& x, const std::string& module) {
    return layer_norm(x, module, hidden, config.layer_norm_eps);
  };
  const auto split = [&](const std::string& part) {
    return linear("x", "self.attention.self." + part) + ".view([batch, length, " + std::to_string(heads) +
           ", " + std::to_string(hidden / heads) + "]).transpose(1, 2)";
  };
  return "def forward(self, x: Tensor, mask: Tensor) -> Tensor:\n" +
         line("batch, length = x.size(0), x.size(1)") + line("query = " + split("query")) +
         line("key = " + split("key")) + line("value = " + split("value")) +
         line("context = torch.scaled_dot_product_attention(query, key, value, mask)") +
         line("context = context.transpose(1, 2).reshape([batch, length, " + std::to_string(hidden) + "])") +
         line("context = " + linear("context", "self.attention.output.dense")) +
         line("attended = " + norm("context + x", "self.attention.output.LayerNorm")) +
         line("x = " + linear("attended", "self.intermediate.dense")) +
         line(std::string("x = ") + encoder_activation(config.hidden_act).script) +
         line("x = " + linear("x", "self.output.dense")) +
         line("return " + norm("x + attended", "self.output.LayerNorm"));
}

std::string classifier_source(const ElectraConfig& config) {
  const std::string body = config.base_model_prefix + ".";
  std::string source =
      "def forward(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Optional[Tensor] = None) "
      "-> "
      "Tensor:\n" +
      line("real = attention_mask.ne(0)") + line("mask = real.unsqueeze(1).unsqueeze(1)") +
      line("x = " + module_at(body + "embeddings") + ".forward(input_ids, token_type_ids)");
  if (config.embedding_size != config.hidden_size) {
    source += line("x = " + linear("x", module_at(body + "embeddings_project")));
  }
  for (int64_t i = 0; i < config.num_hidden_layers; ++i) {
    source += line("x = " + module_at(body + "encoder.layer." + std::to_string(i)) + ".forward(x, mask)");
  }
  source += pool_source(config.pooling);
  for (int64_t i = 0; i < config.num_layers; ++i) {
    source += line("x = " + linear("x", module_at(head_layer(config, i))));
    source += activation_source(config, module_at(head_activation_module(config, i)));
  }
  return source + line("return " + linear("x", module_at(head_layer(config, config.num_layers))));
}

}  // namespace electra
