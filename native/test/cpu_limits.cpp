// Prints what platform::cpu() reads from a machine laid out in a folder: physical cores, then the cgroup
// quota or "none".
#include <cstdio>
#include <string>

#include "platform.h"

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  const electra::platform::Cpu cpu = electra::platform::cpu(argv[1]);
  std::printf("%d %s\n", cpu.physical_cores,
              cpu.cgroup_quota ? std::to_string(*cpu.cgroup_quota).c_str() : "none");
}
