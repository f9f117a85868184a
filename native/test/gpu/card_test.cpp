// What must hold on a card, and what it takes there, through core.h as the addon calls it.
//
//   electra_gpu_test LIBTORCH_LIB CORE LARGE SHIPPED ROWS TRACE
//
// LARGE and SHIPPED: checkpoint folders, the first with random weights of ELECTRA-large's size, the second
// with trained ones. ROWS: token ids, as test/fixtures/tokens has them. TRACE: a folder with model.pt and
// config.json. Without a card it proves what a machine without one must do, and says that the rest was
// skipped. Lines that begin with `measured` are read by report.py.
#include <dlfcn.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <functional>
#include <iterator>
#include <memory>
#include <numeric>
#include <random>

#include "core_client.h"

namespace electra::test {

namespace {

using Clock = std::chrono::steady_clock;
using Logits = std::vector<float>;

int failures = 0;

void check(bool holds, const std::string& what) {
  std::printf("%s  %s\n", holds ? "ok    " : "FAILED", what.c_str());
  std::fflush(stdout);
  if (!holds) ++failures;
}

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

void measured(const std::string& name, double value, const char* unit) {
  std::printf("measured  %s  %.6g  %s\n", name.c_str(), value, unit);
  std::fflush(stdout);
}

std::string number(double value) {
  char text[32];
  std::snprintf(text, sizeof(text), "%.3g", value);
  return text;
}

// Runs a section; what it throws is a failure of it, and the next one runs all the same.
void section(const char* name, const std::function<void()>& run) {
  std::printf("\n%s\n", name);
  const auto start = Clock::now();
  try {
    run();
  } catch (const Failure& failure) {
    check(false,
          std::string(name) + " ended with code " + std::to_string(failure.code) + ": " + failure.what());
  } catch (const std::exception& error) {
    check(false, std::string(name) + " ended with: " + error.what());
  }
  std::printf("        %.1f s\n", seconds_since(start));
}

Failure failure_of(const std::function<void()>& run) {
  try {
    run();
  } catch (const Failure& failure) {
    return failure;
  }
  return {ELECTRA_OK, "nothing was thrown"};
}

std::vector<std::vector<int32_t>> read_rows(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  const std::string bytes(std::istreambuf_iterator<char>(file), {});
  const auto number_at = [&](size_t i) {
    return static_cast<int32_t>(static_cast<uint8_t>(bytes.at(2 * i)) |
                                static_cast<uint8_t>(bytes.at(2 * i + 1)) << 8);
  };
  std::vector<std::vector<int32_t>> rows;
  for (size_t at = 0; 2 * at < bytes.size();) {
    std::vector<int32_t> row(static_cast<size_t>(number_at(at++)));
    for (int32_t& id : row) id = number_at(at++);
    if (!row.empty()) rows.push_back(std::move(row));
  }
  return rows;
}

std::vector<int32_t> random_row(std::mt19937& random, int64_t length) {
  std::vector<int32_t> row(static_cast<size_t>(length));
  for (int32_t& id : row) id = static_cast<int32_t>(1000 + random() % 29000);
  return row;
}

// Rows of like length together, as the scheduler packs them.
std::vector<Rows> packed(std::vector<std::vector<int32_t>> rows, size_t max_tokens) {
  std::stable_sort(rows.begin(), rows.end(),
                   [](const auto& a, const auto& b) { return a.size() < b.size(); });
  std::vector<Rows> batches(1);
  for (const auto& row : rows) {
    if (batches.back().rows() > 0 && batches.back().ids.size() + row.size() > max_tokens)
      batches.emplace_back();
    batches.back().add(row);
  }
  return batches;
}

Logits forward_all(Model& model, const std::vector<Rows>& batches) {
  Logits all;
  for (const Rows& batch : batches) {
    const Logits logits = model.forward(batch);
    all.insert(all.end(), logits.begin(), logits.end());
  }
  return all;
}

double relative_error(const Logits& found, const Logits& expected) {
  double difference = 0, size = 0;
  for (size_t i = 0; i < expected.size(); ++i) {
    difference += std::pow(found[i] - expected[i], 2);
    size += std::pow(expected[i], 2);
  }
  return found.size() == expected.size() && std::isfinite(difference) ? std::sqrt(difference / size)
                                                                      : INFINITY;
}

double agreement(const Logits& a, const Logits& b, int labels) {
  size_t same = 0, rows = a.size() / static_cast<size_t>(labels);
  for (size_t row = 0; row < rows; ++row) {
    const auto label = [&](const Logits& logits) {
      const auto first = logits.begin() + static_cast<int64_t>(row) * labels;
      return std::max_element(first, first + labels) - first;
    };
    same += label(a) == label(b) ? 1 : 0;
  }
  return static_cast<double>(same) / static_cast<double>(rows);
}

const char* name_of(int32_t dtype) {
  return dtype == ELECTRA_BF16 ? "bf16" : dtype == ELECTRA_FP16 ? "fp16" : "fp32";
}

struct Machine {
  const electra_core& core;
  std::string large, shipped, trace;
  std::vector<std::vector<int32_t>> rows;

