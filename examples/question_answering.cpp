// Answers a question about a text: question_answering DIRECTORY [QUESTION CONTEXT]
//
// DIRECTORY is what `onnxport export onnx --task question-answering` made. This is the model itself; the pipeline
// "question-answering" also takes texts longer than the model and weighs whole spans.
#include <algorithm>
#include <cstdint>
#include <iostream>
#include <span>
#include <string>
#include <vector>

#include <onnxport/auto_tokenizer.h>
#include <onnxport/error.h>
#include <onnxport/model.h>

namespace {

std::size_t index_of_largest(const onnxport::Array& logits) {
  const std::span<const float> values = logits.values<float>();
  return static_cast<std::size_t>(std::max_element(values.begin(), values.end()) - values.begin());
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2 && argc != 4) {
    std::cerr << "usage: question_answering DIRECTORY [QUESTION CONTEXT]\n";
    return 2;
  }
  const std::string question = argc > 2 ? argv[2] : "What am I using?";
  const std::string context = argc > 3 ? argv[3] : "Using DistilBERT with ONNX Runtime!";
  try {
    const auto tokenizer = onnxport::AutoTokenizer::from_pretrained(argv[1]);
    const auto model = onnxport::ORTModelForQuestionAnswering::from_pretrained(argv[1]);

    const auto inputs = tokenizer(question, context);
    const auto outputs = model(inputs);

    const std::size_t start = index_of_largest(outputs.start_logits);
    const std::size_t end = index_of_largest(outputs.end_logits);
    const std::vector<std::uint32_t>& ids = inputs.encodings().front().ids;
    std::cout << "tokens: " << ids.size() << "\nstart: " << start << "\nend: " << end << "\nanswer: ";
    if (start <= end) std::cout << tokenizer.decode(std::span(ids).subspan(start, end - start + 1));
    std::cout << "\n";
  } catch (const onnxport::Error& error) {
    std::cerr << onnxport::to_string(error.kind()) << ": " << error.what() << "\n";
    return 1;
  }
}
