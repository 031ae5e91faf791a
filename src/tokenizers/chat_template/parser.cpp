// Jinja's grammar, as jinja2/parser.py has it.
#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "core/nearest.h"
#include "onnxport/error.h"
#include "tokenizers/chat_template/builtins.h"
#include "tokenizers/chat_template/lexer.h"
#include "tokenizers/chat_template/syntax.h"
#include "tokenizers/unicode.h"

namespace onnxport::jinja {
namespace {

using std::string_view;

/// Of expressions and statements within each other. Templates of models come to some twenty.
constexpr int kMaximumNesting = 200;

constexpr std::array<string_view, 6> kConstants{"true", "false", "none", "True", "False", "None"};

bool is_constant_name(string_view name) {
  return std::find(kConstants.begin(), kConstants.end(), name) != kConstants.end();
}

class Parser {
 public:
  Parser(std::vector<Token> tokens, string_view name) : tokens_(std::move(tokens)), name_(name) {}

  Block run() { return parse_block({}); }

 private:
  /// Counts how deep the parser is in its own recursion.
  class Nesting {
   public:
    explicit Nesting(Parser& parser) : parser_(parser) {
      if (++parser_.nesting_ > kMaximumNesting) parser_.fail("the template is nested too deeply");
    }
    ~Nesting() { --parser_.nesting_; }
    Nesting(const Nesting&) = delete;
    Nesting& operator=(const Nesting&) = delete;

   private:
    Parser& parser_;
  };

  // ---- Tokens -------------------------------------------------------------------------------------------------------

  const Token& current() const { return tokens_[position_]; }
  const Token& following() const { return tokens_[std::min(position_ + 1, tokens_.size() - 1)]; }
  const Token& advance() {
    const Token& token = tokens_[position_];
    if (position_ + 1 < tokens_.size()) ++position_;
    return token;
  }

  static bool is_operator(const Token& token, string_view text) {
    return token.kind == TokenKind::Operator && token.text == text;
  }
  static bool is_name(const Token& token, string_view text) {
    return token.kind == TokenKind::Name && token.text == text;
  }
  bool at_operator(string_view text) const { return is_operator(current(), text); }
  bool at_name(string_view text) const { return is_name(current(), text); }

  bool skip_operator(string_view text) {
    if (!at_operator(text)) return false;
    advance();
    return true;
  }
  bool skip_name(string_view text) {
    if (!at_name(text)) return false;
    advance();
    return true;
  }

  void expect_operator(string_view text) {
    if (!skip_operator(text)) fail(fmt::format("expected '{}', got {}", text, describe(current())));
  }
  void expect_name(string_view text) {
    if (!skip_name(text)) fail(fmt::format("expected '{}', got {}", text, describe(current())));
  }
  void expect(TokenKind kind, string_view what) {
    if (current().kind != kind) fail(fmt::format("expected {}, got {}", what, describe(current())));
    advance();
  }
  std::string expect_identifier() {
    if (current().kind != TokenKind::Name) fail(fmt::format("expected a name, got {}", describe(current())));
    return advance().text;
  }

  static std::string describe(const Token& token) {
    switch (token.kind) {
      case TokenKind::Data:
        return "text of the template";
      case TokenKind::BlockBegin:
        return "'{%'";
      case TokenKind::BlockEnd:
        return "'%}'";
      case TokenKind::VariableBegin:
        return "'{{'";
      case TokenKind::VariableEnd:
        return "'}}'";
      case TokenKind::String:
        return "a string";
      case TokenKind::Name:
      case TokenKind::Number:
      case TokenKind::Operator:
        return "'" + token.text + "'";
      case TokenKind::End:
        return "the end of the template";
    }
    return "";
  }

  [[noreturn]] void fail(const std::string& message) const { fail_at(current().line, message); }
  [[noreturn]] void fail_at(int line, const std::string& message) const { fail_syntax(name_, line, message); }

  // ---- Nodes --------------------------------------------------------------------------------------------------------

  static ExpressionPointer make(ExpressionKind kind, int line) {
    auto node = std::make_unique<Expression>();
    node->kind = kind;
    node->line = line;
    return node;
  }

