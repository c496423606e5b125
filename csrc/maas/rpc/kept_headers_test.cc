#include "maas/rpc/kept_headers.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace maas {
namespace {

TEST(KeptHeaders, OutliveWhatTheyWereKeptFrom) {
  KeptHeaders kept;
  {
    const std::string path = "/a.B/C";
    const std::string binary("\0\xff", 2);
    const std::vector<HeaderField> fields = {{":path", path}, {"x", ""}, {"y-bin", binary}, {"x", "again"}};
    kept.Keep(fields);
  }
  const std::vector<HeaderField> fields = kept.Fields();
  ASSERT_EQ(fields.size(), 4U);
  EXPECT_EQ(fields[0].name, ":path");
  EXPECT_EQ(fields[0].value, "/a.B/C");
  EXPECT_EQ(fields[1].name, "x");
  EXPECT_EQ(fields[1].value, "");
  EXPECT_EQ(fields[2].value, std::string("\0\xff", 2));
  EXPECT_EQ(fields[3].value, "again");
  EXPECT_GE(kept.bytes(), std::string(":path/a.B/Cxy-bin..xagain").size());
}

TEST(KeptHeaders, AreNoneUntilSomeAreKept) {
  KeptHeaders kept;
  EXPECT_TRUE(kept.Fields().empty());
  EXPECT_EQ(kept.bytes(), 0U);
  kept.Keep({});
  EXPECT_TRUE(kept.Fields().empty());
}

}  // namespace
}  // namespace maas
