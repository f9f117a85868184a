// All of the CUDA engine that is not a CUDA call, on a card that is none: the choice of shapes, how a batch
// is staged, graphs that are captured, replayed, missed and given up, errors; and that the packed algorithm
// gives the electra engine's logits.
//
//   electra_gpu_logic FOLDER...     with config.json and model.safetensors, or an archive model.pt
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <c10/core/InferenceMode.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <random>
#include <string>

#include "core/checkpoint/weights.h"
#include "core/electra_engine.h"
#include "core/gpu/cuda_library.h"
#include "core/gpu/gpu_engine.h"
#include "core/gpu/ladder.h"
#include "core/gpu/staging.h"
#include "core/script_engine.h"
#include "fake_gpu.h"

namespace electra::test {

namespace {

int failures = 0;

void check(bool holds, const std::string& what) {
  if (holds) return;
  ++failures;
  std::printf("FAILED: %s\n", what.c_str());
}

// The message of the CoreError that `work` must throw, or "".
std::string thrown(int32_t code, const std::function<void()>& work) {
  try {
    work();
  } catch (const CoreError& error) {
    check(error.code() == code, "the code is " + std::to_string(error.code()) + ": " + error.what());
    return error.what();
  } catch (const std::exception& error) {
    check(false, std::string("no CoreError: ") + error.what());
    return "";
  }
  check(false, "nothing was thrown");
  return "";
}

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

struct Rows {
  std::vector<int32_t> ids, offsets, types;
  Batch batch() const { return {ids, offsets, types}; }
};

Rows random_rows(std::mt19937& random, const ModelLimits& limits, int64_t rows, bool types) {
  Rows made;
  made.offsets.push_back(0);
  for (int64_t row = 0; row < rows; ++row) {
    const int64_t longest = std::min<int64_t>(limits.max_position_embeddings, 40);
    for (int64_t i = random() % longest; i >= 0; --i) {
      made.ids.push_back(static_cast<int32_t>(random() % limits.vocab_size));
      if (types) made.types.push_back(static_cast<int32_t>(random() % limits.type_vocab_size));
    }
    made.offsets.push_back(static_cast<int32_t>(made.ids.size()));
  }
  return made;
}

void test_ladder() {
  for (const auto& [max_tokens, max_length] :
       {std::pair{16384, 512}, {1024, 512}, {300, 512}, {16384, 64}, {7, 512}}) {
    const std::vector<Bucket> buckets = ladder(max_tokens, max_length);
    const std::string name = "ladder of " + std::to_string(max_tokens) + " and " + std::to_string(max_length);
    check(buckets.front().tokens == max_tokens, name + " begins with the largest");
    for (size_t i = 0; i < buckets.size(); ++i) {
      const Bucket& bucket = buckets[i];
      check(bucket.longest <= std::min(max_length, max_tokens) && bucket.rows <= bucket.tokens,
            name + " fits the model");
      if (i > 0) check(bucket.tokens <= buckets[i - 1].tokens && bucket != buckets[i - 1], name + " falls");
    }
    check(buckets.size() <= 60, name + " is short enough to be captured while somebody waits");
    std::mt19937 random(1);
    for (int i = 0; i < 2000; ++i) {
      // A full batch, or any smaller one, of rows of 16 tokens and more on average.
      const int64_t tokens = 1 + static_cast<int64_t>(random()) % max_tokens;
      const int64_t rows = std::max<int64_t>(1, static_cast<int64_t>(random()) % (tokens / 16 + 1));
      const int64_t longest = std::min<int64_t>(max_length, tokens - rows + 1);
      if (longest * rows < tokens) continue;
      const int64_t index = choose_bucket(buckets, {tokens, rows, longest});
      check(index >= 0, name + " has a bucket for every ordinary batch");
      if (index < 0) return;
      const Bucket& chosen = buckets[static_cast<size_t>(index)];
      check(chosen.holds({tokens, rows, longest}), name + ": the chosen one holds the batch");
      if (tokens > 32) check(chosen.tokens < 2 * tokens, name + ": less than half of it is waste");
    }
  }
  const std::vector<Bucket> some = {{512, 32, 128}, {512, 32, 512}, {128, 1, 128}, {128, 8, 64}};
  check(choose_bucket(some, {100, 1, 100}) == 2, "one row takes the bucket of one row");
  check(choose_bucket(some, {100, 2, 60}) == 3, "two rows the one with room for them");
  check(choose_bucket(some, {100, 2, 80}) == 0, "a long row the one with the fewest blocks");
  check(choose_bucket(some, {300, 2, 200}) == 1, "a longer row the one that has it");
  check(choose_bucket(some, {513, 2, 2}) == -1 && choose_bucket(some, {64, 33, 2}) == -1 &&
            choose_bucket({}, {1, 1, 1}) == -1,
        "what fits nowhere is a miss");
}

void test_staging() {
  const Rows rows{{5, 6, 7, 8, 9}, {0, 2, 5}, {0, 1, 1, 0, 1}};
  check(shape_of(rows.batch()) == Bucket{5, 2, 3}, "the shape of a batch");
  const Bucket bucket{40, 4, 8};
  const StagingLayout layout(bucket);
  check(layout.position_ids == 64 && layout.token_type_ids == 128 && layout.cu_seqlens == 192 &&
            layout.size == 224,
        "each part begins at a multiple of 128 bytes");
  std::vector<int32_t> block(static_cast<size_t>(layout.size), -1), expected(block.size(), 0);
  stage(rows.batch(), bucket, block);
  const auto put = [&](int64_t at, const std::vector<int32_t>& values) {
    std::copy(values.begin(), values.end(), expected.begin() + at);
  };
  put(0, {5, 6, 7, 8, 9});
  put(64, {0, 1, 0, 1, 2});
  put(128, {0, 1, 1, 0, 1});
  put(192, {0, 2, 5, 5, 5});
  check(block == expected,
        "a batch is staged with zeros behind its tokens and its last offset behind its rows");
}

void test_graph_cache() {
  const std::vector<Bucket> buckets = {{64, 4, 32}, {32, 2, 32}, {16, 1, 16}};
  const Stop stop(nullptr);
  int computed = 0;
  const auto compute = [&](const Bucket& bucket) {
    ++computed;
    return at::full({bucket.rows, 2}, static_cast<double>(computed));
  };
  {
    FakeCard card;
    FakeGpu gpu(card);
    GraphCache cache;
    cache.capture(gpu, buckets, compute, stop);
    check(cache.size() == 3 && computed == 3 + 1 + 1 + 1 + 1 + 1,
          "three warm-ups of the first, one of the others");
    check(cache.note().starts_with("Captured 3 of 3 CUDA graphs in 0.") &&
              cache.note().ends_with("with 3 MB of the card's memory."),
          "the note says what capturing cost: " + cache.note());
    const GraphCache::Captured* found = cache.find({20, 2, 10});
    check(found != nullptr && found->bucket == buckets[1], "a batch finds its graph");
    check(cache.find({65, 1, 1}) == nullptr && cache.hits() == 1 && cache.misses() == 1, "a miss is counted");
    if (found != nullptr) cache.give_up(*found, "it was wrong");
    found = cache.find({20, 2, 10});
    check(cache.size() == 2 && found != nullptr && found->bucket == buckets[0],
          "one that was given up is not found again");
  }
  {
    FakeCard card;
    card.out_of_memory_at_captures = {1, 2};
    FakeGpu gpu(card);
    GraphCache cache;
    cache.capture(gpu, buckets, compute, stop);
    check(cache.size() == 1 && cache.find({16, 1, 16}) != nullptr && card.releases == 2,
          "without memory for the large ones the small one is captured");
    check(contains(cache.note(), "Captured 1 of 3") && contains(cache.note(), "too little memory"),
          cache.note());
  }
  {
    FakeCard card;
    card.fail_capture = 2;
    FakeGpu gpu(card);
    GraphCache cache;
    cache.capture(gpu, buckets, compute, stop);
    check(cache.size() == 1 && card.captures == 2 && cache.find({64, 1, 1}) != nullptr,
          "after another failure no more is tried");
    check(contains(cache.note(), "run eagerly because operation not permitted"), cache.note());
  }
  {
    FakeCard card;
    card.fail_capture = 1;
    card.fatal = "cudaErrorLaunchFailure";
    FakeGpu gpu(card);
    GraphCache cache;
    bool threw = false;
    try {
      cache.capture(gpu, buckets, compute, stop);
    } catch (const std::runtime_error&) {
      threw = true;
    }
    check(threw, "a lost card ends the capture");
  }
  {
    FakeCard card;
    FakeGpu gpu(card);
    GraphCache cache;
    const electra_stop requested{[](void*) { return 1; }, nullptr};
    thrown(ELECTRA_STOPPED, [&] { cache.capture(gpu, buckets, compute, Stop(&requested)); });
    check(card.captures == 0, "a load that is stopped captures nothing");
  }
  check(GraphCache().note().empty(), "eager warm-up has nothing to say");
}

void test_padded_ladder() {
  for (const auto& [max_tokens, max_length] :
       {std::pair{16384, 512}, {1024, 512}, {300, 512}, {16384, 64}, {7, 512}}) {
    const std::vector<Bucket> buckets = padded_ladder(max_tokens, max_length);
    const std::string name =
        "padded ladder of " + std::to_string(max_tokens) + " and " + std::to_string(max_length);
    for (const Bucket& bucket : buckets) {
      check(bucket.tokens == bucket.rows * bucket.longest && bucket.tokens <= std::min(max_tokens, 4096) &&
                bucket.longest <= max_length,
            name + " has matrices that fit");
    }
    check(!buckets.empty() && buckets.size() <= 40,
          name + " is short enough to be captured while somebody waits");
    for (int64_t length = 1; length <= std::min(max_tokens, max_length); ++length) {
      const int64_t index = choose_bucket(buckets, {length, 1, length});
      check(index >= 0 && buckets[static_cast<size_t>(index)].rows == 1 &&
                buckets[static_cast<size_t>(index)].longest <= std::max<int64_t>(16, 2 * length),
            name + " has a shape for each single row");
    }
  }
}

std::string read_text(const std::string& path) {
  std::ifstream file(path);
  return std::string(std::istreambuf_iterator<char>(file), {});
}

struct Checkpoint {
  ElectraConfig config;
  std::string path;

