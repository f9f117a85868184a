#include "core/checkpoint/load_module.h"

#include <ATen/ATen.h>
#include <torch/csrc/jit/api/function_impl.h>
#include <torch/csrc/jit/ir/constants.h>
#include <torch/csrc/jit/ir/ir.h>
#include <torch/csrc/jit/serialization/import.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <new>

#include "core/error.h"

namespace electra {

namespace {

namespace aten = c10::aten;
namespace attr = c10::attr;
namespace prim = c10::prim;
using torch::jit::Graph;
using torch::jit::Module;
using torch::jit::Node;
using torch::jit::Value;

template <typename Visit>
void visit_block(torch::jit::Block* block, const Visit& visit) {
  for (auto it = block->nodes().begin(); it != block->nodes().end();) {
    Node* node = *it++;  // first, because `visit` may remove the node
    for (torch::jit::Block* inner : node->blocks()) visit_block(inner, visit);
    visit(node);
  }
}

// Every function that the archive brought: the methods of all its modules, and what they call.
template <typename Visit>
void visit_nodes(const Module& module, const Visit& visit) {
  for (torch::jit::Function* function : module._ivalue()->compilation_unit()->get_functions()) {
    torch::jit::GraphFunction* graph_function = torch::jit::tryToGraphFunction(*function);
    if (graph_function != nullptr) visit_block(graph_function->graph()->block(), visit);
  }
}

bool is_constant(const Node* node, c10::TypeKind kind) {
  return node->kind() == prim::Constant && node->output()->type()->kind() == kind;
}

bool is_tensor_constant(const Node* node) {
  return is_constant(node, c10::TypeKind::TensorType) && node->hasAttribute(attr::value);
}

double largest(at::ScalarType dtype) {
  switch (dtype) {
    case at::kHalf:
      return std::numeric_limits<at::Half>::max();
    case at::kBFloat16:
      return std::numeric_limits<at::BFloat16>::max();
    default:
      return std::numeric_limits<float>::max();
  }
}

// The floating dtype that most elements have.
at::ScalarType main_dtype(const std::vector<at::Tensor>& tensors) {
  std::map<at::ScalarType, int64_t> elements;
  for (const at::Tensor& tensor : tensors) {
    if (tensor.is_floating_point()) elements[tensor.scalar_type()] += tensor.numel();
  }
  const auto most = std::max_element(elements.begin(), elements.end(),
                                     [](const auto& a, const auto& b) { return a.second < b.second; });
  return most == elements.end() ? at::kFloat : most->first;
}

class Retargeting {
 public:
  Retargeting(c10::Device device, at::ScalarType from, at::ScalarType to)
      : device_(device), from_(from), to_(to), largest_(largest(to)) {
    origin_.dtype = from;
  }

  const Origin& origin() const { return origin_; }

  // Parameters and buffers keep their identity, which modules may share. Module::to would cast integers
  // (positions, token types) as well, which breaks a lookup by them.
  void weights(const Module& module) const {
    const auto cast = [this](at::Tensor tensor) {
      if (tensor.is_floating_point() && tensor.scalar_type() != to_) tensor.set_data(tensor.to(to_));
    };
    for (const at::Tensor& tensor : module.parameters()) cast(tensor);
    for (const at::Tensor& tensor : module.buffers()) cast(tensor);
  }

  void node(Node* node) {
    const c10::Symbol kind = node->kind();
    if (kind == to_cuda_ || kind == to_cpu_) return move_by_name(node);  // which may remove the node
    if (kind == prim::Constant || kind == prim::GetAttr || kind == aten::device) {
      if (node->output()->type()->kind() == c10::TypeKind::DeviceObjType) device(node);
    }
    if (from_ == to_) return;
    if (is_constant(node, c10::TypeKind::FloatType)) {
      const double value = node->f(attr::value);
      if (std::isfinite(value) && std::abs(value) > largest_) {
        node->f_(attr::value, std::copysign(largest_, value));
      }
    } else if (is_tensor_constant(node)) {
      tensor_constant(node);
    } else {
      dtype_argument(node);
    }
  }

