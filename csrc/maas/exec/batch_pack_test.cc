#include "maas/exec/batch_pack.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "maas/exec/exec_testing.h"
#include "maas/exec/run_shapes.h"

namespace maas {
namespace {

using testing::ElementsAre;
using testing::ElementsAreArray;

// Requests bound to a spec, and the slices of a batch made of them.
class BatchPackTest : public testing::Test {
 protected:
  void Make(ModelSpec spec) { version_ = MakeVersion(std::move(spec), &clock_); }

  // The whole of a request; or of rows [begin, begin + rows).
  void Add(const MessageBuilder& request, int64_t begin = 0, int64_t rows = -1) {
    calls_.push_back(Send(version_, &sink_, request));
    const auto& entry = calls_.back()->entry;
    batch_.push_back({entry, begin, rows < 0 ? entry->rows : rows});
  }

  Dims DimsOf(size_t index) const {
    int64_t rows = 0;
    for (const Slice& slice : batch_) rows += slice.rows;
    return ShapesOfRun(version_->spec, EntryOf(batch_[0]).bound, rows).inputs[index];
  }
  template <typename T>
  std::vector<T> Pack(size_t index = 0) const {
    const Dims dims = DimsOf(index);
    std::vector<T> out(static_cast<size_t>(ElementCount(dims)), T{99});
    PackInput(version_->spec, index, batch_, dims, reinterpret_cast<std::byte*>(out.data()));
    return out;
  }
  bool Direct(size_t index = 0) const {
    const ModelSpec& spec = version_->spec;
    return CanBindDirectly(spec.inputs[index], EntryOf(batch_[0]).bound.inputs[index], batch_);
  }

