// Exports a checkpoint by loading it, and keeps what was exported: export_and_save CHECKPOINT OUTPUT
#include <iostream>

#include <onnxport/auto_tokenizer.h>
#include <onnxport/error.h>
#include <onnxport/model.h>

int main(int argc, char** argv) {
  if (argc != 3) {
    std::cerr << "usage: export_and_save CHECKPOINT OUTPUT\n";
    return 2;
  }
  try {
    const auto tokenizer = onnxport::AutoTokenizer::from_pretrained(argv[1]);
    const auto ort_model = onnxport::ORTModelForSequenceClassification::from_pretrained(argv[1], {.export_ = true});

    for (const auto& file : ort_model.save_pretrained(argv[2])) std::cout << file.string() << "\n";
    for (const auto& file : tokenizer.save_pretrained(argv[2])) std::cout << file.string() << "\n";
  } catch (const onnxport::Error& error) {
    std::cerr << onnxport::to_string(error.kind()) << ": " << error.what() << "\n";
    return 1;
  }
}
