#include "simulation/trace_io.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>
#include <string>
#include <vector>

namespace maas::simulation {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

template <typename Number>
std::string Bytes(const std::vector<Number>& numbers) {
  return {reinterpret_cast<const char*>(numbers.data()), numbers.size() * sizeof(Number)};
}

const std::string kHead =
    "policy edf\ntimeout 5\nwidth 3\ncores 2\nmodel 8 100 1 0.5 2 6000000.0 1e6 1.5 2\n"
    "model 4 10 2 1 1 1 2 0 0\ntenant 1\ntenant 4\npace 7 2.5\nrequests 2\ndata\n";

std::string Columns(std::vector<int64_t> arrivals = {3, 4}, std::vector<int64_t> rows = {1, 2},
                    std::vector<int64_t> models = {0, 1}) {
  return Bytes<int64_t>(arrivals) + Bytes<int64_t>({10, -1}) + Bytes<int64_t>(rows) + Bytes<int64_t>(models) +
         Bytes<int64_t>({1, 0}) + Bytes<int64_t>({0, 2});
}
const std::string kFactors = Bytes<double>({1.0, 0.25});

std::string Read(const std::string& text, Job* job) {
  std::istringstream in(text);
  return ReadJob(in, job);
}

TEST(ReadJobTest, ReadsWhatTheGrammarSays) {
  Job job;
  ASSERT_EQ(Read(kHead + Columns() + kFactors, &job), "");
  EXPECT_EQ(job.policy, "edf");
  EXPECT_EQ(job.timeout_ns, 5);
  EXPECT_EQ(job.width, 3);
  const Trace& trace = job.trace;
  EXPECT_EQ(trace.cores, 2);
  ASSERT_EQ(trace.models.size(), 2);
  EXPECT_EQ(trace.models[0].RunNs(2), 8e6);
  EXPECT_EQ(trace.models[0].threads, 2);
  EXPECT_EQ(trace.models[0].seed_factor, 1.5);
  EXPECT_THAT(trace.models[0].factors, ElementsAre(1.0, 0.25));
  EXPECT_EQ(trace.models[1].max_queue_rows, 10);
  EXPECT_THAT(trace.tenant_weights, ElementsAre(1, 4));
  EXPECT_EQ(trace.paces[0].factor, 2.5);
  ASSERT_EQ(trace.requests.size(), 2);
  EXPECT_EQ(trace.requests[0].deadline_ns, 10);
  EXPECT_EQ(trace.requests[1].deadline_ns, kNever);
  EXPECT_EQ(trace.requests[1].rows, 2);
  EXPECT_EQ(trace.requests[1].queue, 1);
  EXPECT_EQ(trace.requests[0].tenant, 1);
  EXPECT_EQ(trace.requests[1].priority, 2);
}

TEST(ReadJobTest, RefusesWhatTheGrammarDoesNotSay) {
  Job job;
  EXPECT_THAT(Read("police edf\ndata\n", &job), HasSubstr("police edf"));
  EXPECT_THAT(Read("cores many\ndata\n", &job), HasSubstr("cores many"));
  EXPECT_THAT(Read("policy edf\n", &job), HasSubstr("ends early"));
  EXPECT_THAT(Read(kHead + Columns(), &job), HasSubstr("ends early"));
  EXPECT_THAT(Read(kHead + Columns().substr(1) + kFactors, &job), HasSubstr("ends early"));
  EXPECT_THAT(Read("policy edf\ndata\n", &job), HasSubstr("no model"));
}

TEST(ReadJobTest, RefusesRequestsThatCannotBe) {
  Job job;
  EXPECT_THAT(Read(kHead + Columns({4, 3}) + kFactors, &job), HasSubstr("order of arrival"));
  EXPECT_THAT(Read(kHead + Columns({-1, 3}) + kFactors, &job), HasSubstr("order of arrival"));
  EXPECT_THAT(Read(kHead + Columns({3, 4}, {0, 1}) + kFactors, &job), HasSubstr("no rows"));
  EXPECT_THAT(Read(kHead + Columns({3, 4}, {1, 1}, {0, 2}) + kFactors, &job), HasSubstr("no model"));
}

TEST(WriteResultTest, WritesColumns) {
  Result result;
  result.answers = {{Outcome::kAnswered, 1, 2, 3, 4, 0.5}, {Outcome::kHopeless, -1, 9, 0, -1, 0}};
  result.runs = 7;
  std::ostringstream out;
  WriteResult(result, 2, out);
  EXPECT_EQ(out.str(), "requests 2 runs 7 lapses 2\n" + Bytes<int64_t>({1, 4, 1, -1, 2, 9, 3, 0, 4, -1}) +
                           Bytes<double>({0.5, 0.0}));
}

}  // namespace
}  // namespace maas::simulation