  FakeClock clock_{1'000'000'000};
  CollectingSink sink_;
  std::shared_ptr<Version> version_;
  std::vector<std::unique_ptr<Call>> calls_;
  std::vector<Slice> batch_;
};

MessageBuilder FloatRequest(std::initializer_list<int64_t> shape, std::initializer_list<float> values) {
  return RequestFor(TensorMessage("x", 12, shape, BytesOf(values)));
}

TEST_F(BatchPackTest, JoinsTheRowsOfItsRequests) {
  Make(MakeSpec({MakeInput("x", DataType::kFp32, {-1, 2})}));
  Add(FloatRequest({1, 2}, {1, 2}));
  Add(FloatRequest({2, 2}, {3, 4, 5, 6}));
  EXPECT_THAT(Pack<float>(), ElementsAre(1, 2, 3, 4, 5, 6));
}

TEST_F(BatchPackTest, TakesTheRowsOfASliceOnly) {
  Make(MakeSpec({MakeInput("x", DataType::kFp32, {-1, 2})}));
  Add(FloatRequest({3, 2}, {1, 2, 3, 4, 5, 6}), 1, 2);
  EXPECT_THAT(Pack<float>(), ElementsAre(3, 4, 5, 6));
}

TEST_F(BatchPackTest, JoinsAlongAnyBatchAxis) {
  Make(MakeSpec({MakeInput("x", DataType::kFp32, {2, -1}, 1)}));
  Add(FloatRequest({2, 1}, {1, 2}));
  Add(FloatRequest({2, 2}, {3, 4, 5, 6}));
  EXPECT_THAT(Pack<float>(), ElementsAre(1, 3, 4, 2, 5, 6));
}

TEST_F(BatchPackTest, TakesASharedInputOnce) {
  Make(MakeSpec({MakeInput("x", DataType::kFp32, {-1}), MakeInput("w", DataType::kFp32, {2}, -1)}));
  for (float x : {1.0F, 2.0F}) {
    Add(MessageBuilder(FloatRequest({1}, {x}))
            .Message(5, TensorMessage("w", 12, {2}, BytesOf({7.0F, 8.0F}))));
  }
  EXPECT_THAT(Pack<float>(0), ElementsAre(1, 2));
  EXPECT_THAT(Pack<float>(1), ElementsAre(7, 8));
}

TEST_F(BatchPackTest, DequantizesAsItPacks) {
  Make(MakeSpec({MakeInput("x", DataType::kFp32, {-1, 2})}));
  const float per_tensor[] = {0.5F};
  const float per_axis[] = {1.0F, 10.0F};
  const auto quantized = [](std::span<const float> scales, std::initializer_list<int64_t> zero_points,
                            int64_t axis) {
    MessageBuilder quantization = MessageBuilder().Floats(1, scales).Packed(2, zero_points);
    if (axis >= 0) quantization.Number(3, axis);
    return RequestFor(MessageBuilder(TensorMessage("x", 6, {2, 2}, BytesOf<int8_t>({2, 4, 6, 8})))
                          .Message(5, quantization));
  };
  Add(quantized(per_tensor, {2}, -1));
  Add(quantized(per_axis, {0, 1}, 1));
  // Scales per row: a slice must take those of its own rows.
  Add(quantized(per_axis, {0, 1}, 0), 1, 1);
  Add(FloatRequest({1, 2}, {-1, -2}));
  EXPECT_THAT(Pack<float>(), ElementsAre(0, 1, 2, 3, 2, 30, 6, 70, 50, 70, -1, -2));
}

TEST_F(BatchPackTest, PadsToTheBucketAndFillsMaskAndLengths) {
  InputSpec ids = MakePadded("x");
  ids.datatype = DataType::kFp32;
  const float pad = -1;
  std::memcpy(ids.pad_value.data(), &pad, sizeof(pad));
  InputSpec mask = MakePadded("mask", AutoFill::kMask);
  InputSpec lengths = MakeInput("lengths", DataType::kInt32, {-1});
  lengths.pad_group = 0;
  lengths.auto_fill = AutoFill::kLength;
  ModelSpec spec = MakeSpec({ids, mask, lengths});
  spec.pad_groups = {{{4}}};
  Make(std::move(spec));
  Add(FloatRequest({1, 3}, {1, 2, 3}));
  Add(FloatRequest({2, 1}, {4, 5}));
  Add(FloatRequest({1, 4}, {6, 7, 8, 9}));
  Add(FloatRequest({1, 0}, {}));
  EXPECT_THAT(Pack<float>(0),
              ElementsAreArray({1, 2, 3, -1, 4, -1, -1, -1, 5, -1, -1, -1, 6, 7, 8, 9, -1, -1, -1, -1}));
  EXPECT_THAT(Pack<int64_t>(1),
              ElementsAreArray({1, 1, 1, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 1, 1, 1, 0, 0, 0, 0}));
  EXPECT_THAT(Pack<int32_t>(2), ElementsAre(3, 1, 1, 4, 0));
}

TEST_F(BatchPackTest, FillsAMaskInTheDatatypesOwnOne) {
  struct Row {
    DataType type;
    std::string one;
  };
  const Row rows[] = {
      {DataType::kBool, BytesOf<uint8_t>({1})},       {DataType::kInt8, BytesOf<int8_t>({1})},
      {DataType::kInt32, BytesOf<int32_t>({1})},      {DataType::kFp16, BytesOf<uint16_t>({0x3C00})},
      {DataType::kBf16, BytesOf<uint16_t>({0x3F80})}, {DataType::kFp32, BytesOf<float>({1})},
      {DataType::kFp64, BytesOf<double>({1})}};
  for (const Row& row : rows) {
    SCOPED_TRACE(Name(row.type));
    InputSpec ids = MakePadded("x");
    ids.datatype = DataType::kFp32;
    InputSpec mask = MakePadded("mask", AutoFill::kMask);
    mask.datatype = row.type;
    ModelSpec spec = MakeSpec({ids, mask});
    spec.pad_groups = {{{2}}};
    Make(std::move(spec));
    batch_.clear();
    Add(FloatRequest({1, 1}, {5}));
    std::string packed(2 * row.one.size(), '\xEE');
    PackInput(version_->spec, 1, batch_, DimsOf(1), reinterpret_cast<std::byte*>(packed.data()));
    EXPECT_EQ(packed, row.one + std::string(row.one.size(), '\0'));
  }
}

TEST_F(BatchPackTest, JoinsStringsWithoutCopyingThem) {
  Make(MakeSpec({MakeInput("x", DataType::kBytes, {-1, 2})}));
  Add(RequestFor(TensorMessage("x", 14, {1, 2}, Strings({"a", ""}))));
  Add(RequestFor(TensorMessage("x", 14, {3, 2}, Strings({"b", "c", "d", "e", "f", "g"}))), 1, 2);
  const auto packed = PackStrings(version_->spec, 0, batch_, DimsOf(0));
  EXPECT_THAT(packed, ElementsAre("a", "", "d", "e", "f", "g"));
  const std::string& message = calls_[1]->message;
  EXPECT_GE(packed[2].data(), message.data());
  EXPECT_LT(packed[2].data(), message.data() + message.size());
}

TEST_F(BatchPackTest, JoinsStringsAlongAnyBatchAxis) {
  Make(MakeSpec({MakeInput("x", DataType::kBytes, {2, -1}, 1)}));
  Add(RequestFor(TensorMessage("x", 14, {2, 1}, Strings({"a", "b"}))));
  Add(RequestFor(TensorMessage("x", 14, {2, 2}, Strings({"c", "d", "e", "f"}))));
  EXPECT_THAT(PackStrings(version_->spec, 0, batch_, DimsOf(0)), ElementsAre("a", "c", "d", "b", "e", "f"));
}

TEST_F(BatchPackTest, TakesSharedStringsOnce) {
  Make(MakeSpec({MakeInput("x", DataType::kFp32, {-1}), MakeInput("s", DataType::kBytes, {1}, -1)}));
  for (float x : {1.0F, 2.0F}) {
    Add(MessageBuilder(FloatRequest({1}, {x})).Message(5, TensorMessage("s", 14, {1}, Strings({"shared"}))));
  }
  EXPECT_THAT(PackStrings(version_->spec, 1, batch_, DimsOf(1)), ElementsAre("shared"));
}

TEST_F(BatchPackTest, SplitsTheWireFormOfStrings) {
  const std::string wire = Strings({"", "ab", std::string(300, 'x')});
  EXPECT_THAT(SplitStrings(std::as_bytes(std::span(wire))), ElementsAre("", "ab", std::string(300, 'x')));
  EXPECT_TRUE(SplitStrings({}).empty());
}

TEST_F(BatchPackTest, BindsOnlyALargeWholeAlignedLoneRequestDirectly) {
  constexpr int64_t kRows = 4;
  constexpr int64_t kColumns = 32 * 1024;  // 512 KiB in all.
  Make(MakeSpec({MakeInput("x", DataType::kFp32, {-1, -1})}));
  const auto large = [&](int64_t columns, size_t id_bytes) {
    return RequestFor(
        TensorMessage("x", 12, {kRows, columns}, std::string(static_cast<size_t>(kRows * columns) * 4, 'x')),
        std::string(id_bytes, 'i'));
  };
  // The id in front moves the payload, so one of four in a row is aligned.
  int direct = 0;
  for (size_t id_bytes = 1; id_bytes <= 4; ++id_bytes) {
    batch_.clear();
    Add(large(kColumns, id_bytes));
    const auto* data = EntryOf(batch_[0]).bound.inputs[0].data.data();
    EXPECT_EQ(Direct(), reinterpret_cast<uintptr_t>(data) % 4 == 0);
    if (!Direct()) continue;
    ++direct;
    batch_[0].rows = kRows - 1;
    EXPECT_FALSE(Direct()) << "a slice is not the whole";
    batch_[0].rows = kRows;
    batch_.push_back(batch_[0]);
    EXPECT_FALSE(Direct()) << "company must be packed";
  }
  EXPECT_EQ(direct, 1);
  batch_.clear();
  Add(large(16, 1));
  EXPECT_FALSE(Direct()) << "small ones are cheaper to copy";
}

TEST_F(BatchPackTest, NeverBindsPaddedOrQuantizedInputsDirectly) {
  const size_t bytes = size_t{1} << 20;
  InputSpec padded = MakePadded("x");
  ModelSpec spec = MakeSpec({padded});
  spec.pad_groups = {{{131072}}};
  Make(std::move(spec));
  for (size_t id_bytes = 1; id_bytes <= 8; ++id_bytes) {
    batch_.clear();
    Add(RequestFor(TensorMessage("x", 9, {1, 131072}, std::string(bytes, 'x')), std::string(id_bytes, 'i')));
    EXPECT_FALSE(Direct());
  }
  Make(MakeSpec({MakeInput("x", DataType::kFp32, {-1, -1})}));
  batch_.clear();
  const float scale[] = {1.0F};
  Add(RequestFor(MessageBuilder(TensorMessage("x", 6, {1, int64_t{1} << 20}, std::string(bytes, 'x')))
                     .Message(5, MessageBuilder().Floats(1, scale))));
  EXPECT_FALSE(Direct());
}

}  // namespace
}  // namespace maas
