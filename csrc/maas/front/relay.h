// One stream of a client joined with one to another server: what arrives at either leaves at the other, in
// order.
//
// Bytes that arrive are held until the stream that they leave on has little to send, and only then count as
// read: a side that does not read holds back the other, at the cost of about a window.
// Usage:
//   Relay relay(&client_session, &server_session, &budget, &owner);
//   if (relay.Open(fields, end)) return relay.client_stream();  // from within OnRequest()
// Ownership: borrows sessions and budget; owns both streams, so it must live until it is over. Threads: one
// at a time. Knows no socket.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "maas/http2/session.h"
#include "maas/http2/stream.h"
#include "maas/net/chunk.h"
#include "maas/net/memory_budget.h"

namespace maas {

class Relay {
 public:
  class Owner {
   public:
    // Bytes wait for Flush(). It comes best when all that was received has been looked at: then they leave as
    // one piece. Not called again until Flush() has returned false.
    virtual void OnHeld(Relay* relay) = 0;
    // A session has something to write: the client's, or the one to the server.
    virtual void OnQueued(bool client) = 0;
    // Both streams are closed. Last call; may destroy the relay.
    virtual void OnOver(Relay* relay) = 0;

   protected:
    ~Owner() = default;
  };

  // `budget`: null: no limit. When it is exhausted, both streams are reset.
  Relay(Http2Session* client, Http2Session* server, MemoryBudget* budget, Owner* owner);
  ~Relay();
  Relay(const Relay&) = delete;
  Relay& operator=(const Relay&) = delete;

  // Opens the stream to the server; the client's is then to be given to its session. False: the server takes
  // no more streams on this connection, or the budget is exhausted; the relay is to be thrown away.
  bool Open(Headers fields, bool end);
  // A request that came whole: opens the stream to the server, and puts the client's in the place of `from`.
  // False: as above, and `from` stays.
  bool Open(Headers fields, Chunk body, Http2Stream* from);

  Http2Stream* client_stream() { return &client_; }

  // Queues what is held as far as it should. True: there are bytes for the server that have to wait; to be
  // called again when some have been sent.
  bool Flush();
  // The connection to the server broke: a call that is not answered yet ends with UNAVAILABLE. The session to
  // the server may go now, which closes its stream.
  void Break();

 private:
  class End final : public Http2Stream {
   public:
    End(Relay* relay, Http2Session* session, bool client)
        : relay_(relay), session_(session), client_(client) {
      hold_window();
    }
    void OnHeaders(Headers headers, bool end) override;
    void OnBody(std::span<const std::byte> bytes) override;
    void OnEnd() override;
    void OnRoom() override;
    void OnClosed(uint32_t error) override;

   private:
    friend class Relay;
    Relay* const relay_;
    Http2Session* const session_;
    const bool client_;        // Else the server's.
    std::vector<Chunk> held_;  // What arrived here and was not given to the other end yet.
    size_t held_bytes_ = 0;
    size_t counted_ = 0;    // Of the budget: held here, or queued at the other end.
    bool started_ = false;  // Header fields have left here.
    bool ended_ = false;    // Nothing more leaves here.
    bool closed_ = false;
  };

  End& Other(const End& end) { return end.client_ ? server_ : client_; }
  bool Hold(End* from, std::span<const std::byte> bytes);
  // Give what `from` holds to the other end: until that has enough to send, or all of it.
  void MoveSome(End* from);
  void MoveAll(End* from);
  void Move(End* from, size_t most_unsent);
  // Gives back what is not kept any more of what `from` received.
  void Settle(End* from);
  void Start(Headers fields);
  void ServerClosed(uint32_t error);
  void AnswerUnavailable();

  MemoryBudget* const budget_;
  Owner* const owner_;
  End client_;
  End server_;
  size_t taken_ = 0;   // Of the budget, until it goes.
  bool grpc_ = false;  // The request's content-type says so.
  bool broken_ = false;
  bool told_ = false;  // OnHeld() was called.
};

}  // namespace maas
