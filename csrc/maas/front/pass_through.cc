#include "maas/front/pass_through.h"

#include <string_view>
#include <utility>
#include <vector>

#include "maas/front/message.h"
#include "maas/front/upstream.h"
#include "maas/net/socket.h"
#include "maas/rpc/metadata.h"
#include "maas/wire/decoding.h"

namespace maas {
namespace {

// All that clients must not say of themselves begins with it.
constexpr std::string_view kIdentityPrefix = "maas-peer";
// Of one answer's.
constexpr size_t kMaxHeaderBytes = 65536;

struct OwnedField {
  std::string_view name;
  std::string value;
};

std::vector<OwnedField> Identify(const Peer& peer) {
  std::vector<OwnedField> fields;
  fields.push_back({"maas-peer", peer.address});
  if (peer.certificate_pem.empty()) return fields;
  fields.push_back({"maas-peer-cert-bin", Base64Encode(peer.certificate_pem)});
  if (!peer.common_name.empty()) fields.push_back({"maas-peer-name-bin", Base64Encode(peer.common_name)});
  for (const std::string& name : peer.alternative_names) {
    fields.push_back({"maas-peer-alt-bin", Base64Encode(name)});
  }
  return fields;
}

// gRPC's prefix of a message that is not compressed, and the message.
bool Frame(std::span<const std::byte> message, Chunk* out) {
  if (!MakeMessage(AsText(message), out)) return false;
  std::byte* const to = out->data();
  const auto size = static_cast<uint32_t>(message.size());
  to[0] = std::byte{0};
  for (size_t i = 0; i < 4; ++i) to[1 + i] = static_cast<std::byte>(size >> (24 - 8 * i));
  return true;
}

}  // namespace

struct PassThrough::Behind {
  Upstream* Take();
  // What goes to the server for a request with these fields.
  Headers Rewrite(Headers headers);

  Options options;
  EventLoop* loop = nullptr;
  const Clock* clock = nullptr;
  const Peer* peer = nullptr;
  std::function<void()> produced;
  std::vector<OwnedField> identity;                  // Empty until it is needed.
  std::vector<HeaderField> fields;                   // Of Rewrite().
  std::vector<std::unique_ptr<Upstream>> upstreams;  // The last may be usable; the others end.
};

Upstream* PassThrough::Behind::Take() {
  if (!upstreams.empty() && upstreams.back()->usable()) return upstreams.back().get();
  FileDescriptor socket;
  if (!ConnectUnix(options.socket_path, &socket).ok()) return nullptr;
  Upstream::Options made;
  made.http2.max_header_bytes = kMaxHeaderBytes;
  made.budget = options.budget;
  made.scratch = options.scratch;
  auto upstream = std::make_unique<Upstream>(
      made, loop, clock, MakePlainTransport(std::move(socket), "unix:"), produced, [this](Upstream* over) {
        std::erase_if(upstreams, [over](const auto& one) { return one.get() == over; });
      });
  if (!upstream->Start().ok()) return nullptr;
  return upstreams.emplace_back(std::move(upstream)).get();
}

Headers PassThrough::Behind::Rewrite(Headers headers) {
  if (identity.empty()) identity = Identify(*peer);
  fields.clear();
  for (const HeaderField& field : headers) {
    if (!field.name.starts_with(kIdentityPrefix)) fields.push_back(field);
  }
  for (const OwnedField& field : identity) fields.push_back({field.name, field.value});
  return fields;
}

PassThrough::PassThrough(const Options& options, EventLoop* loop, const Clock* clock, const Peer* peer,
                         std::function<void()> produced)
    : behind_(std::make_unique<Behind>()) {
  behind_->options = options;
  behind_->loop = loop;
  behind_->clock = clock;
  behind_->peer = peer;
  behind_->produced = std::move(produced);
}

PassThrough::~PassThrough() = default;

Http2Stream* PassThrough::OnRequest(Http2Session* session, int32_t /*stream*/, Headers headers, bool end) {
  Upstream* const upstream = behind_->Take();
  return upstream == nullptr ? nullptr : upstream->Open(session, behind_->Rewrite(headers), end);
}

Http2Stream* PassThrough::OnRequest(Http2Session* session, Http2Stream* call, Headers headers,
                                    std::span<const std::byte> message) {
  Chunk body;
  if (!Frame(message, &body)) return nullptr;
  Upstream* const upstream = behind_->Take();
  if (upstream == nullptr) return nullptr;
  return upstream->Open(session, behind_->Rewrite(headers), std::move(body), call);
}

void PassThrough::Close() {
  for (const auto& upstream : behind_->upstreams) upstream->Close();
}

bool PassThrough::refuses() const { return streams() >= behind_->options.max_streams; }

size_t PassThrough::streams() const {
  size_t streams = 0;
  for (const auto& upstream : behind_->upstreams) streams += upstream->streams();
  return streams;
}

size_t PassThrough::connections() const { return behind_->upstreams.size(); }

}  // namespace maas