  explicit Checkpoint(const std::string& folder) : path(folder + "/model.safetensors") {
    config = parse_electra_config(read_text(folder + "/config.json"));
  }
  TensorMap tensors() const { return checked_tensors(config, read_weights(path, Stop(nullptr))); }
  GpuEngine engine(FakeCard& card, const std::vector<Bucket>& buckets) const {
    return {config, tensors(), at::kFloat, std::make_unique<FakeGpu>(card), buckets, Stop(nullptr)};
  }
};

// Ties what runs on a card to what runs on the CPU: only the attention, and the ways to the card, differ.
void test_engine(const std::string& folder) {
  const Checkpoint checkpoint(folder);
  const ModelLimits& limits = checkpoint.config.limits;
  const Stop stop(nullptr);
  ElectraEngine reference(checkpoint.config, checkpoint.tensors(), {at::Device(at::kCPU), at::kFloat}, 1,
                          stop);
  FakeCard card;
  GpuEngine eager = checkpoint.engine(card, {});
  const int64_t longest = std::min<int64_t>(limits.max_position_embeddings, 40);
  GpuEngine graphs = checkpoint.engine(
      card, in_capture_order({{256, 10, longest}, {longest, 1, longest}, {2 * longest, 6, longest}},
                             limits.max_position_embeddings));
  check(graphs.graphs().size() == 3 && eager.graphs().size() == 0,
        folder + ": graphs are captured where asked for");
  const auto equal = [&](const at::Tensor& a, const at::Tensor& b) {
    return a.sizes() == b.sizes() && at::allclose(a, b, 1e-4, 1e-5);
  };
  std::mt19937 random(7);
  Rows full;  // all tokens of a shape, and not all rows: the empty ones begin behind the last token
  for (int64_t i = 0; i < 2 * longest; ++i)
    full.ids.push_back(static_cast<int32_t>(random() % limits.vocab_size));
  full.offsets = {0, static_cast<int32_t>(longest), static_cast<int32_t>(2 * longest)};
  check(equal(graphs.forward(full.batch(), stop), reference.forward(full.batch(), stop)),
        folder + ": a batch that fills a shape's tokens gives the reference's logits");
  for (int i = 0; i < 12; ++i) {
    const Rows rows = random_rows(random, limits, 1 + i % 12, i % 3 == 0);
    const at::Tensor expected = reference.forward(rows.batch(), stop);
    check(equal(eager.forward(rows.batch(), stop), expected),
          folder + ": eager gives the reference's logits");
    check(equal(graphs.forward(rows.batch(), stop), expected),
          folder + ": graphs give the reference's logits");

    const Rows next = random_rows(random, limits, 1 + i % 5, false);
    const int first = graphs.begin(rows.batch(), stop), second = graphs.begin(next.batch(), stop);
    thrown(ELECTRA_FORWARD_FAILED, [&] { graphs.begin(next.batch(), stop); });
    check(graphs.finished(first), folder + ": the first is done");
    check(equal(graphs.finish(first), expected), folder + ": the first of two under way keeps its logits");
    check(equal(graphs.finish(second), reference.forward(next.batch(), stop)),
          folder + ": and so does the second");
  }
  check(graphs.graphs().hits() > 10 && graphs.graphs().misses() > 1, folder + ": there were hits and misses");
  check(graphs.graphs().size() == 3, folder + ": no graph was given up");
  check(eager.graphs().hits() == 0, folder + ": no graph, no hit");
}

void test_failures(const std::string& folder) {
  const Checkpoint checkpoint(folder);
  const Stop stop(nullptr);
  std::mt19937 random(3);
  const Rows rows = random_rows(random, checkpoint.config.limits, 2, false);
  const Bucket bucket = shape_of(rows.batch());
  FakeCard card;
  GpuEngine engine = checkpoint.engine(card, {bucket});
  const at::Tensor expected = engine.forward(rows.batch(), stop);
  check(card.replays == 1, "a graph was replayed");

  card.fail_replay = 2;
  check(at::equal(engine.forward(rows.batch(), stop), expected) && engine.graphs().size() == 0,
        "a replay that fails on a card that goes on is given up, and the batch runs eagerly");

  card.out_of_memory_at_attention = card.attentions + 1;
  const std::string memory = thrown(ELECTRA_OUT_OF_MEMORY, [&] { engine.forward(rows.batch(), stop); });
  check(contains(memory, "5 MB of 80 MB were free") && card.releases == 1,
        "out of memory says how much was free: " + memory);
  check(at::equal(engine.forward(rows.batch(), stop), expected), "and the next batch runs");

  card.fatal = "cudaErrorAssert, device-side assert triggered";
  const std::string lost = thrown(ELECTRA_LOST, [&] { engine.forward(rows.batch(), stop); });
  check(contains(lost, "device-side assert triggered") && contains(lost, "restart the process"), lost);
}

struct Archive {
  std::string path;
  ModelLimits limits;