  /// A node whose parts are complete: the tree must not become too deep to walk through.
  ExpressionPointer finish(ExpressionPointer node) const {
    int depth = 0;
    const auto visit = [&](const ExpressionPointer& child) {
      if (child) depth = std::max(depth, child->depth);
    };
    for (const ExpressionPointer& operand : node->operands) visit(operand);
    for (const ExpressionPointer& argument : node->arguments.positional) visit(argument);
    for (const auto& [keyword, argument] : node->arguments.keywords) visit(argument);
    visit(node->arguments.unpacked_positional);
    visit(node->arguments.unpacked_keywords);
    node->depth = depth + 1;
    if (node->depth > kMaximumNesting) fail_at(node->line, "the expression is nested too deeply");
    return node;
  }

  ExpressionPointer make_unary(ExpressionKind kind, int line, ExpressionPointer operand) const {
    ExpressionPointer node = make(kind, line);
    node->operands.push_back(std::move(operand));
    return finish(std::move(node));
  }

  static ExpressionPointer make_constant(Value value, int line) {
    ExpressionPointer node = make(ExpressionKind::Constant, line);
    node->value = std::move(value);
    return node;
  }

  /// A string that lives as long as the template: it counts against no rendering's bounds.
  static Value constant_string(std::string text) {
    auto object = std::make_shared<StringObject>();
    object->length = tokenizers::count_characters(text);
    object->text = std::move(text);
    return Value(Kind::String, std::move(object));
  }

  // ---- Expressions --------------------------------------------------------------------------------------------------

  ExpressionPointer parse_expression(bool with_condition = true) {
    const Nesting nesting(*this);
    return with_condition ? parse_condition() : parse_or();
  }

  ExpressionPointer parse_condition() {
    const int line = current().line;
    ExpressionPointer expression = parse_or();
    while (skip_name("if")) {
      ExpressionPointer node = make(ExpressionKind::Condition, line);
      node->operands.push_back(parse_or());
      node->operands.push_back(std::move(expression));
      node->operands.push_back(skip_name("else") ? parse_expression() : nullptr);
      expression = finish(std::move(node));
    }
    return expression;
  }

  /// Operands of one precedence with `and` or `or` between them.
  template <typename ParseOperand>
  ExpressionPointer parse_logical(ExpressionKind kind, string_view word, ParseOperand parse_operand) {
    const int line = current().line;
    ExpressionPointer left = parse_operand();
    if (!at_name(word)) return left;
    ExpressionPointer node = make(kind, line);
    node->operands.push_back(std::move(left));
    while (skip_name(word)) node->operands.push_back(parse_operand());
    return finish(std::move(node));
  }

  ExpressionPointer parse_or() {
    return parse_logical(ExpressionKind::Or, "or", [this] { return parse_and(); });
  }

  ExpressionPointer parse_and() {
    return parse_logical(ExpressionKind::And, "and", [this] { return parse_not(); });
  }

  ExpressionPointer parse_not() {
    if (!at_name("not")) return parse_comparison();
    const Nesting nesting(*this);
    const int line = advance().line;
    return make_unary(ExpressionKind::Not, line, parse_not());
  }

  std::optional<Comparator> read_comparator() {
    static constexpr std::pair<string_view, Comparator> kSymbols[] = {
        {"==", Comparator::Equal},       {"!=", Comparator::NotEqual}, {"<", Comparator::Less},
        {"<=", Comparator::LessOrEqual}, {">", Comparator::Greater},   {">=", Comparator::GreaterOrEqual}};
    for (const auto& [symbol, comparator] : kSymbols)
      if (skip_operator(symbol)) return comparator;
    if (skip_name("in")) return Comparator::In;
    if (!at_name("not") || !is_name(following(), "in")) return std::nullopt;
    advance();
    advance();
    return Comparator::NotIn;
  }

  ExpressionPointer parse_comparison() {
    const int line = current().line;
    ExpressionPointer left = parse_sum();
    std::optional<Comparator> comparator = read_comparator();
    if (!comparator) return left;
    ExpressionPointer node = make(ExpressionKind::Comparison, line);
    node->operands.push_back(std::move(left));
    for (; comparator; comparator = read_comparator()) {
      node->comparators.push_back(*comparator);
      node->operands.push_back(parse_sum());
    }
    return finish(std::move(node));
  }

