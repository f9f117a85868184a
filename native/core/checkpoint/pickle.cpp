#include "core/checkpoint/pickle.h"

#include <algorithm>
#include <deque>
#include <limits>
#include <set>
#include <unordered_map>
#include <variant>

#include "core/checkpoint/pickle_opcodes.h"
#include "core/json.h"

namespace electra {

namespace {

// A state dict of 24 layers makes some 10,000 values; this bounds what a hostile pickle can make this hold.
constexpr size_t kMaxValues = 1 << 20;
constexpr size_t kMaxDimensions = 8;
constexpr size_t kMaxQuoted = 100;

enum class Global { kOrderedDict, kRebuildTensor, kRebuildParameter, kStorage };

struct KnownGlobal {
  std::string_view name;
  Global global;
  at::ScalarType dtype = at::kFloat;  // of a storage
};

constexpr KnownGlobal kGlobals[] = {
    {"collections.OrderedDict", Global::kOrderedDict},
    {"torch._utils._rebuild_tensor_v2", Global::kRebuildTensor},
    {"torch._utils._rebuild_parameter", Global::kRebuildParameter},
    {"torch.FloatStorage", Global::kStorage, at::kFloat},
    {"torch.HalfStorage", Global::kStorage, at::kHalf},
    {"torch.BFloat16Storage", Global::kStorage, at::kBFloat16},
    {"torch.DoubleStorage", Global::kStorage, at::kDouble},
    {"torch.LongStorage", Global::kStorage, at::kLong},
    {"torch.IntStorage", Global::kStorage, at::kInt},
    {"torch.ShortStorage", Global::kStorage, at::kShort},
    {"torch.CharStorage", Global::kStorage, at::kChar},
    {"torch.ByteStorage", Global::kStorage, at::kByte},
    {"torch.BoolStorage", Global::kStorage, at::kBool},
};

struct Value;
struct None {};
using Tuple = std::vector<const Value*>;
using Dict = std::vector<std::pair<const Value*, const Value*>>;
struct Storage {
  std::string key;
  at::ScalarType dtype;
  int64_t size;
};

struct Value {
  std::variant<None, bool, int64_t, std::string, Tuple, Dict, const KnownGlobal*, Storage, PickledTensor> is;

  template <typename T>
  const T* get() const noexcept {
    return std::get_if<T>(&is);
  }
};

[[noreturn]] void fail(const std::string& what) { throw PickleError(what); }

std::string quoted(std::string text) {
  if (text.size() > kMaxQuoted) text = text.substr(0, kMaxQuoted) + "...";
  return text;
}

std::vector<int64_t> integers(const Value& value, const char* what) {
  const Tuple* tuple = value.get<Tuple>();
  if (tuple == nullptr || tuple->size() > kMaxDimensions) fail(std::string(what) + " that is no short tuple");
  std::vector<int64_t> integers;
  for (const Value* item : *tuple) {
    const int64_t* integer = item->get<int64_t>();
    if (integer == nullptr || *integer < 0) fail(std::string(what) + " that is no whole number");
    integers.push_back(*integer);
  }
  return integers;
}

// a * b where both are at least 0, or the largest number.
int64_t saturating_product(int64_t a, int64_t b) {
  constexpr int64_t kMost = std::numeric_limits<int64_t>::max();
  return a != 0 && b > kMost / a ? kMost : a * b;
}

// Before any memory is read by them: no element lies outside the storage, and there are no more elements than
// it has, for with strides of 0 a few bytes could be a tensor of any size.
void check_view(const PickledTensor& tensor) {
  if (tensor.sizes.size() != tensor.strides.size()) fail("a tensor whose sizes and strides differ in number");
  int64_t count = 1;
  for (const int64_t size : tensor.sizes) count = saturating_product(count, size);
  // The product may be saturated and then meet a 0.
  if (std::find(tensor.sizes.begin(), tensor.sizes.end(), 0) != tensor.sizes.end()) count = 0;
  if (tensor.offset > tensor.storage_size) fail("a tensor that begins beyond its storage");
  if (count == 0) return;
  if (count > tensor.storage_size) fail("a tensor of more elements than its storage has");
  int64_t left = tensor.storage_size - tensor.offset - 1;
  for (size_t i = 0; i < tensor.sizes.size() && left >= 0; ++i) {
    const int64_t reach = saturating_product(tensor.sizes[i] - 1, tensor.strides[i]);
    left = reach > left ? -1 : left - reach;
  }
  if (left < 0) fail("a tensor that ends beyond its storage");
}

class Machine {
 public:
  explicit Machine(std::string_view pickle) : rest_(pickle) {}

