#include "maas/serving/routes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "maas/exec/exec_testing.h"
#include "maas/wire/utf8.h"

namespace maas {
namespace {

using testing::HasSubstr;
using testing::UnorderedElementsAre;

class RoutesTest : public testing::Test {
 protected:
  std::shared_ptr<Version> NewVersion(int64_t number) {
    ModelSpec spec = MakeSpec({MakeInput("x", DataType::kFp32, {-1})});
    spec.version = number;
    return MakeVersion(std::move(spec), &clock_);
  }
  // Versions 1 and 2; 2 answers by default, 3 is loading, "stable" is 1 and "next" is 3.
  std::shared_ptr<Route> NewRoute() {
    auto route = std::make_shared<Route>();
    route->versions = {{1, one_}, {2, two_}};
    route->labels = {{"stable", 1}, {"next", 3}, {"lost", 9}};
    route->standard = two_;
    route->known = {3};
    return route;
  }
  Status Find(std::string_view model, int64_t version = 0, std::string_view label = "") {
    found_ = nullptr;
    return routes_.Find(model, version, label, &found_);
  }

  FakeClock clock_;
  Routes routes_;
  std::shared_ptr<Version> one_ = NewVersion(1);
  std::shared_ptr<Version> two_ = NewVersion(2);
  std::shared_ptr<Version> found_;
};

TEST_F(RoutesTest, FindsByDefaultByNumberAndByLabel) {
  routes_.Set("m", NewRoute());
  EXPECT_TRUE(Find("m").ok());
  EXPECT_EQ(found_, two_);
  EXPECT_TRUE(Find("m", 1).ok());
  EXPECT_EQ(found_, one_);
  EXPECT_TRUE(Find("m", 0, "stable").ok());
  EXPECT_EQ(found_, one_);
}

TEST_F(RoutesTest, SaysWhatIsUnknownAndWhatIsOnlyNotServing) {
  routes_.Set("m", NewRoute());
  auto empty = std::make_shared<Route>();
  empty->known = {1};
  routes_.Set("loading", empty);
  struct Row {
    const char* model;
    int64_t version;
    const char* label;
    Code code;
    const char* reason;
    const char* message;
  };
  const Row rows[] = {
      {"n", 0, "", Code::kNotFound, "MODEL_NOT_FOUND", "model 'n' is not known"},
      {"", 0, "", Code::kNotFound, "MODEL_NOT_FOUND", "model '' is not known"},
      {"m", 7, "", Code::kNotFound, "VERSION_NOT_FOUND", "version 7 of model 'm' is not known"},
      {"m", 0, "wild", Code::kNotFound, "LABEL_NOT_FOUND", "model 'm' has no label 'wild'"},
      {"m", 3, "", Code::kUnavailable, "VERSION_NOT_AVAILABLE", "version 3 of model 'm' does not serve"},
      {"m", 0, "next", Code::kUnavailable, "VERSION_NOT_AVAILABLE", "version 3 of model 'm' does not serve"},
      {"m", 0, "lost", Code::kNotFound, "VERSION_NOT_FOUND", "version 9 of model 'm' is not known"},
      {"loading", 0, "", Code::kUnavailable, "NO_VERSION_AVAILABLE", "no version that serves"},
      {"loading", 1, "", Code::kUnavailable, "VERSION_NOT_AVAILABLE", "version 1 of model 'loading'"},
  };
  for (const Row& row : rows) {
    const Status status = Find(row.model, row.version, row.label);
    ASSERT_FALSE(status.ok()) << row.message;
    EXPECT_EQ(status.code(), row.code) << row.message;
    EXPECT_EQ(status.reason(), row.reason);
    EXPECT_THAT(status.message(), HasSubstr(row.message));
    EXPECT_EQ(found_, nullptr);
  }
}

TEST_F(RoutesTest, QuotesStrangersNamesCutAndWithoutControlCharacters) {
  EXPECT_THAT(Find("a\nb\x7F").message(), HasSubstr("'a?b?'"));
  EXPECT_THAT(Find(std::string(64, 'x')).message(), HasSubstr("'" + std::string(64, 'x') + "'"));
  EXPECT_THAT(Find(std::string(65, 'x')).message(), HasSubstr("'" + std::string(64, 'x') + "...'"));
  std::string name;
  for (int i = 0; i < 40; ++i) name += "\u20AC";  // Three bytes each: 64 is inside the 22nd.
  const std::string message = Find(name).message();
  EXPECT_TRUE(IsUtf8(message));
  EXPECT_THAT(message, HasSubstr(name.substr(0, 63) + "...'"));
}

TEST_F(RoutesTest, ReplacesARouteAsAWholeAndForgetsIt) {
  routes_.Set("m", NewRoute());
  auto next = std::make_shared<Route>();
  next->versions = {{2, two_}};
  next->standard = two_;
  routes_.Set("m", next);
  EXPECT_EQ(Find("m", 0, "stable").reason(), "LABEL_NOT_FOUND");
  EXPECT_EQ(one_.use_count(), 1) << "the old route is gone, and its versions with it";
  routes_.Set("m", nullptr);
  EXPECT_EQ(Find("m").reason(), "MODEL_NOT_FOUND");
  routes_.Set("m", nullptr);
  EXPECT_TRUE(routes_.Versions().empty());
}

TEST_F(RoutesTest, ListsEveryVersionOnce) {
  routes_.Set("m", NewRoute());
  auto other = std::make_shared<Route>();
  const auto third = NewVersion(1);
  other->versions = {{1, third}};
  routes_.Set("n", other);
  EXPECT_THAT(routes_.Versions(), UnorderedElementsAre(one_, two_, third));
}

TEST_F(RoutesTest, AReaderSeesTheOldRouteOrTheNewOne) {
  routes_.Set("m", NewRoute());
  std::atomic<bool> stop{false};
  std::thread writer([&] {
    for (int i = 0; i < 2000; ++i) {
      auto route = std::make_shared<Route>();
      const auto& only = i % 2 == 0 ? one_ : two_;
      route->versions = {{only->spec.version, only}};
      route->standard = only;
      route->labels = {{"stable", only->spec.version}};
      routes_.Set("m", route);
    }
    stop.store(true);
  });
  while (!stop.load()) {
    std::shared_ptr<Version> found;
    ASSERT_TRUE(routes_.Find("m", 0, "stable", &found).ok());
    ASSERT_TRUE(found == one_ || found == two_);
  }
  writer.join();
}

}  // namespace
}  // namespace maas
