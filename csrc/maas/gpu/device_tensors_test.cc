#include "maas/gpu/device_tensors.h"

#include <gtest/gtest.h>

#include <memory>

#include "maas/exec/run_plans.h"
#include "maas/gpu/fake_device_testing.h"
#include "maas/model/bind_testing.h"

namespace maas {
namespace {

class DeviceTensorsTest : public testing::Test {
 protected:
  DeviceTensorsTest() { EXPECT_TRUE(DeviceTable::Make(fake_.api(), &table_).ok()); }

  FakeDevices fake_{{{.total_bytes = 4096}}};
  std::unique_ptr<DeviceTable> table_;
};

TEST_F(DeviceTensorsTest, GivesMemoryOfTheDeviceAndTakesItBack) {
  DeviceTensors tensors(table_->device(0));
  std::byte* const memory = tensors.Allocate(2048);
  ASSERT_NE(memory, nullptr);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(memory) % TensorMemory::kAlignment, 0U);
  EXPECT_EQ(fake_.InUse().memory, 1U);
  EXPECT_EQ(tensors.Allocate(4096), nullptr);
  EXPECT_FALSE(table_->device(0)->lost());
  tensors.Free(memory);
  EXPECT_EQ(fake_.InUse(), FakeInUse());
}

TEST_F(DeviceTensorsTest, HasNoneOfALostDeviceAndTakesBackWhatThereIs) {
  DeviceTensors tensors(table_->device(0));
  std::byte* const memory = tensors.Allocate(64);
  ASSERT_NE(memory, nullptr);
  fake_.FailCall(FakeCall::kAllocate, 1, MAAS_DEVICE_LOST);
  EXPECT_EQ(tensors.Allocate(64), nullptr);
  EXPECT_TRUE(table_->device(0)->lost());
  tensors.Free(memory);
  EXPECT_EQ(fake_.InUse(), FakeInUse());
}

TEST_F(DeviceTensorsTest, HoldsTheTensorsOfPlans) {
  DeviceTensors tensors(table_->device(0));
  const ModelSpec spec = MakeSpec({MakeInput("x", DataType::kFp32, {-1, 4})});
  {
    RunPlans plans(&spec, &tensors);
    BoundRequest bound;
    ASSERT_EQ(TestRequest().Add("x", DataType::kFp32, {2, 4}).Bind(spec, &bound), "");
    const RunPlan* const plan = plans.For(bound, 2);
    ASSERT_NE(plan, nullptr);
    EXPECT_NE(plan->inputs[0].data, plan->outputs[0].data);
    EXPECT_EQ(fake_.InUse().memory, 2U);
  }
  EXPECT_EQ(fake_.InUse().memory, 0U);
}

}  // namespace
}  // namespace maas
