// Feeds ONNX Runtime's own C++ API by hand with what a tokenizer gives: session_by_hand DIRECTORY TEXT...
//
// The C++ of Python's
//   inputs = tokenizer(texts, padding=True, truncation=True, return_tensors="np")
//   outputs = onnxruntime.InferenceSession("model.onnx").run(None, dict(inputs))
#include <cstdint>
#include <exception>
#include <iostream>
#include <string>
#include <vector>

#include <onnxport/auto_tokenizer.h>
#include <onnxruntime_cxx_api.h>

namespace {

/// A tensor over the array's own memory. ONNX Runtime does not write to inputs.
Ort::Value as_value(const onnxport::Array& array) {
  const auto memory = Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault);
  return Ort::Value::CreateTensor<std::int64_t>(memory, const_cast<std::int64_t*>(array.data<std::int64_t>()),
                                                static_cast<std::size_t>(array.element_count()), array.shape().data(),
                                                array.shape().size());
}

void run(const std::string& directory, const std::vector<std::string>& texts) {
  const auto tokenizer = onnxport::AutoTokenizer::from_pretrained(directory);
  const onnxport::BatchEncoding inputs = tokenizer(
      texts, {.padding = onnxport::PaddingStrategy::Longest, .truncation = onnxport::TruncationStrategy::LongestFirst});

  const Ort::Env environment;
  Ort::Session session(environment, (directory + "/model.onnx").c_str(), Ort::SessionOptions());
  Ort::AllocatorWithDefaultOptions allocator;

  // The model says which of the tokenizer's tensors it takes: DistilBERT, say, has no token_type_ids.
  std::vector<std::string> names;
  std::vector<onnxport::Array> tensors;  // they own the memory that the values below lie in
  for (std::size_t i = 0; i < session.GetInputCount(); ++i) {
    names.emplace_back(session.GetInputNameAllocated(i, allocator).get());
    tensors.push_back(inputs.tensor(names.back()));
  }
  for (std::size_t i = 0; i < session.GetOutputCount(); ++i)
    names.emplace_back(session.GetOutputNameAllocated(i, allocator).get());
  std::vector<const char*> name_pointers;
  for (const std::string& name : names) name_pointers.push_back(name.c_str());
  std::vector<Ort::Value> values;
  for (const onnxport::Array& tensor : tensors) values.push_back(as_value(tensor));

  const char* const* output_names = name_pointers.data() + values.size();
  const std::vector<Ort::Value> outputs = session.Run(Ort::RunOptions(), name_pointers.data(), values.data(),
                                                      values.size(), output_names, names.size() - values.size());

  for (std::size_t i = 0; i < outputs.size(); ++i) {
    std::cout << output_names[i] << ":";
    for (const std::int64_t size : outputs[i].GetTensorTypeAndShapeInfo().GetShape()) std::cout << " " << size;
    std::cout << ", begins with " << *outputs[i].GetTensorData<float>() << "\n";
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) {
    std::cerr << "usage: session_by_hand DIRECTORY TEXT...\n";
    return 2;
  }
  try {
    run(argv[1], std::vector<std::string>(argv + 2, argv + argc));
  } catch (const std::exception& error) {
    std::cerr << "session_by_hand: " << error.what() << "\n";
    return 1;
  }
}
