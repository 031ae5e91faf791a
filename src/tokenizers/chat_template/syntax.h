#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tokenizers/chat_template/value.h"

/// Templates as trees: what the parser makes and the interpreter walks.
namespace onnxport::jinja {

/// Where a variable lives: `hops` functions out, at `slot` of that function's variables.
struct VariableReference {
  int hops = 0;
  int slot = -1;
};

struct Expression;
using ExpressionPointer = std::unique_ptr<Expression>;

/// The arguments of a call, a filter or a test.
struct CallArguments {
  std::vector<ExpressionPointer> positional;
  std::vector<std::pair<std::string, ExpressionPointer>> keywords;
  ExpressionPointer unpacked_positional;  ///< *arguments
  ExpressionPointer unpacked_keywords;    ///< **arguments
};

enum class ExpressionKind {
  Constant,
  Name,
  NamespaceReference,  ///< ns.attribute as the target of an assignment
  List,
  Tuple,
  Dict,  ///< operands: key, value, key, value, ...
  Positive,
  Negative,
  Not,
  Arithmetic,  ///< operands with operators between them, from left to right
  And,
  Or,
  Concatenation,  ///< ~
  Comparison,
  Condition,  ///< operands: test, then, else (which may be missing)
  Attribute,
  Item,
  Slice,  ///< operands: value, start, stop, step (these may be nullptr)
  Call,
  Filter,  ///< operand: what is filtered, nullptr for the body of a filter block
  Test,
};

enum class Comparator { Equal, NotEqual, Less, LessOrEqual, Greater, GreaterOrEqual, In, NotIn };

struct Expression {
  ExpressionKind kind = ExpressionKind::Constant;
  int line = 0;
  int depth = 1;       ///< of the tree below
  Value value{};       ///< of a Constant; of an Attribute, its name
  std::string name{};  ///< of a Name, an Attribute, a Filter, a Test
  std::vector<ExpressionPointer> operands{};
  std::vector<Operator> operators{};
  std::vector<Comparator> comparators{};
  CallArguments arguments{};
  VariableReference variable{};
  const NamedFunction* function = nullptr;  ///< of a Filter or Test; nullptr if there is none of the name
};

struct Statement;
using Block = std::vector<std::unique_ptr<Statement>>;

/// What the variables of a frame are set to when it is entered.
struct VariableLoad {
  enum class Action { Resolve, Alias, Clear };
  Action action = Action::Clear;
  int slot = -1;
  std::string name{};          ///< Resolve: of the variable that the caller gave, or of a global function
  VariableReference source{};  ///< Alias: the variable of the frame outside
};

struct Frame {
  std::vector<VariableLoad> loads;
  std::vector<int> slots;  ///< all of its variables, which are forgotten when it is left
};

/// A body with variables of its own: the template, a macro, the body of a call block, a recursive loop.
struct FunctionCode {
  std::string name{};
  bool is_named = false;
  int line = 0;
  int slot_count = 0;
  bool has_inner_functions = false;  ///< then its variables must outlive a call, as functions may refer to them
  std::vector<std::string> parameters{};
  std::vector<int> parameter_slots{};
  std::vector<ExpressionPointer> defaults{};  ///< of the last parameters
  int caller_slot = -1;                       ///< -1 where the body does not use it; so the next
  int keywords_slot = -1;
  int positional_slot = -1;
  Frame frame{};
  Block body{};
};

enum class StatementKind {
  Text,
  Output,
  If,
  For,
  Set,
  SetBlock,
  With,
  Macro,
  CallBlock,
  FilterBlock,
  Generation,
  Break,
  Continue,
};

struct Branch {
  ExpressionPointer test;  ///< nullptr for else
  Block body;
};

struct Statement {
  StatementKind kind = StatementKind::Text;
  int line = 0;
  std::string text{};  ///< Text
  std::vector<ExpressionPointer>
      expressions{};  ///< Output: what is printed; With: values; Set: the value; CallBlock: the call
  std::vector<ExpressionPointer> targets{};  ///< For, Set, SetBlock: one; With: as many as values
  std::vector<Branch> branches{};            ///< If
  ExpressionPointer filter{};                ///< SetBlock, FilterBlock
  Block body{};
  Frame frame{};
  std::unique_ptr<FunctionCode> function{};  ///< Macro, CallBlock, Generation; a recursive For
  VariableReference variable{};              ///< Macro: its name

  // Of a For.
  ExpressionPointer iterated{};
  ExpressionPointer test{};
  ExpressionPointer test_target{};  ///< the target again, as a variable of the test's own frame
  Frame test_frame{};
  Block otherwise{};
  Frame otherwise_frame{};
  bool is_recursive = false;
  int loop_slot = -1;  ///< of the variable `loop`, -1 where it is not used
};

struct Template {
  std::string name;
  FunctionCode root;
};

/// Throws Error(InvalidTokenizer) with the template's name and the line.
[[noreturn]] void fail_syntax(std::string_view template_name, int line, const std::string& message);

/// Reads a template and resolves its variables and functions.
Template parse_template(std::string_view source, std::string_view name);

/// Finds out where each variable lives, by the rules of Jinja's compiler. To be called once, by the parser.
void resolve_variables(Template& source);

}  // namespace onnxport::jinja
