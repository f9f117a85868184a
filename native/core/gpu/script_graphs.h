// Graphs of an archive's own forward, which takes matrices of padded rows.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <string>
#include <vector>

#include "core/error.h"
#include "core/gpu/graph_cache.h"

namespace electra {

class ScriptGraphs {
 public:
  // `ids` and `mask` [rows, length] in int64 on the card; logits [rows, labels] there, in fp32.
  using Forward = std::function<at::Tensor(const at::Tensor& ids, const at::Tensor& mask)>;

  // Captures `forward`, which must give a row the same logits whatever it is padded to. Not every forward can
  // be captured (one that waits for the card cannot), and a capture may freeze what should be computed anew:
  // a graph whose logits are not the forward's, for other tokens than those it was captured with, is given
  // up. `gpu` and what `forward` refers to must outlive this.
  ScriptGraphs(Gpu& gpu, const std::vector<Bucket>& buckets, Forward forward, int64_t pad_token_id,
               int64_t vocab_size, double tolerance, const Stop& stop);

  // Logits [rows, labels] on the card, good until the next call, of a matrix [rows, length] on the host;
  // undefined where no graph serves its shape.
  at::Tensor operator()(const at::Tensor& ids, const at::Tensor& mask);

  std::string note() const { return graphs_.note(); }
  const GraphCache& graphs() const { return graphs_; }

 private:
  // Where a bucket's graph reads: the matrix, and padding around it.
  void fill(const Bucket& bucket, const at::Tensor& ids, const at::Tensor& mask);
  void check(int64_t vocab_size, double tolerance);

  Gpu& gpu_;
  Forward forward_;
  int64_t pad_token_id_;
  at::Tensor host_, input_;  // ids and mask of the largest shape, end to end; where every graph reads
  GraphCache graphs_;
};

}  // namespace electra
