#include "core/attention.h"

#include <ATen/ATen.h>

namespace electra {

Attention attention_by_runs(const std::vector<Run>& runs) {
  return [&runs](const at::Tensor& query_key_value) {
    const int64_t heads = query_key_value.size(2), head_size = query_key_value.size(3);
    std::vector<at::Tensor> contexts;
    contexts.reserve(runs.size());
    for (const Run& run : runs) {
      const std::vector<at::Tensor> parts = query_key_value.narrow(0, run.first_token, run.rows * run.length)
                                                .view({run.rows, run.length, 3, heads, head_size})
                                                .permute({2, 0, 3, 1, 4})
                                                .unbind(0);
      const at::Tensor context = at::scaled_dot_product_attention(parts[0], parts[1], parts[2]);
      contexts.push_back(context.transpose(1, 2).reshape({run.rows * run.length, heads * head_size}));
    }
    return contexts.size() == 1 ? contexts[0] : at::cat(contexts);
  };
}

Attention attention_by_offsets(const at::Tensor& cu_seqlens, int64_t longest, bool flash) {
  return [=](const at::Tensor& query_key_value) {
    const std::vector<at::Tensor> parts = query_key_value.unbind(1);
    const int64_t tokens = query_key_value.size(0);
    if (flash) {
      const at::Tensor context = std::get<0>(at::_flash_attention_forward(
          parts[0], parts[1], parts[2], cu_seqlens, cu_seqlens, longest, longest, /*dropout_p=*/0.0,
          /*is_causal=*/false, /*return_debug_mask=*/false));
      return context.reshape({tokens, -1});
    }
    const at::Tensor context = std::get<0>(at::_efficient_attention_forward(
        parts[0].unsqueeze(0), parts[1].unsqueeze(0), parts[2].unsqueeze(0), /*bias=*/{}, cu_seqlens,
        cu_seqlens, longest, longest, /*dropout_p=*/0.0, /*custom_mask_type=*/0));
    return context.reshape({tokens, -1});
  };
}

}  // namespace electra
