// config.json, as both engines read it.
#include "core/config.h"

#include "fuzz/fuzz.h"

using namespace electra;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  fuzz::refuses_or([&] {
    const ModelLimits limits = parse_limits(text);
    fuzz::require(limits.vocab_size > 0 && limits.num_labels > 0, "limits are positive");
  });
  fuzz::refuses_or([&] {
    const ElectraConfig config = parse_electra_config(text);
    fuzz::require(config.hidden_size % config.num_attention_heads == 0, "heads divide the hidden size");
  });
  return 0;
}
