/* Loaded texts, and launches of their kernels. */
#pragma once
#include <cstdint>
#include <memory>
#include <vector>

#include "text.h"

struct Module {
  void* library = nullptr;
  const StandinText* text = nullptr;

  Module() = default;
  Module(const Module&) = delete;
  ~Module();
};

/* `capability`: 90 for sm_90. Gives a code. */
int load(Module& module, const void* image, int capability);

/* Runs all blocks. Gives a code. */
int launch(const Module& module, uint32_t grid, uint32_t threads, const std::vector<char>& parameter, uint32_t order);

/* That were run. */
extern uint64_t blocksRun, launchesRun;
