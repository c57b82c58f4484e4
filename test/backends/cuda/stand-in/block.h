/*
 * Runs the threads of one block. Where a text has no barrier they run one after the other; else each is a fiber, which is left where it
 * waits. Fibers that always take turns in the same order hide missing barriers: so the order can be another one, and shared memory holds
 * NaN when a block begins.
 */
#include <cstdint>
#include <vector>

/* How a thread of a loaded text is run, and what it shares. */
struct Text {
  void (*call)(const void* parameter);
  uint32_t* thread;  // x, y, z: set before a thread goes on
  uint32_t* block;
  uint32_t* grid;
  uint32_t* threads;
  char* sharedBegin;
  char* sharedEnd;
  bool waits;
};

/* 0: forwards; 1: backwards; others seed a random order, another one for each block. */
std::vector<uint32_t> orderOf(uint32_t count, uint32_t order, uint32_t salt);

/* False where the threads wait for each other for ever; stderr says how. */
bool runBlock(const Text& text, const void* parameter, uint32_t block, uint32_t threads, uint32_t order);

/* What texts call: see kernel.h. */
void waitForBlock();
double shuffle(double number, uint32_t lane);
