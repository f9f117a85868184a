// What JavaScript gets from `electra_classifier.node`: the exports of binding.d.ts.
#include <napi.h>

#include <algorithm>
#include <cstring>
#include <memory>

#include "addon/model.h"
#include "platform.h"

namespace electra {

namespace {

Napi::Value core_info_object(Napi::Env env, Result& result) {
  const CoreInfo& core = std::get<CoreInfo>(result);
  Napi::Array devices = Napi::Array::New(env);
  for (const auto& [name, description] : core.devices) {
    Napi::Object device = Napi::Object::New(env);
    device.Set("name", name);
    device.Set("description", description);
    devices.Set(devices.Length(), device);
  }
  Napi::Object object = Napi::Object::New(env);
  object.Set("torch_version", core.torch_version);
  object.Set("devices", devices);
  if (!core.cuda_unavailable.empty()) object.Set("cuda_unavailable", core.cuda_unavailable);
  return object;
}

Napi::Value files_array(Napi::Env env, Result& result) {
  Napi::Array array = Napi::Array::New(env);
  for (const ArchiveFile& file : std::get<std::vector<ArchiveFile>>(result)) {
    auto bytes = Napi::Uint8Array::New(env, file.bytes.size());
    if (!file.bytes.empty()) std::memcpy(bytes.Data(), file.bytes.data(), file.bytes.size());
    Napi::Object object = Napi::Object::New(env);
    object.Set("name", file.name);
    object.Set("bytes", bytes);
    array.Set(array.Length(), object);
  }
  return array;
}

Napi::Value open(const Napi::CallbackInfo& info) {
  const std::string libtorch_lib = string_argument(info[0], "open: libtorch_lib");
  const std::string core = string_argument(info[1], "open: core");
  return Environment::of(info.Env())
      .promise_on_own_thread(
          "electra-open",
          [=](CoreModel&, const electra_stop&) -> Result { return open_core(libtorch_lib, core); },
          core_info_object);
}

Napi::Value export_archive(const Napi::CallbackInfo& info) {
  const LoadSpec spec = load_spec_argument(info[0], "exportArchive");
  if (spec.kind != ELECTRA_CHECKPOINT) {
    throw Napi::TypeError::New(info.Env(), "exportArchive: spec.kind must be 'checkpoint', got 'archive'");
  }
  const std::string out = string_argument(info[1], "exportArchive: out");
  if (!info[2].IsArray()) refuse(info[2], "exportArchive: files", "an array");
  const Napi::Array array = info[2].As<Napi::Array>();
  const auto files = std::make_shared<std::vector<ArchiveFile>>();
  for (uint32_t i = 0; i < array.Length(); ++i) {
    const std::string what = "exportArchive: files[" + std::to_string(i) + "]";
    const Napi::Value file = array.Get(i);
    if (!file.IsObject()) refuse(file, what, "an object");
    const Napi::Value bytes = file.As<Napi::Object>().Get("bytes");
    if (!bytes.IsTypedArray() || bytes.As<Napi::TypedArray>().TypedArrayType() != napi_uint8_array) {
      refuse(bytes, what + ".bytes", "a Uint8Array");
    }
    const auto view = bytes.As<Napi::Uint8Array>();
    const auto* first = reinterpret_cast<const std::byte*>(view.Data());
    files->push_back({string_argument(file.As<Napi::Object>().Get("name"), what + ".name"),
                      std::vector<std::byte>(first, first + view.ElementLength())});
  }
  return Environment::of(info.Env())
      .promise_on_own_thread(
          "electra-export",
          [=](CoreModel&, const electra_stop& stop) -> Result {
            electra::export_archive(spec, out, *files, stop);
            return Done();
          },
          nullptr);
}

Napi::Value read_archive(const Napi::CallbackInfo& info) {
  const std::string path = string_argument(info[0], "readArchive: path");
  return Environment::of(info.Env())
      .promise_on_own_thread(
          "electra-read",
          [=](CoreModel&, const electra_stop&) -> Result { return electra::read_archive(path); },
          files_array);
}

Napi::Value cpu_info(const Napi::CallbackInfo& info) {
  const platform::Cpu cpu = platform::cpu();
  // A limit is named only where it is what makes the number smaller than the machine.
  int threads = cpu.physical_cores;
  const char* rule = "physical cores";
  if (cpu.affinity < threads) {
    threads = cpu.affinity;
    rule = "cpu affinity";
  }
  if (cpu.cgroup_quota && *cpu.cgroup_quota < threads) {
    threads = *cpu.cgroup_quota;
    rule = "cgroup quota";
  }
  Napi::Array features = Napi::Array::New(info.Env());
  for (const std::string& feature : cpu.features) features.Set(features.Length(), feature);
  Napi::Object object = Napi::Object::New(info.Env());
  object.Set("threads", threads);
  object.Set("rule", rule);
  if (cpu.cgroup_quota) object.Set("cgroup_quota", *cpu.cgroup_quota);
  object.Set("cpu_affinity", cpu.affinity);
  object.Set("physical_cores", cpu.physical_cores);
  object.Set("features", features);
  object.Set("model", cpu.model);
  return object;
}

Napi::Value shutdown(const Napi::CallbackInfo& info) {
  Environment::of(info.Env()).shutdown();
  Environment::of(info.Env()).settle_all();
  return info.Env().Undefined();
}

Napi::Object init(Napi::Env env, Napi::Object exports) {
  const Napi::Function model = Model::define(env);
  // Owned by the environment of Node, which deletes it after the cleanup hooks have run.
  env.SetInstanceData(std::make_unique<Environment>(env, model).release());
  exports.Set("Model", model);
  exports.Set("open", Napi::Function::New<open>(env, "open"));
  exports.Set("exportArchive", Napi::Function::New<export_archive>(env, "exportArchive"));
  exports.Set("readArchive", Napi::Function::New<read_archive>(env, "readArchive"));
  exports.Set("cpuInfo", Napi::Function::New<cpu_info>(env, "cpuInfo"));
  exports.Set("shutdown", Napi::Function::New<shutdown>(env, "shutdown"));
  return exports;
}

}  // namespace

}  // namespace electra

// At the top, because the macro defines functions that Node looks up by their C names.
using electra::init;
NODE_API_MODULE(electra_classifier, init)