  /// Operands with arithmetic operators of one precedence between them.
  template <typename ParseOperand>
  ExpressionPointer parse_arithmetic(std::initializer_list<std::pair<string_view, Operator>> operators,
                                     ParseOperand parse_operand) {
    const int line = current().line;
    ExpressionPointer left = parse_operand();
    const auto find_operator = [&] {
      return std::find_if(operators.begin(), operators.end(),
                          [&](const auto& entry) { return at_operator(entry.first); });
    };
    if (find_operator() == operators.end()) return left;
    ExpressionPointer node = make(ExpressionKind::Arithmetic, line);
    node->operands.push_back(std::move(left));
    for (auto found = find_operator(); found != operators.end(); found = find_operator()) {
      advance();
      node->operators.push_back(found->second);
      node->operands.push_back(parse_operand());
    }
    return finish(std::move(node));
  }

  ExpressionPointer parse_sum() {
    return parse_arithmetic({{"+", Operator::Add}, {"-", Operator::Subtract}},
                            [this] { return parse_concatenation(); });
  }

  ExpressionPointer parse_concatenation() {
    const int line = current().line;
    ExpressionPointer left = parse_product();
    if (!at_operator("~")) return left;
    ExpressionPointer node = make(ExpressionKind::Concatenation, line);
    node->operands.push_back(std::move(left));
    while (skip_operator("~")) node->operands.push_back(parse_product());
    return finish(std::move(node));
  }

  ExpressionPointer parse_product() {
    return parse_arithmetic(
        {{"*", Operator::Multiply}, {"/", Operator::Divide}, {"//", Operator::FloorDivide}, {"%", Operator::Modulo}},
        [this] { return parse_power(); });
  }

  ExpressionPointer parse_power() {
    return parse_arithmetic({{"**", Operator::Power}}, [this] { return parse_unary(); });
  }

  ExpressionPointer parse_unary(bool with_filter = true) {
    const Nesting nesting(*this);
    const int line = current().line;
    ExpressionPointer node;
    if (skip_operator("-")) {
      node = make_unary(ExpressionKind::Negative, line, parse_unary(false));
    } else if (skip_operator("+")) {
      node = make_unary(ExpressionKind::Positive, line, parse_unary(false));
    } else {
      node = parse_primary();
    }
    node = parse_postfix(std::move(node));
    return with_filter ? parse_filters_and_tests(std::move(node)) : std::move(node);
  }

  ExpressionPointer parse_primary(bool with_namespace = false) {
    const Token& token = current();
    const int line = token.line;
    switch (token.kind) {
      case TokenKind::Name:
        return parse_name(with_namespace);
      case TokenKind::String: {
        std::string text;
        while (current().kind == TokenKind::String) text += advance().text;
        return make_constant(constant_string(std::move(text)), line);
      }
      case TokenKind::Number:
        return make_constant(advance().number, line);
      default:
        break;
    }
    if (skip_operator("(")) {
      ExpressionPointer node = parse_tuple({.is_in_parentheses = true});
      expect_operator(")");
      return node;
    }
    if (at_operator("[")) return parse_list();
    if (at_operator("{")) return parse_dict();
    fail("unexpected " + describe(token));
  }

  ExpressionPointer parse_name(bool with_namespace) {
    const Token& token = advance();
    const int line = token.line;
    if (is_constant_name(token.text)) {
      const char initial = static_cast<char>(token.text.front() | 0x20);
      return make_constant(initial == 'n' ? Value::none() : Value::boolean(initial == 't'), line);
    }
    ExpressionPointer node = make(ExpressionKind::Name, line);
    node->name = token.text;
    if (with_namespace && skip_operator(".")) {
      node->kind = ExpressionKind::NamespaceReference;
      node->value = constant_string(expect_identifier());
    }
    return node;
  }

  struct TupleOptions {
    bool is_simplified = false;
    bool with_condition = true;
    string_view end_word{};
    bool is_in_parentheses = false;
    bool with_namespace = false;
  };

  bool at_tuple_end(string_view end_word) const {
    return current().kind == TokenKind::VariableEnd || current().kind == TokenKind::BlockEnd || at_operator(")") ||
           (!end_word.empty() && at_name(end_word));
  }

