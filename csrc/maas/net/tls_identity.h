// Who a client is, by the certificate that it showed. Called by its transport, when the handshake is done.
#pragma once

#include <openssl/ssl.h>

#include "maas/net/transport.h"

namespace maas {

// Fills in what `peer` has of a certificate, if the client had one that was verified. Names with a NUL within
// are left out: who compares names as C strings would take them for others.
void ReadTlsIdentity(const SSL* ssl, Peer* peer);

}  // namespace maas
