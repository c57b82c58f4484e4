#include "module.h"

#include <cstdlib>
#include <cstring>
#include <dlfcn.h>
#include <unistd.h>

#include "block.h"
#include "codes.h"
#include "cubin.h"
#include "memory.h"
#include "trap.h"

uint64_t blocksRun = 0, launchesRun = 0;

Module::~Module() {
  if (library) dlclose(library);
}

int load(Module& module, const void* image, int capability) {
  CubinHead head;
  memcpy(&head, image, sizeof head);
  if (head.magic != CUBIN_MAGIC) return INVALID_IMAGE;
  // A cubin runs on later devices of the same generation.
  if (head.architecture / 10 != capability / 10 || head.architecture > capability) return NO_BINARY_FOR_GPU;
  static void* maths = dlopen("libm.so.6", RTLD_NOW | RTLD_GLOBAL);  // texts are linked with nothing
  char path[] = "/tmp/stand-in-XXXXXX";
  const int file = mkstemp(path);
  const bool isWritten = write(file, static_cast<const char*>(image) + sizeof head, head.bytes) == static_cast<ssize_t>(head.bytes);
  close(file);
  module.library = maths && isWritten ? dlopen(path, RTLD_NOW | RTLD_LOCAL) : nullptr;
  unlink(path);
  if (!module.library) {
    const char* reason = dlerror();
    complain("a text cannot be loaded: %s", reason ? reason : "it cannot be written");
    return INVALID_IMAGE;
  }
  module.text = static_cast<const StandinText*>(dlsym(module.library, "standin_text"));
  *module.text->waiting = WAITS;
  return SUCCESS;
}

int launch(const Module& module, uint32_t grid, uint32_t threads, const std::vector<char>& parameter, uint32_t order) {
  launchesRun++;
  const StandinText& text = *module.text;
  *text.grid = {grid, 1, 1};
  *text.blockThreads = {threads, 1, 1};
  bool isWaiting = false;
  uint64_t address;
  const Trap trap = trapped([&] {
    for (uint32_t block : orderOf(grid, order, 0)) {
      blocksRun++;
      if (!runBlock(text, parameter.data(), block, threads, order)) {
        isWaiting = true;
        return;
      }
    }
  }, address);
  if (isWaiting) return LAUNCH_FAILED;
  if (trap == Trap::None) return guardsHold() ? SUCCESS : ILLEGAL_ADDRESS;
  if (trap == Trap::Address) complain("%s touched %s", text.name, describe(address).c_str());
  else complain("%s divided an integer by zero, which a GPU does not tell", text.name);
  return trap == Trap::Address ? ILLEGAL_ADDRESS : LAUNCH_FAILED;
}