  /// One expression or several with commas between them, which are a tuple.
  ExpressionPointer parse_tuple(const TupleOptions& options) {
    const Nesting nesting(*this);
    const int line = current().line;
    std::vector<ExpressionPointer> items;
    bool is_tuple = false;
    while (true) {
      if (!items.empty()) expect_operator(",");
      if (at_tuple_end(options.end_word)) break;
      items.push_back(options.is_simplified ? parse_primary(options.with_namespace)
                                            : parse_expression(options.with_condition));
      if (!at_operator(",")) break;
      is_tuple = true;
    }
    if (!is_tuple && !items.empty()) return std::move(items.front());
    if (!is_tuple && !options.is_in_parentheses) fail("expected an expression, got " + describe(current()));
    ExpressionPointer node = make(ExpressionKind::Tuple, line);
    node->operands = std::move(items);
    return finish(std::move(node));
  }

  ExpressionPointer parse_list() {
    const Nesting nesting(*this);
    ExpressionPointer node = make(ExpressionKind::List, current().line);
    expect_operator("[");
    while (!at_operator("]")) {
      if (!node->operands.empty()) expect_operator(",");
      if (at_operator("]")) break;
      node->operands.push_back(parse_expression());
    }
    expect_operator("]");
    return finish(std::move(node));
  }

  ExpressionPointer parse_dict() {
    const Nesting nesting(*this);
    ExpressionPointer node = make(ExpressionKind::Dict, current().line);
    expect_operator("{");
    while (!at_operator("}")) {
      if (!node->operands.empty()) expect_operator(",");
      if (at_operator("}")) break;
      node->operands.push_back(parse_expression());
      expect_operator(":");
      node->operands.push_back(parse_expression());
    }
    expect_operator("}");
    return finish(std::move(node));
  }

  ExpressionPointer parse_postfix(ExpressionPointer node) {
    while (true) {
      if (at_operator(".")) {
        node = parse_attribute(std::move(node));
      } else if (at_operator("[")) {
        node = parse_item(std::move(node));
      } else if (at_operator("(")) {
        node = parse_call(std::move(node));
      } else {
        return node;
      }
    }
  }

  ExpressionPointer parse_attribute(ExpressionPointer value) {
    const int line = advance().line;
    const Token& token = advance();
    if (token.kind == TokenKind::Name) {
      ExpressionPointer node = make(ExpressionKind::Attribute, line);
      node->value = constant_string(token.text);
      node->operands.push_back(std::move(value));
      return finish(std::move(node));
    }
    if (token.kind != TokenKind::Number || !token.number.is(Kind::Integer))
      fail_at(token.line, "expected a name or a number behind the dot, got " + describe(token));
    ExpressionPointer node = make(ExpressionKind::Item, line);
    node->operands.push_back(std::move(value));
    node->operands.push_back(make_constant(token.number, token.line));
    return finish(std::move(node));
  }

  ExpressionPointer parse_item(ExpressionPointer value) {
    const int line = advance().line;
    std::vector<ExpressionPointer> items;
    bool has_slice = false;
    while (!at_operator("]")) {
      if (!items.empty()) expect_operator(",");
      items.push_back(parse_subscript(has_slice));
    }
    expect_operator("]");
    if (items.size() == 1 && has_slice) {
      ExpressionPointer node = std::move(items.front());
      node->operands.front() = std::move(value);
      return finish(std::move(node));
    }
    if (has_slice) fail_at(line, "a slice among several subscripts is not supported");
    ExpressionPointer node = make(ExpressionKind::Item, line);
    node->operands.push_back(std::move(value));
    if (items.size() == 1) {
      node->operands.push_back(std::move(items.front()));
    } else {
      ExpressionPointer tuple = make(ExpressionKind::Tuple, line);
      tuple->operands = std::move(items);
      node->operands.push_back(finish(std::move(tuple)));
    }
    return finish(std::move(node));
  }

  /// What stands in brackets: an expression, or a slice that lacks its value yet.
  ExpressionPointer parse_subscript(bool& is_slice) {
    const int line = current().line;
    ExpressionPointer start;
    if (!at_operator(":")) {
      start = parse_expression();
      if (!at_operator(":")) return start;
    }
    expect_operator(":");
    is_slice = true;
    const auto parse_bound = [&]() -> ExpressionPointer {
      const bool is_absent = at_operator(":") || at_operator("]") || at_operator(",");
      return is_absent ? nullptr : parse_expression();
    };
    ExpressionPointer node = make(ExpressionKind::Slice, line);
    node->operands.push_back(nullptr);
    node->operands.push_back(std::move(start));
    node->operands.push_back(parse_bound());
    node->operands.push_back(skip_operator(":") ? parse_bound() : nullptr);
    return node;
  }

