// Requests in order of deadline, equal ones in order of arrival.
//
// A sorted list in chunks of at most kChunk entries: the usual request, whose deadline is the latest yet, is
// appended; one that comes in between moves at most a chunk; and the rows ahead of a deadline are summed over
// chunks, not requests.
//
// Ownership: shares the items from Insert() until they are popped or erased. Owned by a Lane; the device's
// mutex guards it. Threads: none of its own.
// Invariant: no chunk is empty, unless it is the only one; that one stays, so that a queue which is filled
// and emptied all the time allocates nothing.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

namespace maas {

struct QueueItem;

class EdfQueue {
 public:
  using ItemPtr = std::shared_ptr<QueueItem>;
  static constexpr size_t kChunk = 64;

  struct Entry {
    int64_t deadline_ns = 0;
    int64_t rows = 0;  // Still waiting; >= 1.
    ItemPtr item;
  };

  bool empty() const { return size_ == 0; }
  size_t size() const { return size_; }
  int64_t rows() const { return rows_; }

  // Behind all entries whose deadline is not later. REQUIRES: rows >= 1.
  void Insert(int64_t deadline_ns, int64_t rows, ItemPtr item);
  // Before everything, with the deadline INT64_MIN. REQUIRES: rows >= 1.
  void InsertFirst(int64_t rows, ItemPtr item);

  // REQUIRES: !empty() for these three.
  const Entry& Front() const { return chunks_.front().live().front(); }
  void PopFront();
  // `rows` of the first entry's rows are gone, not all of them.
  void ReduceFront(int64_t rows);

  // Takes out the entry of `item`, which has the deadline `deadline_ns`. False: there is none. Looks at every
  // entry with that very deadline, and at no other.
  bool Erase(int64_t deadline_ns, const QueueItem* item);

  // Rows of the entries that a new one with `deadline_ns` would stand behind.
  int64_t RowsBefore(int64_t deadline_ns) const;

  // Calls visit(const Entry&) in order until it returns false. False: it did.
  template <typename Visit>
  bool ForEach(const Visit& visit) const;
  // Walks in order. Valid until the queue changes.
  class Cursor {
   public:
    explicit Cursor(const EdfQueue* queue) : queue_(queue) {}
    // Null at the end.
    const Entry* Next() {
      while (chunk_ < queue_->chunks_.size()) {
        const auto live = queue_->chunks_[chunk_].live();
        if (at_ < live.size()) return &live[at_++];
        ++chunk_;
        at_ = 0;
      }
      return nullptr;
    }

   private:
    const EdfQueue* queue_;
    size_t chunk_ = 0;
    size_t at_ = 0;
  };

  // Calls visit(deadline_ns, rows, rows_before) for entries behind which a new one with `deadline_ns` would
  // not stand: of each chunk the first and the last of them; until it returns false. False: it did.
  template <typename Visit>
  bool ForEachLater(int64_t deadline_ns, const Visit& visit) const;

 private:
  struct Chunk {
    int64_t rows = 0;
    size_t begin = 0;            // Entries before it were popped.
    std::vector<Entry> entries;  // At most kChunk from `begin` on.

    std::span<const Entry> live() const { return std::span(entries).subspan(begin); }
    size_t size() const { return entries.size() - begin; }
    void PushBack(Entry entry);
    // Before the live entry with the index `at`.
    void PutBefore(size_t at, Entry entry);
  };

  // The first chunk whose last deadline is not earlier, or is later, than `deadline_ns`; chunks_.size() when
  // there is none. REQUIRES: !empty().
  size_t ChunkNotBefore(int64_t deadline_ns) const;
  size_t ChunkAfter(int64_t deadline_ns) const;
  void Put(size_t chunk, size_t at, Entry entry);
  void Remove(size_t chunk, size_t at);

  std::vector<Chunk> chunks_;
  size_t size_ = 0;
  int64_t rows_ = 0;
};

template <typename Visit>
bool EdfQueue::ForEach(const Visit& visit) const {
  for (const Chunk& chunk : chunks_) {
    for (const Entry& entry : chunk.live()) {
      if (!visit(entry)) return false;
    }
  }
  return true;
}

template <typename Visit>
bool EdfQueue::ForEachLater(int64_t deadline_ns, const Visit& visit) const {
  if (empty()) return true;
  int64_t before = 0;
  for (const Chunk& chunk : chunks_) {
    if (chunk.entries.back().deadline_ns > deadline_ns) {
      int64_t in_chunk = before;
      for (const Entry& entry : chunk.live()) {
        if (entry.deadline_ns > deadline_ns) {
          if (!visit(entry.deadline_ns, entry.rows, in_chunk)) return false;
          const Entry& last = chunk.entries.back();
          const int64_t before_last = before + chunk.rows - last.rows;
          if (&last != &entry && !visit(last.deadline_ns, last.rows, before_last)) return false;
          break;
        }
        in_chunk += entry.rows;
      }
    }
    before += chunk.rows;
  }
  return true;
}

}  // namespace maas
