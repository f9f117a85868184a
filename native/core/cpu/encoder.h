// ElectraModel and BertModel on the CPU, with kernels of our own: token ids to one pooled vector a row.
//
// libtorch's operators are made for tensors of any shape, each a pass over memory and a dispatch, and oneDNN
// compiles and keeps a kernel for each shape that it meets. Here rows of any lengths are packed end to end,
// all passes of a layer run over a group of them while it is in the cache, and no shape costs more than
// another the first time.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/config.h"
#include "core/cpu/kernels.h"
#include "core/cpu/memory.h"
#include "core/cpu/packed_linear.h"
#include "core/cpu/team.h"
#include "core/engine.h"
#include "core/layout.h"

namespace electra::cpu {

class Encoder {
 public:
  // Takes its tensors out of `tensors` one after the other, so that no weight is held twice for long. Weights
  // that the file has in fp16 or bf16 are kept so in fp32, too: no digit is lost, and half as much memory is
  // read.
  Encoder(const ElectraConfig& config, TensorMap& tensors, at::ScalarType dtype, const Kernels& kernels,
          int threads, const Stop& stop);

  // [rows, hidden_size] in fp32.
  at::Tensor operator()(const Batch& batch, const Stop& stop);

  uint64_t bytes() const noexcept { return bytes_; }
  std::string kernel_names() const;

 private:
  struct LayerNorm {
    Memory weight, bias;  // fp32
  };
  struct Embeddings {
    Memory table;
    Stored stored;
  };
  struct Layer {
    PackedLinear query_key_value, attention_output, intermediate, output;
    LayerNorm attention_norm, output_norm;
  };
  // Buffers for the tokens of one group.
  struct Workspace {
    int64_t ld_fp32, ld_hidden, ld_query, ld_intermediate;
    Memory x, y;  // fp32 [tokens, hidden]: hidden states; a product before its norm
    Memory a, query, context, intermediate;  // activations
    Memory attend_scratch, int8_scratch;
  };
  // Consecutive rows that one thread, or all of them together, take through all layers.
  struct Group {
    int64_t first_row, end_row;
  };
  struct Run;

  at::Tensor take(TensorMap& tensors, const std::string& name) const;
  PackedLinear take_linear(TensorMap& tensors, const std::vector<std::string>& prefixes,
                           at::ScalarType dtype);
  LayerNorm take_norm(TensorMap& tensors, const std::string& prefix);
  Embeddings take_embeddings(TensorMap& tensors, const std::string& name);
  // A copy with the weights.
  Memory keep(const at::Tensor& tensor);

  std::vector<Group> groups(const Batch& batch, bool together) const;
  void forward(const Run& run) const;
  void embed(const Run& run) const;
  // The context of the first `queries` tokens of each row.
  void attend(const Run& run, int64_t queries) const;
  void norm(const LayerNorm& norm, const Run& run, int64_t rows, int64_t size, bool residual) const;
  void pool(const Run& run) const;

  const Kernels& kernels_;
  const Int8Kernels* int8_;  // of linear layers, where they are in int8
  const Pooling pooling_;
  const int64_t embedding_size_, hidden_size_, intermediate_size_, heads_, max_length_;
  const float eps_;
  const Act act_;
  Team team_;
  Arena memory_;  // for all of it
  Embeddings word_embeddings_, position_embeddings_, token_type_embeddings_;
  LayerNorm embedding_norm_;
  std::optional<PackedLinear> embeddings_project_;
  std::vector<Layer> layers_;
  std::vector<Workspace> workspaces_;  // one for each member of the team
  uint64_t bytes_ = 0;
};

}  // namespace electra::cpu