  CallArguments parse_arguments() {
    const int line = current().line;
    CallArguments arguments;
    expect_operator("(");
    const auto require = [&](bool is_right) {
      if (!is_right) fail_at(line, "invalid syntax for function call expression");
    };
    bool is_first = true;
    while (!at_operator(")")) {
      if (!is_first) {
        expect_operator(",");
        if (at_operator(")")) break;
      }
      is_first = false;
      if (skip_operator("*")) {
        require(!arguments.unpacked_positional && !arguments.unpacked_keywords);
        arguments.unpacked_positional = parse_expression();
      } else if (skip_operator("**")) {
        require(!arguments.unpacked_keywords);
        arguments.unpacked_keywords = parse_expression();
      } else if (current().kind == TokenKind::Name && is_operator(following(), "=")) {
        require(!arguments.unpacked_keywords);
        std::string keyword = advance().text;
        advance();
        for (const auto& [other, value] : arguments.keywords)
          if (other == keyword) fail(fmt::format("the keyword argument '{}' is repeated", keyword));
        arguments.keywords.emplace_back(std::move(keyword), parse_expression());
      } else {
        require(!arguments.unpacked_positional && !arguments.unpacked_keywords && arguments.keywords.empty());
        arguments.positional.push_back(parse_expression());
      }
    }
    expect_operator(")");
    return arguments;
  }

  ExpressionPointer parse_call(ExpressionPointer callee) {
    ExpressionPointer node = make(ExpressionKind::Call, current().line);
    node->operands.push_back(std::move(callee));
    node->arguments = parse_arguments();
    return finish(std::move(node));
  }

  ExpressionPointer parse_filters_and_tests(ExpressionPointer node) {
    while (true) {
      if (at_operator("|")) {
        advance();
        node = parse_filter(std::move(node));
      } else if (at_name("is")) {
        node = parse_test(std::move(node));
      } else if (at_operator("(")) {
        node = parse_call(std::move(node));
      } else {
        return node;
      }
    }
  }

  std::string parse_dotted_name() {
    std::string name = expect_identifier();
    while (skip_operator(".")) name += "." + expect_identifier();
    return name;
  }

  /// A filter's name and arguments behind the bar; `value` is nullptr in a filter block.
  ExpressionPointer parse_filter(ExpressionPointer value) {
    ExpressionPointer node = make(ExpressionKind::Filter, current().line);
    node->name = parse_dotted_name();
    node->operands.push_back(std::move(value));
    if (at_operator("(")) node->arguments = parse_arguments();
    node->function = find_filter(node->name);
    return finish(std::move(node));
  }

  /// Filters of a block: the first one, and those that follow behind bars.
  ExpressionPointer parse_filter_chain(ExpressionPointer node) {
    while (skip_operator("|")) node = parse_filter(std::move(node));
    return node;
  }

  ExpressionPointer parse_test(ExpressionPointer value) {
    const int line = advance().line;
    const bool is_negated = skip_name("not");
    ExpressionPointer node = make(ExpressionKind::Test, line);
    node->name = parse_dotted_name();
    node->operands.push_back(std::move(value));
    const bool begins_argument = current().kind == TokenKind::Name || current().kind == TokenKind::String ||
                                 current().kind == TokenKind::Number || at_operator("[") || at_operator("{");
    if (at_operator("(")) {
      node->arguments = parse_arguments();
    } else if (begins_argument && !at_name("else") && !at_name("or") && !at_name("and")) {
      if (at_name("is")) fail("You cannot chain multiple tests with is");
      node->arguments.positional.push_back(parse_postfix(parse_primary()));
    }
    node->function = find_test(node->name);
    node = finish(std::move(node));
    return is_negated ? make_unary(ExpressionKind::Not, line, std::move(node)) : std::move(node);
  }

  // ---- Targets of assignments ---------------------------------------------------------------------------------------

  void check_target(const Expression& target) const {
    switch (target.kind) {
      case ExpressionKind::Name:
      case ExpressionKind::NamespaceReference:
        return;
      case ExpressionKind::Tuple:
        for (const ExpressionPointer& item : target.operands) check_target(*item);
        return;
      default:
        fail_at(target.line, "this cannot be assigned to");
    }
  }

  ExpressionPointer parse_target(string_view end_word, bool with_namespace) {
    ExpressionPointer target =
        parse_tuple({.is_simplified = true, .end_word = end_word, .with_namespace = with_namespace});
    check_target(*target);
    return target;
  }