  const Value& run() {
    while (true) {
      const uint8_t opcode = byte();
      if (opcode == kStop) return *pop();
      step(opcode);
    }
  }

 private:
  void step(uint8_t opcode) {
    switch (opcode) {
      case kProto:
        byte();  // what it brings is refused opcode by opcode
        return;
      case kMark:
        marks_.push_back(stack_.size());
        return;
      case kNone:
        return push(None{});
      case kNewTrue:
        return push(true);
      case kNewFalse:
        return push(false);
      case kBinInt:
        return push(static_cast<int64_t>(static_cast<int32_t>(number(4))));
      case kBinInt1:
        return push(static_cast<int64_t>(number(1)));
      case kBinInt2:
        return push(static_cast<int64_t>(number(2)));
      case kLong1:
        return push(long_number(byte()));
      case kBinUnicode:
        return push(text(number(4)));
      case kEmptyTuple:
        return push(Tuple());
      case kTuple1:
      case kTuple2:
      case kTuple3:
        return push(popped(opcode - kTuple1 + 1));
      case kTuple:
        return push(popped_to_mark());
      case kEmptyDict:
        return push(Dict());
      case kSetItem:
        return set_items(popped(2));
      case kSetItems:
        return set_items(popped_to_mark());
      case kBinPut:
        return memoize(number(1));
      case kLongBinPut:
        return memoize(number(4));
      case kBinGet:
        return recall(number(1));
      case kLongBinGet:
        return recall(number(4));
      case kGlobal:
        return global();
      case kBinPersId:
        return persistent();
      case kReduce:
        return reduce();
      case kBuild:
        return build();
      default:
        fail("the opcode " + opcode_name(opcode) + ", which tensors do not need");
    }
  }

  // ── Bytes ──

  uint8_t byte() { return static_cast<uint8_t>(take(1)[0]); }

  std::string_view take(size_t count) {
    if (count > rest_.size()) fail("an end in the middle of it");
    const std::string_view taken = rest_.substr(0, count);
    rest_.remove_prefix(count);
    return taken;
  }

  uint64_t number(size_t bytes) {
    uint64_t number = 0, shift = 0;
    for (const char c : take(bytes)) {
      number |= uint64_t{static_cast<uint8_t>(c)} << shift;
      shift += 8;
    }
    return number;
  }

  int64_t long_number(size_t bytes) {
    if (bytes > 8) fail("a number of more than 64 bits");
    const uint64_t bits = number(bytes);
    const bool negative = bytes > 0 && bytes < 8 && (bits >> (8 * bytes - 1)) != 0;
    return static_cast<int64_t>(negative ? bits | (~uint64_t{0} << (8 * bytes)) : bits);
  }

  std::string text(size_t bytes) {
    std::string text(take(bytes));
    if (!json::is_utf8(text)) fail("a string that is not UTF-8");
    return text;
  }

  std::string line() {
    const size_t end = rest_.find('\n');
    if (end == std::string_view::npos) fail("an end in the middle of it");
    std::string line(take(end));
    take(1);
    return line;
  }

  // ── Stack and memo ──

  template <typename T>
  void push(T value) {
    if (values_.size() >= kMaxValues) fail("more values than a state dict has");
    push_ref(&values_.emplace_back(Value{std::move(value)}));
  }

  void push_ref(Value* value) {
    if (stack_.size() >= kMaxValues) fail("more values than a state dict has");
    stack_.push_back(value);
  }

  size_t floor() const { return marks_.empty() ? 0 : marks_.back(); }

  Value* top() {
    if (stack_.size() <= floor()) fail("an empty stack where a value is needed");
    return stack_.back();
  }

  Value* pop() {
    Value* value = top();
    stack_.pop_back();
    return value;
  }

  Tuple popped(size_t count) {
    if (stack_.size() - floor() < count) fail("an empty stack where a value is needed");
    Tuple values(stack_.end() - static_cast<ptrdiff_t>(count), stack_.end());
    stack_.resize(stack_.size() - count);
    return values;
  }

  Tuple popped_to_mark() {
    if (marks_.empty()) fail("no mark where one is needed");
    Tuple values = popped(stack_.size() - marks_.back());
    marks_.pop_back();
    return values;
  }

  void memoize(uint64_t index) {
    memo_[index] = top();
    if (memo_.size() > kMaxValues) fail("more values than a state dict has");
  }

  void recall(uint64_t index) {
    const auto found = memo_.find(index);
    if (found == memo_.end()) fail("a memo that was never written");
    push_ref(found->second);
  }

  // ── What makes something ──

