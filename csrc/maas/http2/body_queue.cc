#include "maas/http2/body_queue.h"

#include <algorithm>
#include <utility>

namespace maas {

void BodyQueue::Push(Chunk chunk, size_t offset) {
  const size_t added = chunk.size() - offset;
  chunks_ += sizeof(Piece) + chunk.capacity();
  if (bytes_ == 0) {
    front_ = {std::move(chunk), nullptr, offset};
  } else {
    if (more_ == nullptr) more_ = std::make_unique<std::deque<Piece>>();
    more_->push_back({std::move(chunk), nullptr, offset});
  }
  bytes_ += added;
}

bool BodyQueue::Move(size_t bytes, OutQueue* out) {
  while (bytes > 0) {
    const size_t moved = std::min(bytes, front_.left());
    if (moved < kReferenced) {
      if (!out->Append(front_.chunk().bytes().subspan(front_.offset, moved))) return false;
    } else {
      if (front_.shared == nullptr) front_.shared = std::make_shared<const Chunk>(std::move(front_.own));
      if (!out->Append(front_.shared, front_.offset, moved)) return false;
    }
    front_.offset += moved;
    bytes_ -= moved;
    bytes -= moved;
    if (front_.left() == 0) PopFront();
  }
  return true;
}

void BodyQueue::Clear() {
  front_ = {};
  more_ = nullptr;
  bytes_ = 0;
  chunks_ = 0;
}

void BodyQueue::PopFront() {
  chunks_ -= front_.kept();
  if (more_ == nullptr || more_->empty()) {
    front_ = {};
    more_ = nullptr;
    return;
  }
  front_ = std::move(more_->front());
  more_->pop_front();
}

}  // namespace maas