  std::string parse_target_name() {
    const Token& token = current();
    std::string name = expect_identifier();
    if (is_constant_name(name)) fail_at(token.line, fmt::format("'{}' cannot be assigned to", name));
    return name;
  }

  // ---- Statements ---------------------------------------------------------------------------------------------------

  static std::unique_ptr<Statement> make_statement(StatementKind kind, int line) {
    auto statement = std::make_unique<Statement>();
    statement->kind = kind;
    statement->line = line;
    return statement;
  }

  /// Statements up to a tag of one of these names, which is the current token afterwards; without names, to the end of
  /// the template.
  Block parse_block(std::initializer_list<string_view> end_tags) {
    const Nesting nesting(*this);
    Block block;
    while (current().kind != TokenKind::End) {
      const int line = current().line;
      if (current().kind == TokenKind::Data) {
        auto statement = make_statement(StatementKind::Text, line);
        statement->text = advance().text;
        block.push_back(std::move(statement));
      } else if (current().kind == TokenKind::VariableBegin) {
        advance();
        auto statement = make_statement(StatementKind::Output, line);
        statement->expressions.push_back(parse_tuple({}));
        expect(TokenKind::VariableEnd, "'}}'");
        block.push_back(std::move(statement));
      } else {
        expect(TokenKind::BlockBegin, "'{%'");
        if (current().kind != TokenKind::Name) fail("expected a tag's name, got " + describe(current()));
        if (std::find(end_tags.begin(), end_tags.end(), current().text) != end_tags.end()) return block;
        block.push_back(parse_statement(end_tags));
        expect(TokenKind::BlockEnd, "'%}'");
      }
    }
    if (end_tags.size() > 0) fail(fmt::format("the template ends before '{}'", *(end_tags.end() - 1)));
    return block;
  }

  /// The body of a statement, behind whose tag the parser stands.
  Block parse_body(std::initializer_list<string_view> end_tags) {
    skip_operator(":");
    expect(TokenKind::BlockEnd, "'%}'");
    return parse_block(end_tags);
  }

  Block parse_body_and_end(string_view end_tag) {
    Block body = parse_body({end_tag});
    advance();
    return body;
  }

  std::unique_ptr<Statement> parse_statement(std::initializer_list<string_view> end_tags) {
    const std::string tag = current().text;
    const int line = current().line;
    advance();
    if (tag == "for") return parse_for(line);
    if (tag == "if") return parse_if(line);
    if (tag == "set") return parse_set(line);
    if (tag == "with") return parse_with(line);
    if (tag == "macro") return parse_macro(line);
    if (tag == "call") return parse_call_block(line);
    if (tag == "filter") return parse_filter_block(line);
    if (tag == "print") return parse_print(line);
    if (tag == "break") return make_statement(StatementKind::Break, line);
    if (tag == "continue") return make_statement(StatementKind::Continue, line);
    if (tag == "generation") {
      auto statement = make_statement(StatementKind::Generation, line);
      statement->function = std::make_unique<FunctionCode>();
      statement->function->name = "caller";
      statement->function->line = line;
      statement->function->body = parse_body_and_end("endgeneration");
      return statement;
    }
    for (const string_view refused : {"block", "extends", "include", "import", "from", "autoescape"})
      if (tag == refused) fail_at(line, fmt::format("the tag '{}' has no use in a chat template", tag));
    std::string expected;
    for (const string_view end_tag : end_tags) expected += fmt::format("{}'{}'", expected.empty() ? "" : ", ", end_tag);
    fail_at(line, fmt::format("unknown tag {}{}", fmt::format("'{}'", tag),
                              expected.empty() ? "" : "; expected here: " + expected));
  }

  std::unique_ptr<Statement> parse_for(int line) {
    auto statement = make_statement(StatementKind::For, line);
    const std::size_t target_position = position_;
    statement->targets.push_back(parse_target("in", false));
    expect_name("in");
    statement->iterated = parse_tuple({.with_condition = false, .end_word = "recursive"});
    if (skip_name("if")) {
      statement->test = parse_expression();
      const std::size_t behind_test = std::exchange(position_, target_position);
      statement->test_target = parse_target("in", false);
      position_ = behind_test;
    }
    statement->is_recursive = skip_name("recursive");
    statement->body = parse_body({"else", "endfor"});
    if (advance().text == "else") statement->otherwise = parse_body_and_end("endfor");
    return statement;
  }