  explicit Archive(const std::string& folder)
      : path(folder + "/model.pt"), limits(parse_limits(read_text(folder + "/config.json"))) {}
  ScriptEngine on_cpu() const { return {path, limits, at::Device(at::kCPU), at::kFloat}; }
  ScriptEngine on(FakeCard& card, const std::vector<Bucket>& buckets) const {
    return {path, limits, std::make_unique<FakeGpu>(card), at::kFloat, buckets, Stop(nullptr)};
  }
};

bool about_equal(const at::Tensor& a, const at::Tensor& b) {
  return a.sizes() == b.sizes() && at::allclose(a, b, 1e-4, 1e-4);
}

// An archive's own forward, replayed for matrices of padded rows.
void test_archive(const std::string& folder) {
  const Archive archive(folder);
  const Stop stop(nullptr);
  const std::vector<Bucket> buckets = padded_ladder(128, archive.limits.max_position_embeddings);
  FakeCard card;
  ScriptEngine reference = archive.on_cpu(), engine = archive.on(card, buckets);
  check(engine.mixes_lengths() == reference.mixes_lengths(), folder + ": padding means the same on the card");
  if (!engine.mixes_lengths()) {
    check(engine.graphs() == nullptr && card.captures == 0,
          folder + ": nothing is captured where padding counts");
    return;
  }
  const GraphCache& graphs = engine.graphs()->graphs();
  check(graphs.size() == buckets.size() &&
            contains(engine.note(), "Captured " + std::to_string(buckets.size()) + " of "),
        folder + ": every shape is captured: " + engine.note());
  std::mt19937 random(11);
  for (int i = 0; i < 12; ++i) {
    const Rows rows = random_rows(random, archive.limits, 1 + i % 6, false);
    check(about_equal(engine.forward(rows.batch(), stop), reference.forward(rows.batch(), stop)),
          folder + ": graphs give the logits of the archive's forward");
  }
  check(graphs.hits() > 0 && graphs.misses() > 0 && graphs.size() == buckets.size(),
        folder + ": there were hits and misses, and no graph was given up");
}

void test_archive_failures(const std::string& folder) {
  const Archive archive(folder);
  const Stop stop(nullptr);
  const std::vector<Bucket> buckets = {{64, 2, 32}, {32, 1, 32}};
  std::mt19937 random(5);
  const Rows rows = random_rows(random, archive.limits, 1, false);
  ScriptEngine reference = archive.on_cpu();
  const at::Tensor expected = reference.forward(rows.batch(), stop);
  const auto right = [&](ScriptEngine& engine) {
    return about_equal(engine.forward(rows.batch(), stop), expected);
  };
  {
    FakeCard card;
    card.frozen = true;
    ScriptEngine engine = archive.on(card, buckets);
    check(engine.graphs()->graphs().size() == 0 && right(engine),
          "graphs that compute nothing anew are given up");
    check(contains(engine.note(), "Captured 0 of 2") && contains(engine.note(), "others than the forward's"),
          engine.note());
  }
  {
    FakeCard card;
    card.fail_capture = 1;
    ScriptEngine engine = archive.on(card, buckets);
    check(right(engine) && contains(engine.note(), "run eagerly because operation not permitted"),
          "a forward that cannot be captured runs eagerly: " + engine.note());
  }
  FakeCard card;
  ScriptEngine engine = archive.on(card, buckets);
  check(right(engine) && card.replays == 3, "a graph was replayed");
  card.fail_replay = 4;
  check(right(engine) && engine.graphs()->graphs().size() == 1,
        "one whose replay fails is given up, and the next larger serves");
  card.fatal = "cudaErrorAssert, device-side assert triggered";
  const std::string lost = thrown(ELECTRA_LOST, [&] { engine.forward(rows.batch(), stop); });
  check(contains(lost, "restart the process"), lost);
}

void test_status() {
  CudaStatus status;
  status.runtime = 13000;
  check(why_unavailable(status) == "no NVIDIA driver is installed; this libtorch needs one for CUDA 13.0",
        why_unavailable(status));
  status.driver = 12040;
  status.error = "cudaErrorInsufficientDriver";
  check(why_unavailable(status) ==
            "the NVIDIA driver is for CUDA 12.4 and too old; this libtorch needs one for CUDA 13.0",
        why_unavailable(status));
  status.driver = 13010;
  status.error = "cudaErrorNoDevice";
  check(why_unavailable(status) == "no NVIDIA card answers its driver (cudaErrorNoDevice)",
        why_unavailable(status));
  status.cards.push_back({"NVIDIA H200", 9, 0, 138'200'000'000, 150'000'000'000});
  check(why_unavailable(status).empty(), "with a card there is no reason");
  check(describe(status.cards[0], status) ==
            "NVIDIA H200, compute capability 9.0, 138.2 of 150.0 GB free, driver for CUDA 13.1, runtime 13.0",
        describe(status.cards[0], status));
}

}  // namespace

int run(int count, char** arguments) {
  const c10::InferenceMode inference;
  at::set_num_threads(1);
  test_ladder();
  test_staging();
  test_graph_cache();
  test_status();
  prepare_interpreter();
  test_padded_ladder();
  std::vector<std::string> checkpoints, archives;
  for (int i = 1; i < count; ++i) {
    const std::string folder = arguments[i];
    (std::filesystem::exists(folder + "/model.pt") ? archives : checkpoints).push_back(folder);
  }
  for (const std::string& folder : checkpoints) test_engine(folder);
  if (!checkpoints.empty()) test_failures(checkpoints[0]);
  for (const std::string& folder : archives) test_archive(folder);
  if (!archives.empty()) test_archive_failures(archives[0]);
  std::printf("%zu checkpoints, %zu archives, %d failures\n", checkpoints.size(), archives.size(), failures);
  return failures == 0 ? 0 : 1;
}

}  // namespace electra::test

int main(int count, char** arguments) { return electra::test::run(count, arguments); }
