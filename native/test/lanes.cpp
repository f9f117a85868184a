// The queue of a lane, the readers and the packing without Node, for the sanitizers: what the JavaScript
// thread does, this does in a loop of its own.
//
//   electra_lanes LIBTORCH FAKE_CORE               lanes, closed and stopped in every state
//   electra_lanes LIBTORCH CORE CHECKPOINT…        each read and scored by two lanes at once; rows as alone
//
// Prints nothing and ends with 0, or says what does not hold.
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "addon/inference_thread.h"
#include "core/cpu/team.h"

using namespace electra;

namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

constexpr std::chrono::minutes kPatience{2};

void require(bool holds, const std::string& what) {
  if (holds) return;
  std::fprintf(stderr, "does not hold: %s\n", what.c_str());
  std::exit(1);
}

// Where results arrive, each once.
class Answers {
 public:
  std::shared_ptr<Outbox> outbox() const { return outbox_; }

  uint64_t next_id() { return ++ids_; }

  Result wait_for(uint64_t id) {
    while (!results_.contains(id)) take();
    return results_.extract(id).mapped();
  }

  const Fault wait_for_fault(uint64_t id) {
    const Result result = wait_for(id);
    require(std::holds_alternative<Fault>(result), "call " + std::to_string(id) + " fails");
    return std::get<Fault>(result);
  }

 private:
  void take() {
    std::unique_lock lock(mutex_);
    require(woken_.wait_for(lock, kPatience, [this] { return awake_; }), "an answer comes");
    awake_ = false;
    lock.unlock();
    for (Message& message : outbox_->take()) {
      const bool added = results_.emplace(message.id, std::move(message.result)).second;
      require(added && answered_.emplace(message.id, true).second, "a call is answered once");
    }
  }

  std::mutex mutex_;
  std::condition_variable woken_;
  bool awake_ = false;
  std::shared_ptr<Outbox> outbox_ = std::make_shared<Outbox>([this] {
    const std::lock_guard lock(mutex_);
    awake_ = true;
    woken_.notify_all();
  });
  uint64_t ids_ = 0;
  std::map<uint64_t, Result> results_;
  std::map<uint64_t, bool> answered_;
};

class Lane {
 public:
  Lane(Answers& answers, const LoadSpec& spec)
      : answers_(answers),
        id_(answers.next_id()),
        thread_(std::make_unique<InferenceThread>(id_, "lane", answers.outbox())) {
    const uint64_t call = answers.next_id();
    thread_->submit(call, [spec](CoreModel& model, const electra_stop& stop) -> Result {
      return model.load(spec, stop);
    });
    const Result result = answers.wait_for(call);
    if (const Fault* fault = std::get_if<Fault>(&result)) require(false, fault->what());
    info_ = std::get<electra_model_info>(result);
  }

  const electra_model_info& info() const { return info_; }
  InferenceThread& thread() { return *thread_; }
  uint64_t id() const { return id_; }

  // The number of the call, or 0 where the lane takes no more.
  uint64_t forward(const Batch& batch) {
    const uint64_t call = answers_.next_id();
    const auto taken = thread_->submit(call, [batch](CoreModel& model, const electra_stop& stop) -> Result {
      return model.forward(batch, stop);
    });
    return taken == InferenceThread::Taken::kYes ? call : 0;
  }

  void end() {
    require(std::holds_alternative<LaneEnded>(answers_.wait_for(id_)), "a lane says that it has ended");
    require(thread_->join_until(Clock::now() + kPatience), "a lane that has ended is joined");
  }

  void drop() { thread_.reset(); }

 private:
  Answers& answers_;
  uint64_t id_;
  std::unique_ptr<InferenceThread> thread_;
  electra_model_info info_{};
};

LoadSpec fake(const std::string& script) {
  LoadSpec spec;
  spec.path = "/fake";
  spec.config = script;
  spec.device = "cpu";
  return spec;
}

const Batch one_row{{3, 4}, {0, 2}, std::nullopt};

