#include "core/activations.h"

#include <ATen/ATen.h>

#include <span>

#include "core/error.h"

namespace electra {

namespace {

using at::Tensor;
using cpu::Act;

// In eval mode RReLU's slope is the middle of its bounds, 1/8 and 1/3.
constexpr double kRReluSlope = (1.0 / 8 + 1.0 / 3) / 2;

constexpr auto identity = [](const Tensor& x) { return x; };
constexpr auto gelu = [](const Tensor& x) { return at::gelu(x); };
constexpr auto gelu_tanh = [](const Tensor& x) { return at::gelu(x, "tanh"); };
constexpr auto hardswish = [](const Tensor& x) { return at::hardswish(x); };
constexpr auto leaky_relu = [](const Tensor& x) { return at::leaky_relu(x); };
constexpr auto mish = [](const Tensor& x) { return at::mish(x); };
constexpr auto relu = [](const Tensor& x) { return at::relu(x); };
constexpr auto relu6 = [](const Tensor& x) { return at::relu6(x); };
constexpr auto sigmoid = [](const Tensor& x) { return at::sigmoid(x); };
constexpr auto silu = [](const Tensor& x) { return at::silu(x); };
constexpr auto tanh = [](const Tensor& x) { return at::tanh(x); };

constexpr const char* kGelu = "torch.gelu(x)";
constexpr const char* kGeluTanh = "torch.gelu(x, approximate=\"tanh\")";

const Activation kHeadActivations[] = {
    {"CELU", [](const Tensor& x) { return at::celu(x); }, "torch.celu(x)"},
    {"ELU", [](const Tensor& x) { return at::elu(x); }, "torch.elu(x)"},
    {"GELU", gelu, kGelu},
    {"Hardshrink", [](const Tensor& x) { return at::hardshrink(x); }, "torch.hardshrink(x)"},
    {"Hardsigmoid", [](const Tensor& x) { return at::hardsigmoid(x); }, "torch.hardsigmoid(x)"},
    {"Hardswish", hardswish, "torch.hardswish(x)"},
    {"Hardtanh", [](const Tensor& x) { return at::hardtanh(x); }, "torch.hardtanh(x)"},
    {"Identity", identity, "x"},
    {"LeakyReLU", leaky_relu, "torch.leaky_relu(x)"},
    {"LogSigmoid", [](const Tensor& x) { return at::log_sigmoid(x); }, "torch.log_sigmoid(x)"},
    {"Mish", mish, "torch.mish(x)"},
    {"RReLU", [](const Tensor& x) { return at::leaky_relu(x, kRReluSlope); },
     "torch.leaky_relu(x, (1.0 / 8.0 + 1.0 / 3.0) / 2.0)"},
    {"ReLU", relu, "torch.relu(x)"},
    {"ReLU6", relu6, "torch.relu6(x)"},
    {"SELU", [](const Tensor& x) { return at::selu(x); }, "torch.selu(x)"},
    {"SiLU", silu, "torch.silu(x)"},
    {"Sigmoid", sigmoid, "torch.sigmoid(x)"},
    {"Softplus", [](const Tensor& x) { return at::softplus(x); }, "torch.softplus(x)"},
    {"Softshrink", [](const Tensor& x) { return at::softshrink(x); }, "torch.softshrink(x)"},
    {"Softsign", [](const Tensor& x) { return x / (at::abs(x) + 1); }, "x / (torch.abs(x) + 1)"},
    {"Tanh", tanh, "torch.tanh(x)"},
    {"Tanhshrink", [](const Tensor& x) { return x - at::tanh(x); }, "x - torch.tanh(x)"},
};

const Activation kEncoderActivations[] = {
    {"gelu", gelu, kGelu, Act::kGelu},
    {"gelu_10", [](const Tensor& x) { return at::clamp(at::gelu(x), -10, 10); },
     "torch.clamp(torch.gelu(x), -10, 10)", Act::kGelu10},
    {"gelu_accurate", gelu_tanh, kGeluTanh, Act::kGeluTanh},
    {"gelu_fast", gelu_tanh, kGeluTanh, Act::kGeluTanh},
    {"gelu_new", gelu_tanh, kGeluTanh, Act::kGeluTanh},
    {"gelu_python", gelu, kGelu, Act::kGelu},
    {"gelu_python_tanh", gelu_tanh, kGeluTanh, Act::kGeluTanh},
    {"gelu_pytorch_tanh", gelu_tanh, kGeluTanh, Act::kGeluTanh},
    {"hardswish", hardswish, "torch.hardswish(x)", Act::kHardswish},
    {"leaky_relu", leaky_relu, "torch.leaky_relu(x)", Act::kLeakyRelu},
    {"linear", identity, "x", Act::kNone},
    {"mish", mish, "torch.mish(x)", Act::kMish},
    {"quick_gelu", [](const Tensor& x) { return x * at::sigmoid(1.702 * x); }, "x * torch.sigmoid(1.702 * x)",
     Act::kQuickGelu},
    {"relu", relu, "torch.relu(x)", Act::kRelu},
    {"relu2", [](const Tensor& x) { return at::square(at::relu(x)); }, "torch.square(torch.relu(x))",
     Act::kRelu2},
    {"relu6", relu6, "torch.relu6(x)", Act::kRelu6},
    {"sigmoid", sigmoid, "torch.sigmoid(x)", Act::kSigmoid},
    {"silu", silu, "torch.silu(x)", Act::kSilu},
    {"swish", silu, "torch.silu(x)", Act::kSilu},
    {"tanh", tanh, "torch.tanh(x)", Act::kTanh},
};

const Activation& named(std::span<const Activation> table, const std::string& name, const std::string& key,
                        const std::string& others) {
  std::string supported = others;
  for (const Activation& activation : table) {
    if (name == activation.name) return activation;
    supported += (supported.empty() ? "" : ", ") + std::string(activation.name);
  }
  throw CoreError(ELECTRA_CHECKPOINT_INVALID, "config.json cannot be used: " + key + " is \"" + name +
                                                  "\"; supported are " + supported + ".");
}

}  // namespace

const Activation& head_activation(const std::string& name) {
  return named(kHeadActivations, name, "hidden_activation", "SwishGLU, PReLU");
}

const Activation& encoder_activation(const std::string& name) {
  return named(kEncoderActivations, name, "hidden_act", "");
}

}  // namespace electra
