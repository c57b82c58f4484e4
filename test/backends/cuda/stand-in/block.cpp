#include "block.h"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <random>
#include <string>

#include "codes.h"
#include "fiber.h"

namespace {

constexpr uint32_t WARP = 32;

enum class State : uint8_t { Ready, AtBarrier, InWarp, Done, Refused };

struct Fiber {
  State state;
  /* Exchanges so far: those of neighbouring ones lie in two places in turns, as nobody is more than one ahead. */
  uint8_t exchanges;
  /* Where it waits. */
  uint32_t line;
  void* stackPointer;
};

/* The block that is being run: there is one at a time. */
struct {
  const StandinText* text;
  const void* parameter;
  Fiber fibers[FIBERS];
  unsigned long long bits[2][FIBERS];
  uint32_t threads, current;
  void* scheduler;
} running;

void leave(State state, uint32_t line) {
  Fiber& fiber = running.fibers[running.current];
  fiber.state = state;
  fiber.line = line;
  standin_switch(&fiber.stackPointer, running.scheduler);
}

/* Where a fiber begins. */
void begin() {
  running.text->call(running.parameter);
  leave(State::Done, 0);
}

void enter(uint32_t thread) {
  running.current = thread;
  running.text->thread->x = thread;
  standin_switch(&running.scheduler, running.fibers[thread].stackPointer);
}

/* Whether all of these are at the same place in that state. */
bool meet(State state, uint32_t from, uint32_t to) {
  const auto& fibers = running.fibers;
  return std::all_of(fibers + from, fibers + to, [&](const Fiber& fiber) { return fiber.state == state && fiber.line == fibers[from].line; });
}

bool release(State state, uint32_t from, uint32_t to) {
  if (!meet(state, from, to)) return false;
  for (uint32_t thread = from; thread < to; thread++) running.fibers[thread].state = State::Ready;
  return true;
}

void complainOfWaiting(uint32_t block, uint32_t threads) {
  const auto all = [&](State state) {
    uint32_t count = 0, least = UINT32_MAX, most = 0;
    for (uint32_t thread = 0; thread < threads; thread++) {
      const Fiber& fiber = running.fibers[thread];
      if (fiber.state != state) continue;
      count++;
      least = std::min(least, fiber.line);
      most = std::max(most, fiber.line);
    }
    const std::string text = std::to_string(count);
    if (state == State::Done || count == 0) return text;
    return text + (least == most ? " (line " + std::to_string(most) + ")" : " (lines " + std::to_string(least) + " to " + std::to_string(most) + ")");
  };
  complain(
      "block %u waits for ever: %s threads are at a barrier, %s in a shuffle, %s in one of some lanes only, which is not known here, %s at their end",
      block, all(State::AtBarrier).c_str(), all(State::InWarp).c_str(), all(State::Refused).c_str(), all(State::Done).c_str());
}

bool runFibers(uint32_t threads, uint32_t order, uint32_t block) {
  running.threads = threads;
  for (uint32_t thread = 0; thread < threads; thread++) running.fibers[thread] = {State::Ready, 0, 0, freshStack(thread, begin)};
  const std::vector<uint32_t> turns = orderOf(threads, order, block);
  for (;;) {
    for (uint32_t thread : turns)
      if (running.fibers[thread].state == State::Ready) enter(thread);
    if (meet(State::Done, 0, threads)) return true;
    bool goesOn = release(State::AtBarrier, 0, threads);
    for (uint32_t warp = 0; warp < threads; warp += WARP) goesOn |= release(State::InWarp, warp, std::min(warp + WARP, threads));
    if (goesOn) continue;
    complainOfWaiting(block, threads);
    return false;
  }
}

/* Lanes that do not take part are not modelled. */
void waitForWarp(unsigned mask, unsigned line) {
  const uint32_t lanes = std::min(WARP, running.threads - running.current / WARP * WARP);
  const unsigned all = lanes == WARP ? ~0u : (1u << lanes) - 1;
  leave((mask & all) == all ? State::InWarp : State::Refused, line);
}

void waitForBlock(unsigned line) { leave(State::AtBarrier, line); }

const unsigned long long* exchange(unsigned long long bits, unsigned mask, unsigned line) {
  const uint32_t thread = running.current;
  auto* place = running.bits[running.fibers[thread].exchanges++ % 2];
  place[thread] = bits;
  waitForWarp(mask, line);
  return place + thread / WARP * WARP;
}

}  // namespace

const StandinWaits WAITS = {waitForBlock, waitForWarp, exchange};

std::vector<uint32_t> orderOf(uint32_t count, uint32_t order, uint32_t salt) {
  std::vector<uint32_t> turns(count);
  std::iota(turns.begin(), turns.end(), 0u);
  if (order == 1) std::reverse(turns.begin(), turns.end());
  else if (order > 1) std::shuffle(turns.begin(), turns.end(), std::minstd_rand(order * 2654435761u + salt));
  return turns;
}

bool runBlock(const StandinText& text, const void* parameter, uint32_t block, uint32_t threads, uint32_t order) {
  memset(text.sharedBegin, 0xff, text.sharedEnd - text.sharedBegin);
  text.block->x = block;
  running.text = &text;
  running.parameter = parameter;
  if (text.waits) return runFibers(threads, order, block);
  for (uint32_t thread : orderOf(threads, order, block)) {
    text.thread->x = thread;
    text.call(parameter);
  }
  return true;
}