  std::unique_ptr<Statement> parse_if(int line) {
    auto statement = make_statement(StatementKind::If, line);
    while (true) {
      Branch branch;
      branch.test = parse_tuple({.with_condition = false});
      branch.body = parse_body({"elif", "else", "endif"});
      statement->branches.push_back(std::move(branch));
      const std::string tag = advance().text;
      if (tag == "elif") continue;
      if (tag == "else") statement->branches.push_back({nullptr, parse_body_and_end("endif")});
      return statement;
    }
  }

  std::unique_ptr<Statement> parse_set(int line) {
    ExpressionPointer target = parse_target("", true);
    const bool is_block = !skip_operator("=");
    auto statement = make_statement(is_block ? StatementKind::SetBlock : StatementKind::Set, line);
    statement->targets.push_back(std::move(target));
    if (!is_block) {
      statement->expressions.push_back(parse_tuple({}));
      return statement;
    }
    if (skip_operator("|")) statement->filter = parse_filter_chain(parse_filter(nullptr));
    statement->body = parse_body_and_end("endset");
    return statement;
  }

  std::unique_ptr<Statement> parse_with(int line) {
    auto statement = make_statement(StatementKind::With, line);
    while (current().kind != TokenKind::BlockEnd) {
      if (!statement->targets.empty()) expect_operator(",");
      statement->targets.push_back(parse_target("", false));
      expect_operator("=");
      statement->expressions.push_back(parse_expression());
    }
    statement->body = parse_body_and_end("endwith");
    return statement;
  }

  /// The parameters of a macro or call block in parentheses.
  void parse_signature(FunctionCode& function) {
    expect_operator("(");
    while (!at_operator(")")) {
      if (!function.parameters.empty()) expect_operator(",");
      std::string name = parse_target_name();
      for (const std::string& other : function.parameters)
        if (other == name) fail(fmt::format("the parameter '{}' is repeated", name));
      if (skip_operator("=")) {
        function.defaults.push_back(parse_expression());
      } else if (!function.defaults.empty()) {
        fail("non-default argument follows default argument");
      }
      function.parameters.push_back(std::move(name));
    }
    expect_operator(")");
  }

  std::unique_ptr<Statement> parse_macro(int line) {
    auto statement = make_statement(StatementKind::Macro, line);
    statement->function = std::make_unique<FunctionCode>();
    statement->function->name = parse_target_name();
    statement->function->is_named = true;
    statement->function->line = line;
    parse_signature(*statement->function);
    statement->function->body = parse_body_and_end("endmacro");
    return statement;
  }

  std::unique_ptr<Statement> parse_call_block(int line) {
    auto statement = make_statement(StatementKind::CallBlock, line);
    statement->function = std::make_unique<FunctionCode>();
    statement->function->name = "caller";
    statement->function->line = line;
    if (at_operator("(")) parse_signature(*statement->function);
    statement->expressions.push_back(parse_expression());
    if (statement->expressions.front()->kind != ExpressionKind::Call) fail_at(line, "expected a call");
    statement->function->body = parse_body_and_end("endcall");
    return statement;
  }

  std::unique_ptr<Statement> parse_filter_block(int line) {
    auto statement = make_statement(StatementKind::FilterBlock, line);
    statement->filter = parse_filter_chain(parse_filter(nullptr));
    statement->body = parse_body_and_end("endfilter");
    return statement;
  }

  std::unique_ptr<Statement> parse_print(int line) {
    auto statement = make_statement(StatementKind::Output, line);
    while (current().kind != TokenKind::BlockEnd) {
      if (!statement->expressions.empty()) expect_operator(",");
      statement->expressions.push_back(parse_expression());
    }
    return statement;
  }

  std::vector<Token> tokens_;
  string_view name_;
  std::size_t position_ = 0;
  int nesting_ = 0;
};

}  // namespace

void fail_syntax(string_view template_name, int line, const std::string& message) {
  throw Error(ErrorKind::InvalidTokenizer, fmt::format("{}:{}: {}", template_name, line, message));
}

Template parse_template(string_view source, string_view name) {
  Template result;
  result.name = name;
  result.root.body = Parser(tokenize(source, name), name).run();
  resolve_variables(result);
  return result;
}

}  // namespace onnxport::jinja
