// The CPU kernels against plain loops in double, for every table that this machine can run (AMX's by
// emulation), and every shape that is a corner: fewer rows than a tile, columns and depths that fill no
// vector, lone tokens. Prints a line for each table and exits with 1 where a result is off.
#include "core/cpu/kernels.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "core/cpu/memory.h"
#include "platform.h"

namespace {

using namespace electra::cpu;

std::mt19937 random_bits(1);
int failures = 0;

float uniform() { return static_cast<float>(random_bits()) / 2147483648.0f - 1.0f; }

uint16_t to_bf16(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof(bits));
  return static_cast<uint16_t>((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

float from_bf16(uint16_t value) {
  const uint32_t bits = uint32_t{value} << 16;
  float widened;
  std::memcpy(&widened, &bits, sizeof(widened));
  return widened;
}

// Normal numbers only, which is what uniform() times a scale gives.
uint16_t to_fp16(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof(bits));
  const uint32_t magnitude = bits & 0x7fffffff;
  if (magnitude < 0x38800000) return static_cast<uint16_t>((bits >> 16) & 0x8000);
  return static_cast<uint16_t>(((bits >> 16) & 0x8000) | ((magnitude - 0x38000000) >> 13));
}

float from_fp16(uint16_t value) {
  const uint32_t magnitude = value & 0x7fff;
  const uint32_t bits =
      (uint32_t{value} & 0x8000) << 16 | (magnitude == 0 ? 0 : (magnitude << 13) + 0x38000000);
  float widened;
  std::memcpy(&widened, &bits, sizeof(widened));
  return widened;
}

int64_t size_of(Stored stored) { return stored == Stored::kFp32 ? 4 : 2; }

void put(Memory& memory, Stored stored, int64_t index, float value) {
  if (stored == Stored::kFp32) {
    memory.as<float>()[index] = value;
  } else {
    memory.as<uint16_t>()[index] = stored == Stored::kFp16 ? to_fp16(value) : to_bf16(value);
  }
}

float get(const Memory& memory, Stored stored, int64_t index) {
  if (stored == Stored::kFp32) return memory.as<float>()[index];
  const uint16_t bits = memory.as<uint16_t>()[index];
  return stored == Stored::kFp16 ? from_fp16(bits) : from_bf16(bits);
}

void expect(const Kernels& kernels, const std::string& what, double actual, double expected,
            double tolerance) {
  const double off = std::abs(actual - expected);
  // Not `off > tolerance`: NaN must fail.
  if (off <= tolerance * (1 + std::abs(expected))) return;
  if (++failures <= 20) {
    std::printf("%s: %s is %.8g, expected %.8g\n", kernels.name, what.c_str(), actual, expected);
  }
}

struct NamedAct {
  Act act;
  const char* name;
  double (*apply)(double);
};

double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }
double gelu(double x) { return x / 2 * std::erfc(-x / std::sqrt(2)); }

const NamedAct kActs[] = {
    {Act::kNone, "none", [](double x) { return x; }},
    {Act::kGelu, "gelu", gelu},
    {Act::kGelu10, "gelu_10", [](double x) { return std::clamp(gelu(x), -10.0, 10.0); }},
    {Act::kGeluTanh, "gelu_tanh",
     [](double x) { return x / 2 * (1 + std::tanh(0.7978845608028654 * (x + 0.044715 * x * x * x))); }},
    {Act::kHardswish, "hardswish", [](double x) { return x * std::clamp(x + 3, 0.0, 6.0) / 6; }},
    {Act::kLeakyRelu, "leaky_relu", [](double x) { return x < 0 ? 0.01 * x : x; }},
    {Act::kMish, "mish", [](double x) { return x * std::tanh(std::log1p(std::exp(x))); }},
    {Act::kQuickGelu, "quick_gelu", [](double x) { return x * sigmoid(1.702 * x); }},
    {Act::kRelu, "relu", [](double x) { return std::max(x, 0.0); }},
    {Act::kRelu2, "relu2", [](double x) { return x < 0 ? 0 : x * x; }},
    {Act::kRelu6, "relu6", [](double x) { return std::clamp(x, 0.0, 6.0); }},
    {Act::kSigmoid, "sigmoid", sigmoid},
    {Act::kSilu, "silu", [](double x) { return x * sigmoid(x); }},
    {Act::kTanh, "tanh", [](double x) { return std::tanh(x); }},
};

int64_t round_up(int64_t value, int64_t step) { return (value + step - 1) / step * step; }

// Rows that every buffer of activations has room for behind its last element.
constexpr int64_t kSlack = 64;

void test_gemm(const Kernels& kernels, Stored stored, int64_t rows, int64_t cols, int64_t depth,
               const NamedAct& act, bool out_fp32, float scale) {
  const int64_t filled = round_up(depth, kernels.depth_step),
                panels = round_up(cols, kernels.panel) / kernels.panel;
  const int64_t lda = depth + kSlack, ldo = cols + 3;
  Memory a(static_cast<size_t>(rows * lda * 4)),
      weight(static_cast<size_t>(panels * kernels.panel * filled * 4));
  Memory bias(static_cast<size_t>(panels * kernels.panel * 4)), out(static_cast<size_t>(rows * ldo * 4));
  for (int64_t row = 0; row < rows; ++row) {
    // What lies behind a row is multiplied by 0, so it may be any number.
    for (int64_t k = 0; k < lda; ++k) put(a, kernels.activations, row * lda + k, uniform() * scale);
  }
  const auto place = [&](int64_t col, int64_t k) {
    const int64_t panel = col / kernels.panel * kernels.panel * filled;
    return panel + (k / kernels.group * kernels.panel + col % kernels.panel) * kernels.group +
           k % kernels.group;
  };
  for (int64_t col = 0; col < cols; ++col) {
    bias.as<float>()[col] = uniform();
    for (int64_t k = 0; k < depth; ++k) put(weight, stored, place(col, k), uniform());
  }
  for (int64_t i = 0; i < rows * ldo; ++i) out.as<float>()[i] = -77;
  const Weights weights{weight.get(), bias.as<float>(), cols, depth, stored};
  kernels.gemm({a.get(), lda, rows, &weights, 0, panels, out.get(), ldo, out_fp32, act.act, nullptr});

  const Stored as = out_fp32 ? Stored::kFp32 : kernels.activations;
  const double tolerance = as == Stored::kFp32 ? 3e-6 * std::sqrt(static_cast<double>(depth)) : 5e-3;
  for (int64_t row = 0; row < rows; ++row) {
    for (int64_t col = 0; col < cols; ++col) {
      double sum = bias.as<float>()[col];
      for (int64_t k = 0; k < depth; ++k) {
        sum += static_cast<double>(get(a, kernels.activations, row * lda + k)) *
               get(weight, stored, place(col, k));
      }
      expect(kernels,
             std::string(act.name) + " of a product of " + std::to_string(rows) + " x " +
                 std::to_string(cols) + " x " + std::to_string(depth),
             get(out, as, row * ldo + col), act.apply(sum), tolerance);
    }
    if (as == Stored::kFp32 && row + 1 < rows) {
      expect(kernels, "what lies behind the last column", get(out, as, row * ldo + cols), -77, 0);
    }
  }

  // One row by itself is the same to the last bit.
  Memory alone(static_cast<size_t>(ldo * 4));
  const int64_t row = rows / 2;
  kernels.gemm({a.get() + row * lda * size_of(kernels.activations), lda, 1, &weights, 0, panels, alone.get(),
                ldo, out_fp32, act.act, nullptr});
  for (int64_t col = 0; col < cols; ++col) {
    expect(kernels, "a row by itself", get(alone, as, col), get(out, as, row * ldo + col), 0);
  }
}

// A product of int8 against the same in double on what was quantized: the row by its own least and greatest
// element.
void test_int8(const Int8Kernels& kernels, const Kernels& base, int64_t rows, int64_t cols, int64_t depth,
               bool out_fp32) {
  const Stored activations = base.activations;
  const int64_t filled = round_up(depth, kernels.depth_step),
                panels = round_up(cols, kernels.panel) / kernels.panel;
  const int64_t lda = depth + kSlack, ldo = cols + 3;
  Memory a(static_cast<size_t>(rows * lda * 4)), weight(static_cast<size_t>(panels * kernels.panel * filled));
  Memory bias(static_cast<size_t>(panels * kernels.panel * 4)),
      scales(static_cast<size_t>(panels * kernels.panel * 4));
  Memory sums(static_cast<size_t>(panels * kernels.panel * 4)), out(static_cast<size_t>(rows * ldo * 4));
  Memory scratch(static_cast<size_t>(kernels.scratch(depth)));
  std::memset(scratch.get(), 0x55, scratch.size());
  for (int64_t i = 0; i < rows * lda; ++i) put(a, activations, i, uniform() * 2 + 0.5f);
  const auto place = [&](int64_t col, int64_t k) {
    const int64_t panel = col / kernels.panel * kernels.panel * filled;
    return panel + (k / kernels.group * kernels.panel + col % kernels.panel) * kernels.group +
           k % kernels.group;
  };
  for (int64_t col = 0; col < cols; ++col) {
    bias.as<float>()[col] = uniform();
    scales.as<float>()[col] = 0.001f * (1 + uniform() / 2);
    for (int64_t k = 0; k < depth; ++k) {
      // The greatest ones too: they are what overflows.
      const auto w =
          static_cast<int8_t>(col % 3 == 0 ? kernels.most : uniform() * static_cast<float>(kernels.most));
      weight.as<int8_t>()[place(col, k)] = w;
      sums.as<int32_t>()[col] += w;
    }
  }
  const Weights weights{weight.get(),       bias.as<float>(),  cols, depth, Stored::kInt8,
                        scales.as<float>(), sums.as<int32_t>()};
  kernels.gemm({a.get(), lda, rows, &weights, 0, panels, out.get(), ldo, out_fp32, Act::kNone, scratch.get()},
               activations);
  const Stored as = out_fp32 ? Stored::kFp32 : activations;
  for (int64_t row = 0; row < rows; ++row) {
    double low = 0, high = 0;
    for (int64_t k = 0; k < depth; ++k) {
      low = std::min<double>(low, get(a, activations, row * lda + k));
      high = std::max<double>(high, get(a, activations, row * lda + k));
    }
    const double scale = (high - low) / 255;
    for (int64_t col = 0; col < cols; ++col) {
      double sum = 0;
      for (int64_t k = 0; k < depth; ++k) {
        sum += static_cast<double>(get(a, activations, row * lda + k)) * weight.as<int8_t>()[place(col, k)];
      }
      const double factor = scales.as<float>()[col];
      // Each element is off by half a step at most, and by another half where the zero was rounded.
      const double tolerance =
          scale * factor * static_cast<double>(kernels.most) * static_cast<double>(depth) + 5e-3;
      const double expected = sum * factor + bias.as<float>()[col];
      const std::string what = std::string(kernels.name) + " product of " + std::to_string(rows) + " x " +
                               std::to_string(cols) + " x " + std::to_string(depth);
      expect(base, what, get(out, as, row * ldo + col), expected, tolerance / (1 + std::abs(expected)));
    }
  }
  Memory alone(static_cast<size_t>(ldo * 4));
  const int64_t row = rows / 2;
  kernels.gemm({a.get() + row * lda * size_of(activations), lda, 1, &weights, 0, panels, alone.get(), ldo,
                out_fp32, Act::kNone, scratch.get()},
               activations);
  for (int64_t col = 0; col < cols; ++col) {
    expect(base, "a row of int8 by itself", get(alone, as, col), get(out, as, row * ldo + col), 0);
  }
}

void test(const Int8Kernels& kernels, const Kernels& base) {
  const int before = failures;
  for (int64_t rows = 1; rows <= 40; ++rows) test_int8(kernels, base, rows, 48, 40, true);
  for (const int64_t cols : {1, 7, 16, 31, 33, 100}) test_int8(kernels, base, 5, cols, 64, false);
  for (const int64_t depth : {1, 2, 3, 5, 31, 65, 384, 4096}) test_int8(kernels, base, 13, 20, depth, true);
  std::printf("%s after %s: %s\n", kernels.name, base.name, failures == before ? "right" : "wrong");
}

void test_norm(const Kernels& kernels, int64_t rows, int64_t size, bool residual) {
  const int64_t ld = size + 5;
  Memory y(static_cast<size_t>(rows * ld * 4)), x(static_cast<size_t>(rows * ld * 4)),
      a(static_cast<size_t>(rows * ld * 4));
  Memory weight(static_cast<size_t>(size * 4)), bias(static_cast<size_t>(size * 4));
  for (int64_t i = 0; i < rows * ld; ++i) {
    y.as<float>()[i] = uniform() * 3 + 1;
    x.as<float>()[i] = uniform();
  }
  for (int64_t i = 0; i < size; ++i) {
    weight.as<float>()[i] = uniform();
    bias.as<float>()[i] = uniform();
  }
  std::vector<float> before(x.as<float>(), x.as<float>() + rows * ld);
  constexpr float kEps = 1e-12f;
  kernels.norm({y.as<float>(), ld, x.as<float>(), ld, a.get(), ld, rows, size, weight.as<float>(),
                bias.as<float>(), kEps, residual});
  for (int64_t row = 0; row < rows; ++row) {
    const auto input = [&](int64_t i) {
      return static_cast<double>(y.as<float>()[row * ld + i]) + (residual ? before[row * ld + i] : 0);
    };
    double mean = 0, variance = 0;
    for (int64_t i = 0; i < size; ++i) mean += input(i) / static_cast<double>(size);
    for (int64_t i = 0; i < size; ++i) variance += std::pow(input(i) - mean, 2) / static_cast<double>(size);
    for (int64_t i = 0; i < size; ++i) {
      const double expected =
          (input(i) - mean) / std::sqrt(variance + kEps) * weight.as<float>()[i] + bias.as<float>()[i];
      const std::string what = "layer norm over " + std::to_string(size);
      if (size > 1) expect(kernels, what, x.as<float>()[row * ld + i], expected, 1e-5);
      expect(kernels, what + " as activations", get(a, kernels.activations, row * ld + i),
             x.as<float>()[row * ld + i], kernels.activations == Stored::kFp32 ? 0 : 5e-3);
    }
  }
}

void test_attend(const Kernels& kernels, int64_t length, int64_t head_size, int64_t queries) {
  const int64_t hidden = 3 * head_size, ld = 3 * hidden + kSlack, ldo = hidden + kSlack;
  const Stored stored = kernels.activations;
  Memory qkv(static_cast<size_t>((length + 1) * ld * 4)), out(static_cast<size_t>(length * ldo * 4));
  Memory scratch(static_cast<size_t>(kernels.attend_scratch(length, head_size)));
  // What an earlier, longer row may have left there.
  std::memset(scratch.get(), 0x3f, scratch.size());
  for (int64_t i = 0; i < (length + 1) * ld; ++i) put(qkv, stored, i, uniform() * 2);
  const int64_t head = head_size;  // the second of three heads
  const auto at = [&](int64_t part, int64_t token, int64_t i) {
    return static_cast<double>(get(qkv, stored, token * ld + part * hidden + head + i));
  };
  kernels.attend({qkv.get() + head * size_of(stored), ld, hidden, head_size, length, queries,
                  out.get() + head * size_of(stored), ldo, scratch.get()});
  for (int64_t query = 0; query < queries; ++query) {
    std::vector<double> share(static_cast<size_t>(length));
    double highest = -1e300, sum = 0;
    for (int64_t key = 0; key < length; ++key) {
      double& score = share[static_cast<size_t>(key)];
      for (int64_t i = 0; i < head_size; ++i) score += at(0, query, i) * at(1, key, i);
      score /= std::sqrt(static_cast<double>(head_size));
      highest = std::max(highest, score);
    }
    for (double& score : share) sum += score = std::exp(score - highest);
    for (int64_t i = 0; i < head_size; ++i) {
      double expected = 0;
      for (int64_t key = 0; key < length; ++key)
        expected += share[static_cast<size_t>(key)] / sum * at(2, key, i);
      expect(kernels,
             "attention over " + std::to_string(length) + " tokens, heads of " + std::to_string(head_size),
             get(out, stored, query * ldo + head + i), expected, stored == Stored::kFp32 ? 1e-5 : 1e-2);
    }
  }
  for (int64_t i = 0; i < head; ++i) expect(kernels, "the head before", get(out, stored, i), 0, 0);
  for (int64_t i = 0; i < head_size; ++i)
    expect(kernels, "the head behind", get(out, stored, 2 * head + i), 0, 0);
}

void test_embed(const Kernels& kernels, Stored stored, int64_t size) {
  constexpr int64_t kWords = 11, kTypes = 2, kPositions = 9;
  Memory words(static_cast<size_t>(kWords * size * 4)), types(static_cast<size_t>(kTypes * size * 4));
  Memory positions(static_cast<size_t>(kPositions * size * 4)), y(static_cast<size_t>(4 * size * 4));
  for (int64_t i = 0; i < kWords * size; ++i) put(words, stored, i, uniform());
  for (int64_t i = 0; i < kTypes * size; ++i) put(types, stored, i, uniform());
  for (int64_t i = 0; i < kPositions * size; ++i) put(positions, stored, i, uniform());
  const int32_t ids[] = {10, 0, 3, 3}, type_ids[] = {0, 1, 1, 0};
  for (const int32_t* given : {static_cast<const int32_t*>(nullptr), type_ids}) {
    kernels.embed({ids,
                   given,
                   4,
                   5,
                   size,
                   {words.get(), stored},
                   {types.get(), stored},
                   {positions.get(), stored},
                   y.as<float>(),
                   size});
    for (int64_t token = 0; token < 4; ++token) {
      for (int64_t i = 0; i < size; ++i) {
        const double expected = static_cast<double>(get(words, stored, ids[token] * size + i)) +
                                get(types, stored, (given ? given[token] : 0) * size + i) +
                                get(positions, stored, (5 + token) * size + i);
        expect(kernels, "an embedding of " + std::to_string(size), y.as<float>()[token * size + i], expected,
               1e-6);
      }
    }
  }
}

void test(const Kernels& kernels) {
  const int before = failures;
  std::vector<Stored> stored = {kernels.activations};
  if (kernels.expands) stored = {Stored::kFp32, Stored::kFp16, Stored::kBf16};
  for (const Stored as : stored) {
    for (int64_t rows = 1; rows <= 40; ++rows) test_gemm(kernels, as, rows, 48, 40, kActs[0], true, 1);
    for (const int64_t cols : {1, 7, 16, 31, 33, 100}) test_gemm(kernels, as, 5, cols, 64, kActs[0], true, 1);
    for (const int64_t depth : {1, 2, 3, 31, 33, 384, 1100})
      test_gemm(kernels, as, 13, 20, depth, kActs[0], true, 1);
    test_gemm(kernels, as, 300, 40, 1536, kActs[0], true, 1);
    test_embed(kernels, as, 1);
    for (const int64_t size : {7, 16, 40, 128}) test_embed(kernels, as, size);
  }
  for (const NamedAct& act : kActs) {
    test_gemm(kernels, kernels.activations, 12, 40, 32, act, true, 1);
    test_gemm(kernels, kernels.activations, 12, 40, 32, act, true, 0.01f);
    test_gemm(kernels, kernels.activations, 12, 40, 32, act, true, 8);
    test_gemm(kernels, kernels.activations, 12, 40, 32, act, false, 1);
  }
  for (const bool residual : {false, true}) {
    for (const int64_t size : {1, 7, 16, 20, 384, 1000}) test_norm(kernels, 3, size, residual);
  }
  for (const int64_t head_size : {4, 10, 16, 32, 64, 80}) {
    for (const int64_t length : {1, 2, 3, 16, 17, 31, 64, 65, 200}) {
      test_attend(kernels, length, head_size, length);
      test_attend(kernels, length, head_size, 1);
    }
  }
  std::printf("%s: %s\n", kernels.name, failures == before ? "right" : "wrong");
}

}  // namespace

