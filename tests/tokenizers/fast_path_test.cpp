#include "tokenizers/fast_path.h"

#include <array>
#include <chrono>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "onnxport/tokenizer.h"
#include "tokenizers/tokenizer_file.h"
#include "tokenizers/tokenizer_fixtures.h"
#include "tokenizers/unicode.h"

namespace onnxport {
namespace {

using testing::fixtures_with;
using testing::read_text;
using testing::tokenizer_fixtures;

std::filesystem::path file_of(const std::string& name) { return tokenizer_fixtures() / name / "tokenizer.json"; }

Tokenizer plain_tokenizer(const std::string& name) {
  Tokenizer tokenizer = Tokenizer::from_file(file_of(name));
  tokenizer.set_truncation(std::nullopt);
  tokenizer.set_padding(std::nullopt);
  return tokenizer;
}

bool is_covered(const std::string& name) {
  const tokenizers::TokenizerFile file = tokenizers::read_tokenizer_file(read_text(file_of(name)), name);
  return tokenizers::FastPath::make(file.components) != nullptr;
}

/// Words, spaces and symbols as in ordinary text, and all that normalizers, patterns and added tokens look at.
class RandomText {
 public:
  explicit RandomText(unsigned seed) : random_(seed) {}

  std::string operator()(std::size_t characters) {
    static constexpr std::u32string_view interesting =
        U"''''sStTrReEvVmMlLdDſabzABZÀéßÉǅªºʰ日本ー한ㅏ0123456789²½Ⅷ٣ \t\n\r\v\f      .,!?-_/(){}~^$€«»”…‥`<>|[]"
        U"\u0000\u0085\u00a0\u1680\u2003\u2028\u3000\u200b\u200d\u0301\u0308\u20dd\u0903\ufe0f\U0001f600\U0001f469"
        U"\U0001f986\U0001d49c\U0001d7d8\ufffd\u0345\u0130"
        U"\u0131"
        U"K"
        U"\u00c5"
        U"\u2581"
        U"\u2581";
    static constexpr std::array<std::string_view, 12> words{" the",    " of",    "ing",          "\n\n",
                                                            "\r\n",    " [SEP]", "</s>",         "<|endoftext|>",
                                                            "[MASK] ", " don't", "tokenization", "    "};
    std::string text;
    char32_t last = U' ';
    for (std::size_t i = 0; i < characters; ++i) {
      const unsigned kind = number(100);
      if (kind < 8) {
        text += words[number(words.size())];
        continue;
      }
      if (kind >= 25 && kind < 60) last = interesting[number(interesting.size())];  // below 25 the same again
      if (kind >= 60 && kind < 97) last = U'a' + number(26);
      if (kind >= 97) {
        do last = number(0x110000);
        while (last >= 0xd800 && last < 0xe000);
      }
      tokenizers::append_utf8(text, last);
    }
    return text;
  }

  unsigned number(std::size_t end) { return static_cast<unsigned>(random_() % end); }

 private:
  std::mt19937 random_;
};

class FastPathTest : public ::testing::TestWithParam<std::string> {};
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(FastPathTest);

/// EncodingFields::All goes the general way; the other two do not, where the tokenizer is covered.
TEST_P(FastPathTest, EqualsTheGeneralWay) {
  const Tokenizer tokenizer = plain_tokenizer(GetParam());
  RandomText random_text(3);
  for (std::size_t round = 0; round < 1500; ++round) {
    const std::string text = random_text(round % 80);
    EncodeOptions options{.add_special_tokens = round % 2 == 0};
    const Encoding expected = tokenizer.encode(text, options);
    options.fields = EncodingFields::Ids;
    ASSERT_EQ(tokenizer.encode(text, options).ids, expected.ids) << text;
    options.fields = EncodingFields::Offsets;
    const Encoding with_offsets = tokenizer.encode(text, options);
    ASSERT_EQ(with_offsets.ids, expected.ids) << text;
    ASSERT_EQ(with_offsets.offsets, expected.offsets) << text;
    ASSERT_EQ(with_offsets.word_ids, expected.word_ids) << text;
    ASSERT_EQ(with_offsets.type_ids, expected.type_ids) << text;
    ASSERT_EQ(with_offsets.special_tokens_mask, expected.special_tokens_mask) << text;
  }
}

/// What is remembered of one text must not be seen by another thread while it changes.
TEST_P(FastPathTest, GivesTheSameToManyThreads) {
  const Tokenizer tokenizer = plain_tokenizer(GetParam());
  RandomText random_text(4);
  std::vector<std::string> texts;
  std::vector<Encoding> expected;
  const EncodeOptions options{.fields = EncodingFields::Offsets};
  for (int i = 0; i < 200; ++i) {
    texts.push_back(random_text(40));
    expected.push_back(tokenizer.encode(texts.back(), options));
  }
  std::array<int, 4> wrong{};
  std::vector<std::thread> threads;
  for (std::size_t number = 0; number < wrong.size(); ++number) {
    threads.emplace_back([&, number] {
      for (std::size_t i = 0; i < texts.size(); ++i) {
        const Encoding encoding = tokenizer.encode(texts[(i + 50 * number) % texts.size()], options);
        const Encoding& other = expected[(i + 50 * number) % texts.size()];
        wrong[number] += encoding.ids != other.ids || encoding.offsets != other.offsets ? 1 : 0;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, (std::array<int, 4>{}));
}

/// Twice the text takes about twice the time; something quadratic would take minutes here.
TEST_P(FastPathTest, WorstTextsTakeLinearTime) {
  const Tokenizer tokenizer = plain_tokenizer(GetParam());
  constexpr std::size_t size = std::size_t{1} << 20;
  std::string mixed;
  for (std::size_t i = 0; mixed.size() < size; ++i) mixed += "aé日\n' "[i * i % 9];
  mixed = tokenizers::to_valid_utf8(mixed);
  for (const std::string& text : {std::string(size, 'a'), std::string(size, ' '), std::string(size, '\n'),
                                  std::string(size, '\''), std::string(size, '1'), mixed}) {
    const auto start = std::chrono::steady_clock::now();
    tokenizer.encode(text, {.fields = EncodingFields::Offsets});
    EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(20)) << text.substr(0, 3);
  }
}

INSTANTIATE_TEST_SUITE_P(Fixtures, FastPathTest, ::testing::ValuesIn(fixtures_with("tokenizer.json")),
                         [](const auto& parameter) { return parameter.param; });

TEST(FastPathTest, CoversWhatIsInWideUse) {
  if (std::getenv("ONNXPORT_TOKENIZER_FIXTURES") != nullptr) GTEST_SKIP() << "the fixtures are others";
  std::set<std::string> covered;
  for (const std::string& name : fixtures_with("tokenizer.json")) {
    if (is_covered(name)) covered.insert(name);
  }
  EXPECT_EQ(covered,
            (std::set<std::string>{"albert_unigram", "bart_notrim", "bert_cased", "bert_lower_keepaccents_max12",
                                   "bert_uncased_multi", "gemma_bpe", "gpt2", "gpt_neox", "mbart_unigram", "minilm",
                                   "mistral_v1_legacy", "mistral_v3_cut", "roberta_prefix", "t5_unigram",
                                   "unigram_bytefallback", "whisper_cut", "xlmr_unigram"}));
}

}  // namespace
}  // namespace onnxport
