#include "maas/batching/delivery_meter.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

namespace maas {
namespace {

TEST(DeliveryMeter, SaysWhatLiesBeyondBeforeAnythingIsMeasured) {
  EXPECT_EQ(DeliveryMeter(200, 8).Ns(), 200);
}

TEST(DeliveryMeter, TheFirstValueCountsAndThenEveryNth) {
  DeliveryMeter meter(1000, 3);
  int64_t value = 0;
  for (const int64_t expected : {1010, 1010, 1010, 1030, 1030, 1030, 1060}) {
    meter.Add(value += 10);
    EXPECT_EQ(meter.Ns(), expected) << value;
  }
}

TEST(DeliveryMeter, EachValueCountsWhereThatIsAskedFor) {
  DeliveryMeter meter(0, 1);
  int64_t value = 0;
  for (const int64_t expected : {10, 10, 20, 30, 40}) {
    meter.Add(value += 10);
    EXPECT_EQ(meter.Ns(), expected) << value;
  }
}

TEST(DeliveryMeter, IsDeafToAFewOutliersAndFollowsAChange) {
  DeliveryMeter meter(0, 1);
  for (int i = 0; i < 64; ++i) meter.Add(i % 16 == 15 ? 1'000'000 : 7);
  EXPECT_EQ(meter.Ns(), 7);
  meter.Add(1'000'000);
  EXPECT_EQ(meter.Ns(), 1'000'000) << "five of 64 are no outliers";
  for (int i = 0; i < 64; ++i) meter.Add(9);
  EXPECT_EQ(meter.Ns(), 9);
}

TEST(DeliveryMeter, AnyThreadReadsIt) {
  DeliveryMeter meter(5, 1);
  std::atomic<bool> over = false;
  std::thread reader([&] {
    int64_t last = 0;
    while (!over) {
      const int64_t ns = meter.Ns();
      EXPECT_GE(ns, last);
      last = ns;
    }
  });
  for (int64_t ns = 0; ns < 10'000; ++ns) meter.Add(ns);
  over = true;
  reader.join();
  EXPECT_EQ(meter.Ns(), 9'995 + 5);
}

}  // namespace
}  // namespace maas
