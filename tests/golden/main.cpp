// The golden tests, and with --coverage-table their result as a table of model types and tasks.
#include <algorithm>
#include <iostream>
#include <map>
#include <set>
#include <string>
#include <string_view>

#include <gtest/gtest.h>

namespace onnxport::testing {
namespace {

struct Tally {
  int passed = 0;
  int failed = 0;
};

/// Counts the tests of each fixture file by model type and task. GoogleTest knows a parameter by its text,
/// "bert.relative_key/fill-mask.safetensors".
class CoverageListener : public ::testing::EmptyTestEventListener {
 public:
  void OnTestEnd(const ::testing::TestInfo& test) override {
    if (!test.value_param()) return;
    const std::string_view parameter(test.value_param());
    const std::size_t slash = parameter.find('/');
    const std::string_view file = parameter.substr(slash + 1);
    const std::string model_type(parameter.substr(0, std::min(slash, parameter.find('.'))));
    Tally& tally = tallies_[model_type][std::string(file.substr(0, file.find('.')))];
    ++(test.result()->Passed() ? tally.passed : tally.failed);
  }

  void print(std::ostream& out) const {
    std::set<std::string> tasks;
    for (const auto& [model_type, row] : tallies_)
      for (const auto& [task, tally] : row) tasks.insert(task);
    out << "| model type |";
    for (const std::string& task : tasks) out << " " << task << " |";
    out << "\n|---|";
    for (std::size_t i = 0; i < tasks.size(); ++i) out << "---|";
    out << "\n";
    for (const auto& [model_type, row] : tallies_) {
      out << "| " << model_type << " |";
      for (const std::string& task : tasks) out << " " << cell(row, task) << " |";
      out << "\n";
    }
  }

 private:
  static std::string cell(const std::map<std::string, Tally>& row, const std::string& task) {
    const auto found = row.find(task);
    if (found == row.end()) return "";
    const Tally& tally = found->second;
    if (tally.failed == 0) return "✓ " + std::to_string(tally.passed);
    return "✗ " + std::to_string(tally.failed) + " of " + std::to_string(tally.passed + tally.failed);
  }

  std::map<std::string, std::map<std::string, Tally>> tallies_;
};

int print_coverage_table() {
  ::testing::GTEST_FLAG(filter) = "Fixtures/*";
  ::testing::TestEventListeners& listeners = ::testing::UnitTest::GetInstance()->listeners();
  delete listeners.Release(listeners.default_result_printer());
  auto* coverage = new CoverageListener;  // owned by GoogleTest
  listeners.Append(coverage);
  const int status = RUN_ALL_TESTS();
  std::cout << "Tests against values of transformers: ✓ and how many passed, ✗ and how many failed.\n\n";
  coverage->print(std::cout);
  return status;
}

}  // namespace
}  // namespace onnxport::testing

int main(int argc, char** argv) {
  ::testing::InitGoogleTest(&argc, argv);
  if (argc > 1 && std::string_view(argv[1]) == "--coverage-table") return onnxport::testing::print_coverage_table();
  return RUN_ALL_TESTS();
}
