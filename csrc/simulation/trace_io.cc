#include "simulation/trace_io.h"

#include <bit>
#include <istream>
#include <ostream>
#include <sstream>
#include <vector>

namespace maas::simulation {
namespace {

static_assert(std::endian::native == std::endian::little);

template <typename Number>
bool ReadColumn(std::istream& in, size_t count, std::vector<Number>* column) {
  column->resize(count);
  const auto bytes = static_cast<std::streamsize>(count * sizeof(Number));
  in.read(reinterpret_cast<char*>(column->data()), bytes);
  return in.gcount() == bytes;
}

// Calls set(request, value) with the next column.
template <typename Set>
bool ReadInto(std::istream& in, std::vector<Request>* requests, const Set& set) {
  std::vector<int64_t> column;
  if (!ReadColumn(in, requests->size(), &column)) return false;
  for (size_t i = 0; i < requests->size(); ++i) set(&(*requests)[i], column[i]);
  return true;
}

template <typename Number, typename Get>
void WriteColumn(const Result& result, std::ostream& out, const Get& get) {
  std::vector<Number> column;
  column.reserve(result.answers.size());
  for (const Answer& answer : result.answers) column.push_back(get(answer));
  out.write(reinterpret_cast<const char*>(column.data()),
            static_cast<std::streamsize>(column.size() * sizeof(Number)));
}

// False: the line is not one of the grammar's.
bool ReadLine(const std::string& text, Job* job, std::vector<size_t>* factors) {
  std::istringstream line(text);
  std::string name;
  line >> name;
  Trace& trace = job->trace;
  if (name == "policy") {
    line >> job->policy;
  } else if (name == "timeout") {
    line >> job->timeout_ns;
  } else if (name == "width") {
    line >> job->width;
  } else if (name == "cores") {
    line >> trace.cores;
  } else if (name == "model") {
    Model model;
    size_t count = 0;
    line >> model.max_batch_rows >> model.max_queue_rows >> model.instances >> model.weight >>
        model.threads >> model.base_ns >> model.row_ns >> model.seed_factor >> count;
    trace.models.push_back(model);
    factors->push_back(count);
  } else if (name == "tenant") {
    line >> trace.tenant_weights.emplace_back();
  } else if (name == "pace") {
    Pace pace;
    line >> pace.from_ns >> pace.factor;
    trace.paces.push_back(pace);
  } else if (name == "requests") {
    size_t count = 0;
    line >> count;
    if (line) trace.requests.resize(count);
  } else {
    return false;
  }
  return !line.fail();
}

std::string Check(const Trace& trace) {
  if (trace.models.empty() || trace.tenant_weights.empty()) return "no model or no tenant";
  int64_t before = 0;
  for (const Request& request : trace.requests) {
    if (request.arrival_ns < before) return "requests are not in order of arrival from 0";
    if (request.rows < 1 || request.queue >= trace.models.size() ||
        request.tenant >= trace.tenant_weights.size()) {
      return "a request has no rows, or names no model or tenant";
    }
    before = request.arrival_ns;
  }
  return "";
}

}  // namespace

std::string ReadJob(std::istream& in, Job* job) {
  *job = {};
  job->trace.tenant_weights.clear();
  std::vector<size_t> factors;
  std::string text;
  while (std::getline(in, text) && text != "data") {
    if (!ReadLine(text, job, &factors)) return "not understood: " + text;
  }
  std::vector<Request>& requests = job->trace.requests;
  const bool read =
      in.good() &&
      ReadInto(in, &requests, [](Request* request, int64_t value) { request->arrival_ns = value; }) &&
      ReadInto(in, &requests,
               [](Request* request, int64_t value) { request->deadline_ns = value < 0 ? kNever : value; }) &&
      ReadInto(in, &requests, [](Request* request, int64_t value) { request->rows = value; }) &&
      ReadInto(in, &requests,
               [](Request* request, int64_t value) { request->queue = static_cast<size_t>(value); }) &&
      ReadInto(in, &requests,
               [](Request* request, int64_t value) { request->tenant = static_cast<size_t>(value); }) &&
      ReadInto(in, &requests,
               [](Request* request, int64_t value) { request->priority = static_cast<uint64_t>(value); });
  if (!read) return "the data ends early";
  for (size_t i = 0; i < factors.size(); ++i) {
    if (!ReadColumn(in, factors[i], &job->trace.models[i].factors)) return "the data ends early";
  }
  return Check(job->trace);
}

void WriteResult(const Result& result, uint64_t lapses, std::ostream& out) {
  out << "requests " << result.answers.size() << " runs " << result.runs << " lapses " << lapses << '\n';
  WriteColumn<int64_t>(result, out,
                       [](const Answer& answer) { return static_cast<int64_t>(answer.outcome); });
  WriteColumn<int64_t>(result, out, [](const Answer& answer) { return answer.start_ns; });
  WriteColumn<int64_t>(result, out, [](const Answer& answer) { return answer.end_ns; });
  WriteColumn<int64_t>(result, out, [](const Answer& answer) { return answer.batch_rows; });
  WriteColumn<int64_t>(result, out, [](const Answer& answer) { return answer.predicted_ns; });
  WriteColumn<double>(result, out, [](const Answer& answer) { return answer.work_ns; });
}

}  // namespace maas::simulation
