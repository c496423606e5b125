#include "maas/exec/instance.h"

#include <cassert>
#include <utility>

#include "maas/exec/batch_pack.h"

namespace maas {

Instance::Instance(std::shared_ptr<Version> version)
    : version_(std::move(version)), id_(NewInstanceId()), plans_(&version_->spec), batch_(version_, id_) {}

bool Instance::Next() {
  assert(!running());
  plans_.ClearForgotten();
  while (batch_.Take()) {
    if (Pack()) {
      batch_.Begin();
      return true;
    }
    batch_.Fail(Status(Code::kResourceExhausted, "OUT_OF_MEMORY", "no memory for a batch of this shape"));
    batch_.Deliver();
  }
  return false;
}

bool Instance::Pack() {
  const BoundRequest& any = batch_.any();
  const ModelSpec& spec = version_->spec;
  plan_ = plans_.For(any, batch_.rows());
  if (plan_ == nullptr) return false;
  bool direct = false;
  for (size_t i = 0; i < spec.inputs.size(); ++i) {
    if (spec.inputs[i].datatype == DataType::kBytes) {
      batch_.ReadStrings(i, plan_->inputs[i].dims);
      continue;
    }
    if (CanBindDirectly(spec.inputs[i], any.inputs[i], batch_.slices())) {
      if (!direct) {
        direct_ = *plan_;
        direct_.key = 0;
        plan_ = &direct_;
        direct = true;
      }
      // The runner only reads inputs.
      direct_.inputs[i].data = const_cast<std::byte*>(any.inputs[i].data.data());
      continue;
    }
    PackInput(spec, i, batch_.slices(), plan_->inputs[i].dims, plan_->inputs[i].data);
  }
  return true;
}

void Instance::Finish(std::vector<RunOutput> outputs) {
  for (size_t i = 0; i < outputs.size(); ++i) {
    const RunPlan::Tensor& planned = plan_->outputs[i];
    if (planned.data != nullptr && outputs[i].data == nullptr) {
      outputs[i].dims = planned.dims;
      outputs[i].data = planned.data;
    }
  }
  batch_.Finish(std::move(outputs));
}

}  // namespace maas
