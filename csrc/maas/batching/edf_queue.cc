#include "maas/batching/edf_queue.h"

#include <algorithm>
#include <cassert>
#include <iterator>
#include <limits>
#include <utility>

namespace maas {
namespace {

constexpr auto kIsEarlier = [](const EdfQueue::Entry& entry, int64_t deadline_ns) {
  return entry.deadline_ns < deadline_ns;
};
constexpr auto kIsLater = [](int64_t deadline_ns, const EdfQueue::Entry& entry) {
  return deadline_ns < entry.deadline_ns;
};

template <typename Iterator>
Iterator Plus(Iterator iterator, size_t n) {
  return iterator + static_cast<typename std::iterator_traits<Iterator>::difference_type>(n);
}

}  // namespace

void EdfQueue::Chunk::PushBack(Entry entry) {
  // What was popped makes room once it is as much as what is left: each entry is moved about once.
  if (entries.size() == entries.capacity() && begin >= size()) {
    entries.erase(entries.begin(), Plus(entries.begin(), begin));
    begin = 0;
  }
  rows += entry.rows;
  entries.push_back(std::move(entry));
}

void EdfQueue::Chunk::PutBefore(size_t at, Entry entry) {
  rows += entry.rows;
  if (at == 0 && begin > 0) {
    entries[--begin] = std::move(entry);
  } else {
    entries.insert(Plus(entries.begin(), begin + at), std::move(entry));
  }
}

size_t EdfQueue::ChunkNotBefore(int64_t deadline_ns) const {
  const auto found = std::partition_point(chunks_.begin(), chunks_.end(), [deadline_ns](const Chunk& chunk) {
    return chunk.entries.back().deadline_ns < deadline_ns;
  });
  return static_cast<size_t>(found - chunks_.begin());
}

size_t EdfQueue::ChunkAfter(int64_t deadline_ns) const {
  const auto found = std::partition_point(chunks_.begin(), chunks_.end(), [deadline_ns](const Chunk& chunk) {
    return chunk.entries.back().deadline_ns <= deadline_ns;
  });
  return static_cast<size_t>(found - chunks_.begin());
}

void EdfQueue::Insert(int64_t deadline_ns, int64_t rows, ItemPtr item) {
  assert(rows >= 1);
  Entry entry{deadline_ns, rows, std::move(item)};
  if (empty() || chunks_.back().entries.back().deadline_ns <= deadline_ns) {
    if (chunks_.empty() || chunks_.back().size() == kChunk) {
      const bool first = chunks_.empty();
      chunks_.emplace_back();
      if (!first) chunks_.back().entries.reserve(kChunk);
    }
    chunks_.back().PushBack(std::move(entry));
    ++size_;
    rows_ += rows;
    return;
  }
  const size_t chunk = ChunkAfter(deadline_ns);
  const std::span<const Entry> live = chunks_[chunk].live();
  const auto at = std::upper_bound(live.begin(), live.end(), deadline_ns, kIsLater) - live.begin();
  Put(chunk, static_cast<size_t>(at), std::move(entry));
}

void EdfQueue::InsertFirst(int64_t rows, ItemPtr item) {
  assert(rows >= 1);
  if (chunks_.empty()) chunks_.emplace_back();
  Put(0, 0, Entry{std::numeric_limits<int64_t>::min(), rows, std::move(item)});
}

void EdfQueue::Put(size_t chunk, size_t at, Entry entry) {
  ++size_;
  rows_ += entry.rows;
  if (chunks_[chunk].size() == kChunk) {
    // Halves, so that the next ones to come in between find room on either side.
    Chunk upper;
    upper.entries.reserve(kChunk);
    Chunk& lower = chunks_[chunk];
    const auto middle = Plus(lower.entries.begin(), lower.begin + kChunk / 2);
    for (auto each = middle; each != lower.entries.end(); ++each) upper.PushBack(std::move(*each));
    lower.entries.erase(middle, lower.entries.end());
    lower.rows -= upper.rows;
    chunks_.insert(Plus(chunks_.begin(), chunk + 1), std::move(upper));
    if (at > kChunk / 2) {
      ++chunk;
      at -= kChunk / 2;
    }
  }
  chunks_[chunk].PutBefore(at, std::move(entry));
}

void EdfQueue::PopFront() {
  assert(!empty());
  Remove(0, 0);
}

void EdfQueue::ReduceFront(int64_t rows) {
  assert(!empty() && rows >= 0 && rows < Front().rows);
  Chunk& chunk = chunks_.front();
  chunk.entries[chunk.begin].rows -= rows;
  chunk.rows -= rows;
  rows_ -= rows;
}

void EdfQueue::Remove(size_t chunk, size_t at) {
  Chunk& from = chunks_[chunk];
  Entry& gone = from.entries[from.begin + at];
  --size_;
  rows_ -= gone.rows;
  from.rows -= gone.rows;
  // Items are let go of last: what their owner does then may not see the queue half changed.
  const ItemPtr item = std::move(gone.item);
  if (from.size() == 1) {
    if (chunks_.size() > 1) {
      chunks_.erase(Plus(chunks_.begin(), chunk));
    } else {
      from.entries.clear();
      from.begin = 0;
    }
  } else if (at == 0) {
    ++from.begin;
  } else {
    from.entries.erase(Plus(from.entries.begin(), from.begin + at));
  }
}

bool EdfQueue::Erase(int64_t deadline_ns, const QueueItem* item) {
  if (empty()) return false;
  for (size_t chunk = ChunkNotBefore(deadline_ns); chunk < chunks_.size(); ++chunk) {
    const std::span<const Entry> live = chunks_[chunk].live();
    auto each = std::lower_bound(live.begin(), live.end(), deadline_ns, kIsEarlier);
    for (; each != live.end(); ++each) {
      if (each->deadline_ns != deadline_ns) return false;
      if (each->item.get() != item) continue;
      Remove(chunk, static_cast<size_t>(each - live.begin()));
      return true;
    }
  }
  return false;
}

int64_t EdfQueue::RowsBefore(int64_t deadline_ns) const {
  if (empty()) return 0;
  if (chunks_.back().entries.back().deadline_ns <= deadline_ns) return rows_;
  int64_t rows = 0;
  const size_t last = ChunkAfter(deadline_ns);
  for (size_t chunk = 0; chunk < last; ++chunk) rows += chunks_[chunk].rows;
  for (const Entry& entry : chunks_[last].live()) {
    if (entry.deadline_ns > deadline_ns) break;
    rows += entry.rows;
  }
  return rows;
}

}  // namespace maas
