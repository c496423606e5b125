// One RPC of a server, between its stream and what serves it.
//
// Ownership: owns itself from its making until its stream is closed or handed over; whoever serves it keeps a
// pointer until it has ended the call or was told OnCancelled(). Threads: its connection's.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "maas/base/status.h"
#include "maas/http2/session.h"
#include "maas/http2/stream.h"
#include "maas/net/chunk.h"
#include "maas/net/transport.h"
#include "maas/rpc/deadline_heap.h"
#include "maas/rpc/message_reader.h"
#include "maas/rpc/method.h"
#include "maas/rpc/request_head.h"

namespace maas {

class ServerConnection;

// deadline_ns(): when the caller stops waiting, on the connection's clock.
class ServerCall final : public Http2Stream, public DeadlineHeap::Member {
 public:
  // Made by its connection.
  ServerCall(ServerConnection* connection, const Method& method, RequestHead&& head, int64_t deadline_ns);
  ~ServerCall() override;

  // The value of the metadata key that names tenants; empty: none is configured, or the caller did not say.
  const std::string& tenant() const { return tenant_; }
  const Peer& peer() const;
  void* state = nullptr;  // Of the method that serves it.

  // Each of these is ignored once the call has ended.

  // Ends a unary call. The message begins at kMessagePrefix of `answer`, and the prefix is written before it.
  void Answer(Chunk answer);
  // Sends a message of a stream; as above.
  void Send(Chunk message);
  // Ends a stream in order.
  void Finish();
  // Ends either, at whatever stage, with a status; a peer that goes on sending is reset afterwards. REQUIRES:
  // !status.ok(). A long message is cut, and details that are too long are left out: clients take 8 KiB of
  // header fields. Without a reason there are no details.
  void Fail(const Status& status);
  // Gives a unary call, with its request, to the fallback, as if it had never been here; the call is gone
  // then. REQUIRES: hands_over() of its method; called within or after OnRequest(), before any answer.
  void HandOver(Chunk request);
  // Of a stream: while paused, no message is given to the handler, and the peer is held back by its window.
  void PauseReading() { paused_ = true; }
  // May call the handler.
  void ResumeReading();

  // Of the session.
  void OnHeaders(Headers headers, bool end) override;
  std::span<std::byte> BodyRoom() override;
  void OnBody(std::span<const std::byte> bytes) override;
  void OnEnd() override;
  void OnRoom() override;
  void OnClosed(uint32_t error) override;

 private:
  friend class ServerConnection;
  bool streaming() const { return method_.stream != nullptr; }
  // Keeps the fields for HandOver(). False: there is no memory.
  bool Keep(Headers headers);
  void StartStream(Headers metadata);
  void ReadRequest(std::span<const std::byte> bytes);
  // Gives messages to the handler while it takes them; returns how many bytes they took.
  size_t ReadStream(std::span<const std::byte> bytes);
  // Keeps bytes until reading is resumed. False: there is no memory.
  bool Hold(std::span<const std::byte> bytes);
  // Bytes that are held.
  std::span<const std::byte> held() const { return held_.bytes().subspan(held_from_); }
  void DropHeld();
  void TellHalfClosed();
  // Ends the call from this side of its handler, which is told.
  void Abort(const Status& status);
  void TellCancelled();
  void SendInitial();
  void SendStatus(const Status& status);

  ServerConnection* const connection_;
  ServerCall* previous_ = nullptr;  // In the list of the connection's calls.
  ServerCall* next_ = nullptr;
  const Method method_;
  const std::string tenant_;
  MessageReader reader_;
  std::unique_ptr<StreamHandler> handler_;  // Of a stream that started.
  std::string headers_;                     // EncodeFields()'s, if the method hands over.
  Chunk held_;                              // What came while reading was paused; from held_from_ on.
  size_t held_from_ = 0;
  size_t taken_ = 0;        // From the budget: for what is held, and for header fields.
  bool requested_ = false;  // A unary call's request was given to its method.
  bool half_closed_ = false;
  bool told_half_closed_ = false;
  bool started_ = false;  // Header fields were sent.
  bool ended_ = false;
  bool paused_ = false;
  bool reading_ = false;  // ReadStream() is running.
};

}  // namespace maas
