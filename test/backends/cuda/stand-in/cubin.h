/* What the stand-in libnvrtc gives out as a cubin: this head, then a shared object of so many bytes. */
#pragma once
#include <cstdint>

constexpr uint64_t CUBIN_MAGIC = 0x4e49444e41545300ull;

struct CubinHead {
  uint64_t magic;
  /* 90 for sm_90. */
  int64_t architecture;
  uint64_t bytes;
};