 private:
  Value* constant(Node* before, const c10::IValue& value) const {
    const torch::jit::WithInsertPoint at(before);
    return before->owningGraph()->insertConstant(value);
  }

  void device(Node* node) {
    const auto value = torch::jit::toIValue(node->output());
    if (value && value->toDevice() == device_) return;
    if (value) origin_.devices.insert(value->toDevice().str());
    // What is inserted stands behind the node that is visited now, and is not visited again.
    node->output()->replaceAllUsesWith(constant(node->next(), device_));
  }

  // x.cuda() and x.cpu(), which only scripts have.
  void move_by_name(Node* node) {
    const c10::DeviceType type = node->kind() == to_cuda_ ? c10::kCUDA : c10::kCPU;
    if (type == device_.type() && type == c10::kCPU) return;
    origin_.devices.insert(c10::DeviceTypeName(type, true));
    const torch::jit::WithInsertPoint at(node);
    Graph& graph = *node->owningGraph();
    node->output()->replaceAllUsesWith(graph.insert(aten::to, {node->input(0), device_}));
    node->destroy();
  }

  void tensor_constant(Node* node) const {
    const at::Tensor tensor = node->t(attr::value);
    if (!tensor.is_floating_point()) return;
    const at::Tensor bounded = at::where(tensor.isinf(), tensor, tensor.clamp(-largest_, largest_));
    // Others than the archive's own are Python's numbers (double), whose dtype counts for nothing.
    node->t_(attr::value, tensor.scalar_type() == from_ ? bounded.to(to_) : bounded);
  }

  // The argument `dtype` of zeros, to, softmax …
  void dtype_argument(Node* node) {
    const c10::FunctionSchema* schema = node->maybeSchema();
    const auto index = schema != nullptr ? schema->argumentIndexWithName("dtype") : std::nullopt;
    if (!index) return;
    const auto value = torch::jit::toIValue(node->input(*index));
    if (!value || !value->isInt() || value->toInt() != static_cast<int64_t>(from_)) return;
    origin_.names_dtype = true;
    node->replaceInput(*index, constant(node, static_cast<int64_t>(to_)));
  }

  // Operators that have no name in C++.
  const c10::Symbol to_cuda_ = c10::Symbol::fromQualString("aten::cuda");
  const c10::Symbol to_cpu_ = c10::Symbol::fromQualString("aten::cpu");
  c10::Device device_;
  at::ScalarType from_, to_;
  double largest_;
  Origin origin_;
};

}  // namespace

Module load_module(const std::string& path, c10::Device device) {
  std::string reason;
  try {
    Module module = torch::jit::load(path, device);
    module.eval();
    return module;
  } catch (const std::bad_alloc&) {
    throw;
  } catch (const c10::OutOfMemoryError&) {
    throw;
  } catch (const c10::Error& error) {
    reason = error.what_without_backtrace();
  } catch (const std::exception& error) {
    reason = error.what();
  }
  throw CoreError(
      ELECTRA_CHECKPOINT_INVALID,
      path + " cannot be loaded; it is damaged, or not a TorchScript archive of this torch: " + reason);
}

std::vector<at::Tensor> tensors_of(const Module& module) {
  std::vector<at::Tensor> tensors;
  for (const at::Tensor& tensor : module.parameters()) tensors.push_back(tensor);
  for (const at::Tensor& tensor : module.buffers()) tensors.push_back(tensor);
  visit_nodes(module, [&](Node* node) {
    if (is_tensor_constant(node)) tensors.push_back(node->t(attr::value));
  });
  return tensors;
}

Origin retarget(Module& module, c10::Device device, at::ScalarType dtype) {
  Retargeting retargeting(device, main_dtype(tensors_of(module)), dtype);
  retargeting.weights(module);
  visit_nodes(module, [&](Node* node) { retargeting.node(node); });
  return retargeting.origin();
}

}  // namespace electra
