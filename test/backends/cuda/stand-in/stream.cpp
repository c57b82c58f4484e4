#include "stream.h"

#include <chrono>

#include "codes.h"

uint64_t lastHandle = 0x7a5d00000000;
int broken = SUCCESS;

int enqueue(Stream& stream, Work work) {
  if (!stream.capturing) stream.queue.push_back(std::move(work));
  else if (stream.isInvalid) return STREAM_CAPTURE_INVALIDATED;
  else stream.capturing->works.push_back(std::move(work));
  return SUCCESS;
}

void advance(Stream& stream) {
  if (stream.queue.empty()) return;
  const Work work = std::move(stream.queue.front());
  stream.queue.pop_front();
  if (broken == SUCCESS) broken = work();
}

int drain(Stream& stream) {
  while (!stream.queue.empty()) advance(stream);
  return broken;
}

void record(std::shared_ptr<Event> event, std::shared_ptr<Stream> stream) {
  event->stream = stream;
  event->isCaptured = stream->capturing != nullptr;
  if (event->isCaptured) return;
  stream->queue.push_back([event, count = ++event->recorded] {
    using namespace std::chrono;
    event->reached = count;
    event->milliseconds = duration<double, std::milli>(steady_clock::now().time_since_epoch()).count();
    return SUCCESS;
  });
}