  std::unique_ptr<Model> load(const Spec& spec) const { return std::make_unique<Model>(core, spec); }
};

Spec with(Spec spec, const char* device, int32_t dtype, int32_t warmup) {
  spec.device = device;
  spec.dtype = dtype;
  spec.warmup = warmup;
  return spec;
}

// Bytes of the card that are free, through the CUDA runtime that libtorch has opened.
size_t free_memory() {
  using Get = int (*)(size_t * free, size_t * total);
  for (const char* name : {"libcudart.so.13", "libcudart.so.12"}) {
    void* const runtime = dlopen(name, RTLD_NOW | RTLD_NOLOAD);
    if (runtime == nullptr) continue;
    size_t free = 0, total = 0;
    reinterpret_cast<Get>(dlsym(runtime, "cudaMemGetInfo"))(&free, &total);
    return free;
  }
  throw std::runtime_error("no CUDA runtime is open");
}

// A kernel that traps: the context is lost for the rest of the process.
void break_card() {
  constexpr const char* kTrap =
      ".version 7.0\n.target sm_80\n.address_size 64\n.visible .entry fault() { trap; }\n";
  void* const driver = dlopen("libcuda.so.1", RTLD_NOW);
  if (driver == nullptr) throw std::runtime_error("libcuda.so.1 cannot be opened");
  const auto load = reinterpret_cast<int (*)(void**, const void*)>(dlsym(driver, "cuModuleLoadData"));
  const auto find =
      reinterpret_cast<int (*)(void**, void*, const char*)>(dlsym(driver, "cuModuleGetFunction"));
  using Launch = int (*)(void*, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, void*,
                         void**, void**);
  const auto launch = reinterpret_cast<Launch>(dlsym(driver, "cuLaunchKernel"));
  void *module = nullptr, *function = nullptr;
  int code = load(&module, kTrap);
  if (code == 0) code = find(&function, module, "fault");
  if (code == 0) code = launch(function, 1, 1, 1, 1, 1, 1, 0, nullptr, nullptr, nullptr);
  if (code != 0) throw std::runtime_error("the trap could not be launched: " + std::to_string(code));
}

void test_without_card(const Machine& machine) {
  const auto start = Clock::now();
  const Failure failure = failure_of([&] { machine.load(checkpoint(machine.shipped)); });
  check(failure.code == ELECTRA_DEVICE_UNAVAILABLE, std::string("cuda:0 is refused: ") + failure.what());
  measured("refusal of cuda:0", seconds_since(start), "s");
}

void test_parity(const Machine& machine) {
  const std::vector<Rows> batches = packed(machine.rows, 2048);
  for (const auto& [name, folder] : {std::pair{"shipped", machine.shipped}, {"large", machine.large}}) {
    const bool trained = folder == machine.shipped;
    const std::vector<Rows> some(batches.begin(),
                                 batches.begin() + (trained ? static_cast<int64_t>(batches.size()) : 6));
    Spec cpu = with(checkpoint(folder), "cpu", ELECTRA_FP32, ELECTRA_WARMUP_EAGER);
    cpu.threads = 16;
    const Logits expected = forward_all(*machine.load(cpu), some);
    for (const int32_t dtype : {ELECTRA_FP32, ELECTRA_FP16, ELECTRA_BF16}) {
      const auto model = machine.load(with(checkpoint(folder), "cuda:0", dtype, ELECTRA_WARMUP_GRAPHS));
      const Logits found = forward_all(*model, some);
      const double error = relative_error(found, expected),
                   same = agreement(found, expected, model->info.num_labels);
      const std::string what = std::string(name) + " in " + name_of(dtype) + ", " +
                               std::to_string(expected.size() / static_cast<size_t>(model->info.num_labels)) +
                               " texts";
      measured("relative error of logits, " + what, error, "");
      measured("label agreement, " + what, same, "");
      check(error < (dtype == ELECTRA_FP32 ? 1e-3 : 4e-2), what + ": logits differ by " + number(error));
      if (trained) check(same >= 0.999, what + ": labels agree in " + number(100 * same) + " %");
    }
  }
}

void test_graphs(const Machine& machine) {
  std::mt19937 random(1);
  Spec spec = with(checkpoint(machine.large), "cuda:0", ELECTRA_BF16, ELECTRA_WARMUP_EAGER);
  const auto eager = machine.load(spec);
  const auto start = Clock::now();
  spec.warmup = ELECTRA_WARMUP_GRAPHS;
  const auto graphs = machine.load(spec);
  const double seconds = seconds_since(start);
  measured("load with graphs, large", seconds, "s");
  std::printf("        %s", graphs->info.notes);
  check(std::string(graphs->info.notes).find("run eagerly") == std::string::npos, "every graph was captured");
  check(seconds <= 10, "load with graphs takes at most 10 s");
  check(graphs->info.overlaps == 1, "two batches may be under way");

  Rows exact;
  for (const int length : {60, 40, 28}) exact.add(random_row(random, length));
  spec.buckets = {{128, 3, 60}};
  const auto captured = machine.load(spec);
  const Logits one = captured->forward(exact), other = eager->forward(exact);
  check(one == other, "a graph of exactly this shape gives eager's bits, relative error " +
                          number(relative_error(one, other)));

  double worst = 0, alone = 0;
  for (int i = 0; i < 200; ++i) {
    Rows rows;
    const int n = 1 + static_cast<int>(random() % 24);
    for (int row = 0; row < n; ++row) rows.add(random_row(random, 3 + static_cast<int64_t>(random() % 100)));
    const Logits together = graphs->forward(rows);
    worst = std::max(worst, relative_error(together, eager->forward(rows)));
    Rows first;
    first.add({rows.ids.begin(), rows.ids.begin() + rows.offsets[1]});
    const Logits expected = graphs->forward(first);
    alone = std::max(
        alone, relative_error({together.begin(), together.begin() + static_cast<int64_t>(expected.size())},
                              expected));
  }
  measured("worst relative error, graphs beside eager", worst, "");
  measured("worst relative error, a row alone beside it in a batch", alone, "");
  check(worst < 4e-2, "graphs give eager's logits, padded shapes included");
  check(alone < 6e-2, "a row alone gives what it gives in a batch");

  Rows a, b;
  for (int i = 0; i < 40; ++i) a.add(random_row(random, 50));
  for (int i = 0; i < 3; ++i) b.add(random_row(random, 20));
  const Logits only_a = graphs->forward(a), only_b = graphs->forward(b);
  bool same = true;
  for (int i = 0; i < 50; ++i) {
    const int32_t first = graphs->begin(a), second = graphs->begin(b);
    same = same && graphs->finish(first, a.rows()) == only_a && graphs->finish(second, b.rows()) == only_b;
  }
  check(same, "two batches under way do not touch each other");
}

void test_memory(const Machine& machine) {
  std::mt19937 random(2);
  const auto model =
      machine.load(with(checkpoint(machine.large), "cuda:0", ELECTRA_BF16, ELECTRA_WARMUP_GRAPHS));
  const auto run = [&](int batches) {
    for (int i = 0; i < batches; ++i) {
      Rows rows;
      const int n = 1 + static_cast<int>(random() % 12);
      for (int row = 0; row < n; ++row) rows.add(random_row(random, 1 + static_cast<int64_t>(random() % 60)));
      const Logits logits = model->forward(rows);
      if (!std::all_of(logits.begin(), logits.end(), [](float x) { return std::isfinite(x); })) {
        throw std::runtime_error("a logit is not a number");
      }
    }
  };
  run(1000);
  const size_t before = free_memory();
  run(9000);
  const size_t after = free_memory();
  const double grown = (static_cast<double>(before) - static_cast<double>(after)) / 1e6;
  measured("growth over 9,000 random batches after 1,000", grown, "MB");
  check(grown <= 64, "device memory is flat");
}

void test_archives(const Machine& machine) {
  Spec spec = checkpoint(machine.trace);
  spec.kind = ELECTRA_ARCHIVE;
  spec.path = machine.trace + "/model.pt";
  const auto on_cpu = machine.load(with(spec, "cpu", ELECTRA_FP32, ELECTRA_WARMUP_EAGER));
  const auto on_card = machine.load(with(spec, "cuda:0", ELECTRA_FP32, ELECTRA_WARMUP_GRAPHS));
  const auto in_bf16 = machine.load(with(spec, "cuda:0", ELECTRA_BF16, ELECTRA_WARMUP_GRAPHS));
  std::printf("        %s", on_card->info.notes);
  std::mt19937 random(3);
  Rows rows;
  for (int row = 0; row < 5; ++row) {
    std::vector<int32_t> ids = random_row(random, 4 + row);
    for (int32_t& id : ids) id %= on_cpu->info.vocab_size;
    rows.add(ids);
  }
  const Logits expected = on_cpu->forward(rows);
  const double fp32 = relative_error(on_card->forward(rows), expected),
               bf16 = relative_error(in_bf16->forward(rows), expected);
  check(fp32 < 1e-3, "a trace made on the CPU gives its logits on the card, relative error " + number(fp32));
  check(bf16 < 0.1, "and in bf16, relative error " + number(bf16));
}

void test_errors(const Machine& machine) {
  const Failure ordinal = failure_of([&] {
    machine.load(with(checkpoint(machine.shipped), "cuda:99", ELECTRA_BF16, ELECTRA_WARMUP_EAGER));
  });
  check(ordinal.code == ELECTRA_DEVICE_UNAVAILABLE, std::string("no such card: ") + ordinal.what());

  const auto model =
      machine.load(with(checkpoint(machine.large), "cuda:0", ELECTRA_BF16, ELECTRA_WARMUP_EAGER));
  std::mt19937 random(4);
  Rows small, huge;
  small.add(random_row(random, 30));
  const Logits before = model->forward(small);
  const std::vector<int32_t> row = random_row(random, 512);
  for (int i = 0; i < 40000; ++i) huge.add(row);
  const Failure memory = failure_of([&] { model->forward(huge); });
  check(memory.code == ELECTRA_OUT_OF_MEMORY, std::string("too large a batch: ") + memory.what());
  check(std::string(memory.what()).find("were free") != std::string::npos, "it says how much was free");
  check(model->forward(small) == before, "the next batch runs as before");

  // Last: nothing runs on the card in this process after it.
  break_card();
  const Failure lost = failure_of([&] { model->forward(small); });
  check(lost.code == ELECTRA_LOST, std::string("a lost card: ") + lost.what());
  check(failure_of([&] { model->forward(small); }).code == ELECTRA_LOST, "it stays lost");
}

double percentile(std::vector<double> values, double p) {
  std::sort(values.begin(), values.end());
  return values[static_cast<size_t>(p * static_cast<double>(values.size() - 1))];
}

void measure(const Machine& machine) {
  std::mt19937 random(5);
  for (const int32_t warmup : {ELECTRA_WARMUP_GRAPHS, ELECTRA_WARMUP_EAGER}) {
    const std::string way = warmup == ELECTRA_WARMUP_GRAPHS ? "graphs" : "eager";
    const auto model = machine.load(with(checkpoint(machine.large), "cuda:0", ELECTRA_BF16, warmup));
    for (const int length : {32, 128}) {
      std::vector<double> times;
      for (int i = 0; i < 1050; ++i) {
        Rows rows;
        rows.add(random_row(random, length));
        const auto start = Clock::now();
        model->forward(rows);
        if (i >= 50) times.push_back(1e3 * seconds_since(start));
      }
      const std::string what = "one text of " + std::to_string(length) + " tokens, " + way;
      measured(what + ", p50", percentile(times, 0.5), "ms");
      measured(what + ", p99", percentile(times, 0.99), "ms");
    }
    const auto sustained = [&](const std::string& what, const std::vector<Rows>& batches,
                               double min_seconds) {
      size_t tokens = 0, rows = 0, next = 0;
      for (int i = 0; i < 4; ++i) model->forward(batches[static_cast<size_t>(i) % batches.size()]);
      const auto start = Clock::now();
      std::pair<int32_t, int64_t> running = {model->begin(batches[0]), batches[0].rows()};
      while (seconds_since(start) < min_seconds || next % batches.size() != 0) {
        const Rows& done = batches[next % batches.size()];
        const Rows& batch = batches[++next % batches.size()];
        const std::pair<int32_t, int64_t> begun = {model->begin(batch), batch.rows()};
        model->finish(running.first, running.second);
        tokens += done.ids.size();
        rows += static_cast<size_t>(done.rows());
        running = begun;
      }
      const double seconds = seconds_since(start);
      model->finish(running.first, running.second);
      measured(what + ", " + way + ", tokens", static_cast<double>(tokens) / seconds, "tokens/s");
      measured(what + ", " + way + ", sequences", static_cast<double>(rows) / seconds, "sequences/s");
    };
    Rows equal;
    for (int i = 0; i < 128; ++i) equal.add(random_row(random, 128));
    sustained("texts of 128 tokens", {equal}, 5);
    sustained("texts of real length", packed(machine.rows, 16384), 5);
  }
}

int run(char** arguments) {
  const electra_core& core = open_core(arguments[1], arguments[2]);
  std::vector<std::string> devices;
  const std::string unavailable = cuda_unavailable(core, devices);
  std::printf("libtorch %s\n", core.torch_version);
  for (const std::string& device : devices) std::printf("%s\n", device.c_str());
  const Machine machine{core, arguments[3], arguments[4], arguments[6], read_rows(arguments[5])};
  if (!unavailable.empty()) {
    section("A machine without a card", [&] { test_without_card(machine); });
    std::printf("\nskipped: parity, graphs, memory, archives, measurements, errors, because %s\n",
                unavailable.c_str());
  } else {
    section("Logits beside fp32 on the CPU", [&] { test_parity(machine); });
    section("Graphs", [&] { test_graphs(machine); });
    section("Times", [&] { measure(machine); });
    section("10,000 random batches", [&] { test_memory(machine); });
    section("Archives", [&] { test_archives(machine); });
    section("Errors", [&] { test_errors(machine); });
  }
  std::printf("\n%s\n", failures == 0 ? "all held" : (std::to_string(failures) + " FAILED").c_str());
  return failures == 0 ? 0 : 1;
}

}  // namespace

}  // namespace electra::test

int main(int count, char** arguments) {
  if (count != 7) {
    std::fputs("usage: electra_gpu_test LIBTORCH_LIB CORE LARGE SHIPPED ROWS TRACE\n", stderr);
    return 2;
  }
  try {
    return electra::test::run(arguments);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
