#include "maas/rpc/request_head.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

namespace maas {
namespace {

using Fields = std::vector<HeaderField>;

const Fields& Usual() {
  static const Fields* const kFields =
      new Fields{{":method", "POST"},    {":scheme", "http"}, {":path", "/a.B/C"},
                 {":authority", "host"}, {"te", "trailers"},  {"content-type", "application/grpc"},
                 {"user-agent", "test"}};
  return *kFields;
}

Fields With(HeaderField field) {
  Fields fields = Usual();
  const auto same = std::find_if(fields.begin(), fields.end(),
                                 [&](const HeaderField& each) { return each.name == field.name; });
  if (same == fields.end()) {
    fields.push_back(field);
  } else {
    *same = field;
  }
  return fields;
}

Fields Without(std::string_view name) {
  Fields fields = Usual();
  std::erase_if(fields, [&](const HeaderField& each) { return each.name == name; });
  return fields;
}

TEST(RequestHead, ReadsWhatClientsSend) {
  Fields fields = Usual();
  fields.push_back({"grpc-timeout", "2S"});
  fields.push_back({"grpc-encoding", "gzip"});
  const RequestHead head = ReadRequestHead(fields, "");
  EXPECT_EQ(head.path, "/a.B/C");
  EXPECT_EQ(head.timeout_ns, 2'000'000'000);
  EXPECT_EQ(head.encoding, Encoding::kGzip);
  EXPECT_FALSE(head.odd);
  EXPECT_TRUE(head.error.ok());
}

TEST(RequestHead, HasNoTimeoutAndNoEncodingByDefault) {
  const RequestHead head = ReadRequestHead(Usual(), "");
  EXPECT_EQ(head.timeout_ns, kNever);
  EXPECT_EQ(head.encoding, Encoding::kIdentity);
  EXPECT_EQ(head.tenant, "");
}

TEST(RequestHead, TakesTheContentTypesOfGrpc) {
  for (const char* type : {"application/grpc", "application/grpc+proto", "application/grpc;charset=utf-8"}) {
    EXPECT_FALSE(ReadRequestHead(With({"content-type", type}), "").odd) << type;
  }
  for (const char* type :
       {"application/json", "application/grpc-web", "application/grpcx", "", "Application/grpc"}) {
    EXPECT_TRUE(ReadRequestHead(With({"content-type", type}), "").odd) << type;
  }
}

TEST(RequestHead, FindsOddWhatGrpcClientsDoNotSend) {
  for (const char* name : {":method", ":authority", "te", "content-type"}) {
    EXPECT_TRUE(ReadRequestHead(Without(name), "").odd) << name;
  }
  EXPECT_TRUE(ReadRequestHead(With({":method", "GET"}), "").odd);
  EXPECT_TRUE(ReadRequestHead(With({"te", "gzip"}), "").odd);
}

TEST(RequestHead, RefusesWhatDoesNotParseInTheWordsOfGrpc) {
  const struct {
    HeaderField field;
    const char* message;
  } kCases[] = {
      {{"grpc-timeout", "soon"}, "Error parsing 'grpc-timeout' metadata"},
      {{"grpc-encoding", "snappy"}, "Error parsing 'grpc-encoding' metadata"},
      {{"grpc-encoding", ""}, "Error parsing 'grpc-encoding' metadata"},
      {{"trace-bin", "!!"}, "Error parsing 'trace-bin' metadata: illegal base64 encoding"},
  };
  for (const auto& each : kCases) {
    const RequestHead head = ReadRequestHead(With(each.field), "");
    ASSERT_EQ(head.error.code(), Code::kInternal) << each.field.name;
    EXPECT_EQ(head.error.message(), each.message);
    EXPECT_FALSE(head.odd);
  }
  EXPECT_TRUE(ReadRequestHead(With({"trace-bin", "Zg=="}), "").error.ok());
}

TEST(RequestHead, ReadsTheTenant) {
  EXPECT_EQ(ReadRequestHead(With({"tenant", "blue"}), "tenant").tenant, "blue");
  EXPECT_EQ(ReadRequestHead(With({"tenant", "blue"}), "other").tenant, "");
  EXPECT_EQ(ReadRequestHead(With({"tenant", "blue"}), "").tenant, "");
}

TEST(RequestHead, JoinsTenantsOfOneNameAsHttpDoes) {
  Fields fields = With({"tenant", "a"});
  fields.push_back({"tenant", ""});
  fields.push_back({"tenant", "b"});
  EXPECT_EQ(ReadRequestHead(fields, "tenant").tenant, "a, , b");
}

TEST(RequestHead, ShowsBinaryTenantsAsText) {
  EXPECT_EQ(ReadRequestHead(With({"tenant-bin", "YcOpAg"}), "tenant-bin").tenant, "a\\xc3\\xa9\x02");
}

TEST(RequestHead, FindsTenantsThatAreNotAsciiOdd) {
  EXPECT_TRUE(ReadRequestHead(With({"tenant", "\xc3\xa9"}), "tenant").odd);
  EXPECT_FALSE(ReadRequestHead(With({"tenant", "\xc3\xa9"}), "").odd);
}

TEST(RequestHead, ReadsAnyFieldsWithoutHarm) {
  const Fields fields = {{"", ""}, {"t", ""}, {":", ""}, {"g", "x"}, {"-bin", ""}, {"c", "application/grpc"}};
  EXPECT_TRUE(ReadRequestHead(fields, "t").odd);
  EXPECT_TRUE(ReadRequestHead({}, "").odd);
}

}  // namespace
}  // namespace maas
