/*
 * Streams, events and graphs: what is to be done later. Work of a stream is done in order, and as late as CUDA may: when somebody waits
 * for it, and a little of it whenever an event is asked about. Streams do not wait for each other.
 */
#pragma once
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <vector>

/* Gives a code. */
using Work = std::function<int()>;

struct Graph {
  std::vector<Work> works;
};

struct GraphExec {
  std::vector<Work> works;
};

struct Stream {
  std::deque<Work> queue;
  std::unique_ptr<Graph> capturing;
  /* CUstreamCaptureMode. */
  int mode = 0;
  bool isInvalid = false;
};

struct Event {
  std::weak_ptr<Stream> stream;
  bool hasTiming;
  bool isCaptured = false;
  /* How often it was recorded, and how often such a record was reached. */
  uint64_t recorded = 0, reached = 0;
  double milliseconds = 0;

  bool isDone() const { return recorded == reached; }
};

/*
 * Handles of one kind. They are numbers that are never given out again, of more than 32 bits, so that those that were destroyed, cut off or
 * mixed up are found.
 */
extern uint64_t lastHandle;

template <typename T>
struct Handles {
  std::map<uint64_t, std::shared_ptr<T>> live;

  uint64_t make(std::shared_ptr<T> of) {
    live[lastHandle += 16] = std::move(of);
    return lastHandle;
  }
  /* Null where there is no such handle. */
  std::shared_ptr<T> find(uint64_t handle) const {
    const auto found = live.find(handle);
    return found == live.end() ? nullptr : found->second;
  }
};

/* What went wrong while work was done: nothing more is done then. */
extern int broken;

int enqueue(Stream& stream, Work work);
/* Does the first piece of its work, if there is any. */
void advance(Stream& stream);
int drain(Stream& stream);
void record(std::shared_ptr<Event> event, std::shared_ptr<Stream> stream);
