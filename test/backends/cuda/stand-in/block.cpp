#include "block.h"

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <numeric>
#include <random>
#include <sys/mman.h>

namespace {

constexpr size_t STACK_BYTES = 64 * 1024;
constexpr uint32_t WARP = 32;

enum class State { Ready, AtBarrier, InShuffle, Done };

struct Fiber {
  State state;
  void* stackPointer;
  /* Shuffles so far: numbers of neighbouring ones lie in two places in turns, as nobody is more than one ahead. */
  uint32_t shuffles;
  double numbers[2];
};

/* The block that is being run: there is one at a time. */
struct {
  const Text* text;
  const void* parameter;
  std::vector<Fiber> fibers;
  uint32_t current;
  void* scheduler;
} running;

char* stacks() {
  static char* memory = static_cast<char*>(mmap(nullptr, 1024 * STACK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
  return memory;
}

/* Leaves one stack, whose pointer goes to `from`, for another: what a called function has to keep is pushed. */
extern "C" void standin_switch(void** from, void* to);
#if defined(__x86_64__)
asm(R"(
.text
.type standin_switch, @function
standin_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
)");
constexpr int SAVED = 6;
#elif defined(__aarch64__)
asm(R"(
.text
.type standin_switch, %function
standin_switch:
  sub sp, sp, #160
  stp x19, x20, [sp, #0]
  stp x21, x22, [sp, #16]
  stp x23, x24, [sp, #32]
  stp x25, x26, [sp, #48]
  stp x27, x28, [sp, #64]
  stp x29, x30, [sp, #80]
  stp d8, d9, [sp, #96]
  stp d10, d11, [sp, #112]
  stp d12, d13, [sp, #128]
  stp d14, d15, [sp, #144]
  mov x9, sp
  str x9, [x0]
  mov sp, x1
  ldp x19, x20, [sp, #0]
  ldp x21, x22, [sp, #16]
  ldp x23, x24, [sp, #32]
  ldp x25, x26, [sp, #48]
  ldp x27, x28, [sp, #64]
  ldp x29, x30, [sp, #80]
  ldp d8, d9, [sp, #96]
  ldp d10, d11, [sp, #112]
  ldp d12, d13, [sp, #128]
  ldp d14, d15, [sp, #144]
  add sp, sp, #160
  ret
)");
#else
#error "the stand-in switches fibers on x86-64 and aarch64"
#endif

void leave(State state) {
  Fiber& fiber = running.fibers[running.current];
  fiber.state = state;
  standin_switch(&fiber.stackPointer, running.scheduler);
}

/* Where a fiber begins. */
void begin() {
  running.text->call(running.parameter);
  leave(State::Done);
}

void* freshStack(uint32_t thread) {
  char* top = stacks() + (thread + 1) * STACK_BYTES;
#if defined(__x86_64__)
  auto* slots = reinterpret_cast<uint64_t*>(top) - 2;  // so that the stack is aligned as after a call
  slots[0] = reinterpret_cast<uint64_t>(&begin);
  return slots - SAVED;
#else
  auto* slots = reinterpret_cast<uint64_t*>(top - 160);
  slots[11] = reinterpret_cast<uint64_t>(&begin);  // x30
  return slots;
#endif
}

void enter(uint32_t thread) {
  running.current = thread;
  running.text->thread[0] = thread;
  standin_switch(&running.scheduler, running.fibers[thread].stackPointer);
}

/* Everyone in these threads is in that state. */
bool all(State state, uint32_t from, uint32_t to) {
  for (uint32_t thread = from; thread < to; thread++)
    if (running.fibers[thread].state != state) return false;
  return true;
}

bool release(State state, uint32_t from, uint32_t to) {
  if (!all(state, from, to)) return false;
  for (uint32_t thread = from; thread < to; thread++) running.fibers[thread].state = State::Ready;
  return true;
}

bool runFibers(uint32_t threads, uint32_t order, uint32_t block) {
  running.fibers.assign(threads, Fiber{});
  for (uint32_t thread = 0; thread < threads; thread++) running.fibers[thread].stackPointer = freshStack(thread);
  const std::vector<uint32_t> turns = orderOf(threads, order, block);
  for (;;) {
    for (uint32_t thread : turns)
      if (running.fibers[thread].state == State::Ready) enter(thread);
    if (all(State::Done, 0, threads)) return true;
    bool goesOn = release(State::AtBarrier, 0, threads);
    for (uint32_t warp = 0; warp < threads; warp += WARP)
      goesOn |= release(State::InShuffle, warp, std::min(warp + WARP, threads));
    if (goesOn) continue;
    uint32_t counts[4] = {};
    for (const Fiber& fiber : running.fibers) counts[static_cast<int>(fiber.state)]++;
    fprintf(stderr, "stand-in: block %u waits for ever: %u threads at a barrier, %u in a shuffle, %u at their end\n", block, counts[1], counts[2], counts[3]);
    return false;
  }
}

}  // namespace

std::vector<uint32_t> orderOf(uint32_t count, uint32_t order, uint32_t salt) {
  std::vector<uint32_t> turns(count);
  std::iota(turns.begin(), turns.end(), 0u);
  if (order == 1) std::reverse(turns.begin(), turns.end());
  else if (order > 1) std::shuffle(turns.begin(), turns.end(), std::minstd_rand(order * 2654435761u + salt));
  return turns;
}

bool runBlock(const Text& text, const void* parameter, uint32_t block, uint32_t threads, uint32_t order) {
  if (text.sharedBegin) memset(text.sharedBegin, 0xff, text.sharedEnd - text.sharedBegin);
  text.block[0] = block;
  running.text = &text;
  running.parameter = parameter;
  if (text.waits) return runFibers(threads, order, block);
  for (uint32_t thread : orderOf(threads, order, block)) {
    text.thread[0] = thread;
    text.call(parameter);
  }
  return true;
}

void waitForBlock() { leave(State::AtBarrier); }

double shuffle(double number, uint32_t lane) {
  const uint32_t thread = running.current, place = running.fibers[thread].shuffles++ % 2;
  running.fibers[thread].numbers[place] = number;
  leave(State::InShuffle);
  return running.fibers[thread / WARP * WARP + lane].numbers[place];
}