void wait_until_there(const fs::path& file) {
  const auto deadline = Clock::now() + kPatience;
  while (!fs::exists(file)) {
    require(Clock::now() < deadline, file.string() + " comes");
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

void open_gate(const fs::path& gate) { std::ofstream(gate) << "open"; }

// ── The queue, on the fake core ───────────────────────────────────────────────────────────────────────────

void answer_each_once(Answers& answers) {
  std::vector<std::unique_ptr<Lane>> lanes;
  for (int i = 0; i < 4; ++i) lanes.push_back(std::make_unique<Lane>(answers, fake("")));
  std::map<uint64_t, int32_t> calls;
  for (int32_t i = 0; i < 2000; ++i) {
    calls.emplace(lanes[static_cast<size_t>(i) % lanes.size()]->forward({{i, 1}, {0, 2}, std::nullopt}), i);
  }
  for (const auto& [call, i] : calls) {
    const Result result = answers.wait_for(call);
    require(std::get<Logits>(result) == Logits{static_cast<float>(i + 1), 2, -1}, "an answer is its own");
  }
  for (const auto& lane : lanes) {
    const uint64_t closed = answers.next_id();
    require(lane->thread().close(closed), "a lane that runs can be closed");
    answers.wait_for(closed);
    require(lane->forward(one_row) == 0, "a closed lane takes no work");
    lane->end();
  }
}

void close_while_busy(Answers& answers, const fs::path& gate) {
  Lane lane(answers, fake("forward=gate:" + gate.string()));
  const uint64_t running = lane.forward(one_row);
  wait_until_there(gate.string() + ".entered");
  std::vector<uint64_t> queued;
  for (int i = 0; i < 50; ++i) queued.push_back(lane.forward(one_row));
  const uint64_t first = answers.next_id(), second = answers.next_id();
  lane.thread().close(first);
  lane.thread().close(second);
  for (const uint64_t call : queued) {
    require(answers.wait_for_fault(call).code() == std::string("CLOSED"), "what is queued is rejected");
  }
  open_gate(gate);
  require(std::holds_alternative<Logits>(answers.wait_for(running)), "what runs is finished");
  answers.wait_for(first);
  answers.wait_for(second);
  lane.end();
}

void stop_while_busy(Answers& answers, const fs::path& gate) {
  Lane lane(answers, fake("forward=gate:" + gate.string()));
  const uint64_t running = lane.forward(one_row);
  wait_until_there(gate.string() + ".entered");
  lane.thread().stop();
  require(answers.wait_for_fault(running).code() == std::string("CLOSED"), "what runs is stopped");
  lane.end();
}

void drop_while_busy(Answers& answers, const fs::path& gate) {
  Lane lane(answers, fake("forward=gate:" + gate.string()));
  const uint64_t running = lane.forward(one_row), queued = lane.forward(one_row);
  wait_until_there(gate.string() + ".entered");
  lane.drop();
  require(answers.wait_for_fault(queued).code() == std::string("CLOSED"), "what is queued is rejected");
  open_gate(gate);
  require(std::holds_alternative<Logits>(answers.wait_for(running)), "what runs is finished");
  require(std::holds_alternative<LaneEnded>(answers.wait_for(lane.id())), "a dropped lane ends");
}

// The thread outlives its lane and the outbox, and must touch neither.
void leave_behind(const fs::path& gate, const fs::path& freed) {
  auto answers = std::make_unique<Answers>();
  auto lane =
      std::make_unique<Lane>(*answers, fake("forward=deaf:" + gate.string() + " freed=" + freed.string()));
  lane->forward(one_row);
  wait_until_there(gate.string() + ".entered");
  lane->thread().stop();
  require(!lane->thread().join_until(Clock::now()), "a lane that hears nothing is left behind");
  answers->outbox()->close();
  lane.reset();
  answers.reset();
  open_gate(gate);
  wait_until_there(freed);
}

void test_queue() {
  const fs::path scratch =
      fs::temp_directory_path() / ("electra-lanes-" + std::to_string(std::rand()) + "-" +
                                   std::to_string(Clock::now().time_since_epoch().count()));
  fs::create_directory(scratch);
  Answers answers;
  answer_each_once(answers);
  close_while_busy(answers, scratch / "close");
  stop_while_busy(answers, scratch / "stop");
  drop_while_busy(answers, scratch / "drop");
  leave_behind(scratch / "leave", scratch / "freed");
  for (const char* script : {"forward=throw", "forward=throw_number", "forward=6"}) {
    Lane lane(answers, fake(script));
    answers.wait_for_fault(lane.forward(one_row));
    lane.thread().close();
    lane.end();
  }
  fs::remove_all(scratch);
}

// Plain memory, which members hand to each other by the barrier alone, and the caller by run() alone.
void test_team() {
  for (const int size : {1, 2, 5}) {
    cpu::Team team(size);
    cpu::Barrier barrier(size);
    std::vector<int> written(static_cast<size_t>(size)), read(written);
    for (int round = 0; round < 200; ++round) {
      auto work = [&](int member) {
        for (int step = 0; step < 3; ++step) {
          written[static_cast<size_t>(member)] = 3 * round + step;
          barrier.wait();
          read[static_cast<size_t>(member)] = written[static_cast<size_t>((member + 1) % size)];
          barrier.wait();
        }
      };
      team.run(work);
      require(read == std::vector<int>(static_cast<size_t>(size), 3 * round + 2),
              "a barrier parts the steps");
    }
  }
}

// ── Readers and packing, on a real core ───────────────────────────────────────────────────────────────────

// Rows of these lengths, of ids that differ.
Batch rows_of(const std::vector<int32_t>& lengths, int32_t vocab_size) {
  Batch batch;
  batch.cu_seqlens = {0};
  uint32_t state = 1;
  for (const int32_t length : lengths) {
    for (int32_t i = 0; i < length; ++i) {
      state = state * 1664525 + 1013904223;
      batch.input_ids.push_back(static_cast<int32_t>(state >> 8) % vocab_size);
    }
    batch.cu_seqlens.push_back(batch.cu_seqlens.back() + length);
  }
  return batch;
}

Batch row_of(const Batch& batch, size_t row) {
  const auto ids = batch.input_ids.begin();
  const int32_t begin = batch.cu_seqlens[row], end = batch.cu_seqlens[row + 1];
  return {{ids + begin, ids + end}, {0, end - begin}, std::nullopt};
}

std::string text_of(const fs::path& file) {
  std::ifstream stream(file);
  return {std::istreambuf_iterator<char>(stream), {}};
}

fs::path weights_of(const fs::path& folder) {
  for (const char* name : {"model.safetensors", "model.safetensors.index.json", "pytorch_model.bin",
                           "pytorch_model.bin.index.json"}) {
    if (fs::exists(folder / name)) return folder / name;
  }
  require(false, folder.string() + " has weights");
  return {};
}

void test_checkpoint(Answers& answers, const fs::path& folder, int32_t dtype) {
  LoadSpec spec;
  spec.path = weights_of(folder).string();
  spec.config = text_of(folder / "config.json");
  spec.device = "cpu";
  spec.dtype = dtype;
  spec.threads = 2;
  Lane first(answers, spec), second(answers, spec);
  const int32_t longest = first.info().max_position_embeddings;
  const std::vector<std::vector<int32_t>> shapes = {
      {1}, {longest}, {1, longest, 2, longest / 2}, std::vector<int32_t>(40, 3), {longest, longest, 1}};
  for (const std::vector<int32_t>& lengths : shapes) {
    const Batch batch = rows_of(lengths, first.info().vocab_size);
    const uint64_t a = first.forward(batch), b = second.forward(batch);
    const Logits together = std::get<Logits>(answers.wait_for(a));
    require(std::get<Logits>(answers.wait_for(b)) == together, "two lanes give the same bits");
    const size_t labels = together.size() / lengths.size();
    for (size_t row = 0; row < lengths.size(); ++row) {
      const Logits alone = std::get<Logits>(answers.wait_for(second.forward(row_of(batch, row))));
      require(std::memcmp(alone.data(), together.data() + row * labels, labels * sizeof(float)) == 0,
              "a row of " + folder.string() + " has the same bits alone and in a batch");
    }
  }
  Batch wrong = one_row;
  wrong.input_ids[1] = first.info().vocab_size;
  require(answers.wait_for_fault(first.forward(wrong)).code() == std::string(Fault::kOutOfRange),
          "an id beyond the vocabulary is refused");
  for (Lane* lane : {&first, &second}) {
    lane->thread().close();
    lane->end();
  }
}

}  // namespace

int main(int count, char** arguments) {
  require(count >= 3, "electra_lanes LIBTORCH CORE [CHECKPOINT…]");
  open_core(arguments[1], arguments[2]);
  if (count == 3) {
    test_queue();
    test_team();
  }
  Answers answers;
  for (int i = 3; i < count; ++i) {
    for (const int32_t dtype : {ELECTRA_FP32, ELECTRA_BF16, ELECTRA_INT8}) {
      test_checkpoint(answers, arguments[i], dtype);
    }
  }
  return 0;
}