  void set_items(const Tuple& items) {
    Dict* dict = std::get_if<Dict>(&top()->is);
    if (dict == nullptr || items.size() % 2 != 0) fail("items for what is no dictionary");
    for (size_t i = 0; i < items.size(); i += 2) dict->emplace_back(items[i], items[i + 1]);
  }

  void global() {
    const std::string module = line();
    const std::string name = module + "." + line();
    for (const KnownGlobal& known : kGlobals) {
      if (known.name == name) return push(&known);
    }
    fail("the global " + quoted(name) + ", which tensors do not need");
  }

  // ("storage", type, key, location, size), as torch.save stands for the bytes that lie beside the pickle.
  void persistent() {
    const Value* id = pop();
    const Tuple* parts = id->get<Tuple>();
    const auto part = [parts](size_t i) {
      return parts != nullptr && parts->size() == 5 ? (*parts)[i] : nullptr;
    };
    const std::string* tag = part(0) ? part(0)->get<std::string>() : nullptr;
    const auto* type = part(1) ? part(1)->get<const KnownGlobal*>() : nullptr;
    const std::string* key = part(2) ? part(2)->get<std::string>() : nullptr;
    const int64_t* size = part(4) ? part(4)->get<int64_t>() : nullptr;
    if (tag == nullptr || *tag != "storage" || type == nullptr || (*type)->global != Global::kStorage ||
        key == nullptr || size == nullptr || *size < 0) {
      fail("a persistent id that names no storage");
    }
    push(Storage{*key, (*type)->dtype, *size});
  }

  void reduce() {
    const Value* popped_arguments = pop();
    const Value* callee = pop();
    const Tuple* arguments = popped_arguments->get<Tuple>();
    const auto* function = callee->get<const KnownGlobal*>();
    if (arguments == nullptr || function == nullptr) fail("a call of what is no function");
    switch ((*function)->global) {
      case Global::kOrderedDict:
        if (!arguments->empty()) fail("an OrderedDict with arguments");
        return push(Dict());
      case Global::kRebuildTensor:
        return push(rebuild_tensor(*arguments));
      case Global::kRebuildParameter: {
        const PickledTensor* tensor =
            arguments->size() == 3 ? (*arguments)[0]->get<PickledTensor>() : nullptr;
        if (tensor == nullptr) fail("a parameter that holds no tensor");
        return push(*tensor);
      }
      case Global::kStorage:
        break;
    }
    fail("a call of " + std::string((*function)->name));
  }

  // storage, offset, sizes, strides, requires_grad, hooks and, for a conjugate view, more.
  static PickledTensor rebuild_tensor(const Tuple& arguments) {
    if (arguments.size() != 6) fail("a tensor of a kind that no model here has");
    const Storage* storage = arguments[0]->get<Storage>();
    const int64_t* offset = arguments[1]->get<int64_t>();
    if (storage == nullptr || offset == nullptr || *offset < 0) fail("a tensor without a storage");
    const Dict* hooks = arguments[5]->get<Dict>();
    if (hooks == nullptr || !hooks->empty()) fail("a tensor with hooks");
    PickledTensor tensor{storage->key,
                         storage->dtype,
                         storage->size,
                         *offset,
                         integers(*arguments[2], "a tensor with a size"),
                         integers(*arguments[3], "a tensor with a stride")};
    check_view(tensor);
    return tensor;
  }

  // A state dict has attributes (`_metadata`: versions of modules), which hold nothing that a model learned.
  void build() {
    pop();
    if (top()->get<Dict>() == nullptr) fail("attributes of what is no dictionary");
  }

  std::string_view rest_;
  // A deque, so that values stay where they are; nothing in it owns another, so that a dictionary may hold
  // itself.
  std::deque<Value> values_;
  std::vector<Value*> stack_;
  std::vector<size_t> marks_;
  std::unordered_map<uint64_t, Value*> memo_;
};

}  // namespace

std::vector<std::pair<std::string, PickledTensor>> read_state_dict(std::string_view pickle) {
  Machine machine(pickle);
  const Dict* dict = machine.run().get<Dict>();
  if (dict == nullptr) fail("no dictionary of tensors");
  std::vector<std::pair<std::string, PickledTensor>> tensors;
  std::set<std::string_view> names;
  for (const auto& [key, value] : *dict) {
    const std::string* name = key->get<std::string>();
    if (name == nullptr) fail("a dictionary whose keys are not names");
    const PickledTensor* tensor = value->get<PickledTensor>();
    if (tensor == nullptr) fail("under " + quoted(*name) + " something that is no tensor");
    if (!names.insert(*name).second) fail("the tensor " + quoted(*name) + " twice");
    tensors.emplace_back(*name, *tensor);
  }
  return tensors;
}

}  // namespace electra
