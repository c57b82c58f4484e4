/*
 * What a compiled text tells the stand-in libcuda, and is told by it. Read by g++ both as a part of libcuda and before every text, so it
 * includes nothing.
 */
#pragma once
struct StandinDim { unsigned x, y, z; };

/* What texts call when they wait for each other; `line` is where. */
struct StandinWaits {
  void (*block)(unsigned line);
  void (*warp)(unsigned mask, unsigned line);
  /* Gives the bits of all lanes that take part, one after the other. */
  const unsigned long long* (*exchange)(unsigned long long bits, unsigned mask, unsigned line);
};

struct StandinText {
  const char* name;
  unsigned parameterBytes;
  /* Threads of a block at most. */
  unsigned threads;
  /* Whether threads wait for each other: else they may run one after the other. */
  bool waits;
  void (*call)(const void* parameter);
  /* Set before a thread runs. */
  StandinDim *thread, *block, *grid, *blockThreads;
  /* Of `__shared__` memory. */
  char *sharedBegin, *sharedEnd;
  StandinWaits* waiting;
};
