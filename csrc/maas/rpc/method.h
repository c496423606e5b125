// What serves a method: handlers that take messages as bytes and know nothing of HTTP/2.
//
// Ownership: methods live as long as the connections that call them, one per I/O thread. Threads: the I/O
// thread's; no two calls at a time.
#pragma once

#include <memory>

#include "maas/http2/headers.h"
#include "maas/net/chunk.h"

namespace maas {

class ServerCall;

class UnaryMethod {
 public:
  virtual ~UnaryMethod() = default;
  // The request's message is complete, though its end may be still to come. Answers by call->Answer(), Fail()
  // or HandOver(), now or later.
  virtual void OnRequest(ServerCall* call, Chunk request) = 0;
  // The caller went away, or its deadline passed, before it was answered: the call may go when this returns.
  virtual void OnCancelled(ServerCall* call) = 0;
  // Whether calls may be handed over: their header fields are kept for that.
  virtual bool hands_over() const { return false; }
};

// One RPC with streams in either direction. Goes with the call.
class StreamHandler {
 public:
  virtual ~StreamHandler() = default;
  virtual void OnMessage(Chunk message) = 0;
  // The caller sends no more messages.
  virtual void OnHalfClosed() = 0;
  // The caller reads again: call->unsent() has become small.
  virtual void OnRoom() = 0;
  // The server stops: read no more, answer what was accepted, end the call with UNAVAILABLE.
  virtual void OnStopping() = 0;
  // The caller went away or broke the rules, or its deadline passed; the call may go when this returns. Not
  // called after Finish() or Fail().
  virtual void OnCancelled() = 0;
};

class StreamMethod {
 public:
  virtual ~StreamMethod() = default;
  // An RPC begins. `metadata` is valid during the call only. Null: it has ended the call.
  virtual std::unique_ptr<StreamHandler> Start(ServerCall* call, Headers metadata) = 0;
};

// What a path stands for; one of them, or neither: not served here.
struct Method {
  UnaryMethod* unary = nullptr;
  StreamMethod* stream = nullptr;
};

}  // namespace maas