int main() {
  const electra::platform::Cpu cpu = electra::platform::cpu();
  const bool avx2 = cpu.has("avx2") && avx2_kernels() != nullptr;
  const bool avx512 = cpu.has("avx512f") && avx512_kernels() != nullptr;
  const bool bf16 = cpu.has("avx512_bf16") && avx512_bf16_kernels() != nullptr;
  const bool vnni = cpu.has("avx512_vnni") && avx512_vnni_kernels() != nullptr;
#if defined(ELECTRA_EMULATE_AMX)
  const bool amx = bf16 && amx_kernels() != nullptr;
#else
  const bool amx = cpu.has("amx_bf16") && amx_kernels() != nullptr;
#endif
  if (avx2) test(*avx2_kernels());
  if (avx2) test(*avx2_int8_kernels(), *avx2_kernels());
  if (avx512) test(*avx512_kernels());
  if (vnni) test(*avx512_vnni_kernels(), *avx512_kernels());
  if (bf16) test(*avx512_bf16_kernels());
  if (bf16 && vnni) test(*avx512_vnni_kernels(), *avx512_bf16_kernels());
  if (amx) test(*amx_kernels());
  if (amx) test(*amx_int8_kernels(), *amx_kernels());
  return failures == 0 ? 0 : 1;
}
