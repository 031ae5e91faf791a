// Which variable a name means: the rules of jinja2/idtracking.py and compiler.py, frame by frame. A name that a frame
// assigns is the frame's own throughout, so what it means depends on the whole frame and not only on what ran before.
#include <algorithm>
#include <map>
#include <set>

#include <fmt/format.h>

#include "core/nearest.h"
#include "tokenizers/chat_template/builtins.h"
#include "tokenizers/chat_template/syntax.h"

namespace onnxport::jinja {
namespace {

using std::string_view;

/// A function, how many enclose it, and what all of its template's symbols have cost.
struct FunctionScope {
  FunctionCode* code = nullptr;
  int depth = 0;
  std::size_t* copied = nullptr;
};

/// The variables of a frame. Copies stand for the branches of an `if`, which share the frame's variables.
class Symbols {
 public:
  Symbols(FunctionScope function, const Symbols* parent)
      : function_(function), parent_(parent), own_slots_(std::make_shared<std::map<std::string, int>>()) {}

  const FunctionScope& function() const { return function_; }

  /// The variable that the name means here, from the function `from`.
  std::optional<VariableReference> find(const std::string& name, const FunctionScope& from) const {
    if (const auto found = slots_.find(name); found != slots_.end())
      return VariableReference{from.depth - function_.depth, found->second};
    return parent_ == nullptr ? std::nullopt : parent_->find(name, from);
  }

  void load(const std::string& name) {
    if (!find(name, function_)) define(name, VariableLoad{VariableLoad::Action::Resolve, 0, name, {}});
  }

  void store(const std::string& name) {
    stores_.insert(name);
    if (slots_.contains(name)) return;
    const std::optional<VariableReference> outer = find_outside(name);
    define(name, outer ? VariableLoad{VariableLoad::Action::Alias, 0, {}, *outer} : VariableLoad{});
  }

  int declare_parameter(const std::string& name) {
    stores_.insert(name);
    return define(name, std::nullopt);
  }

  /// Copies for the branches of an `if`. Many branches and many names would take quadratic time.
  std::vector<Symbols> branches(std::size_t count, string_view template_name, int line) const {
    constexpr std::size_t kMostCopied = 5'000'000;
    *function_.copied += count * (1 + slots_.size() + stores_.size());
    if (*function_.copied > kMostCopied) fail_syntax(template_name, line, "the template has too many variables");
    return std::vector<Symbols>(count, *this);
  }

  /// After the branches of an `if` were analyzed on copies.
  void join_branches(const std::vector<Symbols>& branches) {
    std::set<std::string> stored;
    for (const Symbols& branch : branches)
      for (const std::string& name : branch.stores_)
        if (!stores_.contains(name)) stored.insert(name);
    for (const Symbols& branch : branches) {
      for (const auto& [name, slot] : branch.slots_) slots_[name] = slot;
      for (const auto& [slot, load] : branch.loads_) loads_[slot] = load;
      stores_.insert(branch.stores_.begin(), branch.stores_.end());
    }
    // A branch may not run: the variable then keeps the value that it has outside.
    for (const std::string& name : stored) {
      const std::optional<VariableReference> outer = find_outside(name);
      define(name, outer ? VariableLoad{VariableLoad::Action::Alias, 0, {}, *outer}
                         : VariableLoad{VariableLoad::Action::Resolve, 0, name, {}});
    }
  }

  Frame frame() const {
    Frame result;
    for (const auto& [slot, load] : loads_) {
      result.slots.push_back(slot);
      if (!load) continue;
      result.loads.push_back(*load);
      result.loads.back().slot = slot;
    }
    return result;
  }

 private:
  std::optional<VariableReference> find_outside(const std::string& name) const {
    return parent_ == nullptr ? std::nullopt : parent_->find(name, function_);
  }

  /// No load is a parameter, which the caller sets.
  int define(const std::string& name, std::optional<VariableLoad> load) {
    const auto [entry, is_new] = own_slots_->try_emplace(name, function_.code->slot_count);
    if (is_new) ++function_.code->slot_count;
    slots_[name] = entry->second;
    loads_[entry->second] = std::move(load);
    return entry->second;
  }

  FunctionScope function_;
  const Symbols* parent_;
  std::shared_ptr<std::map<std::string, int>> own_slots_;
  std::map<std::string, int> slots_;
  std::map<int, std::optional<VariableLoad>> loads_;
  std::set<std::string> stores_;
};

// ---- Walking through trees ------------------------------------------------------------------------------------------

template <typename Visit>
void for_each_child(const Expression& expression, const Visit& visit) {
  for (const ExpressionPointer& operand : expression.operands)
    if (operand) visit(*operand);
  for (const ExpressionPointer& argument : expression.arguments.positional) visit(*argument);
  for (const auto& [keyword, argument] : expression.arguments.keywords) visit(*argument);
  if (expression.arguments.unpacked_positional) visit(*expression.arguments.unpacked_positional);
  if (expression.arguments.unpacked_keywords) visit(*expression.arguments.unpacked_keywords);
}

/// Is a name loaded somewhere in these statements before they assign it? (find_undeclared of the compiler)
class Mention {
 public:
  explicit Mention(string_view name) : name_(name) {}

  bool is_loaded() const { return found_.value_or(false); }

  void visit(const Expression& expression) {
    if (expression.kind == ExpressionKind::Name && expression.name == name_) note(true);
    for_each_child(expression, [&](const Expression& child) { visit(child); });
  }

  void visit(const Block& block) {
    for (const auto& statement : block) visit(*statement);
  }

 private:
  void note(bool is_load) {
    if (!found_) found_ = is_load;
  }

  void visit_target(const Expression& target) {
    if (target.kind == ExpressionKind::Name && target.name == name_) note(false);
    for_each_child(target, [&](const Expression& child) { visit_target(child); });
  }

  void visit_if_present(const ExpressionPointer& expression) {
    if (expression) visit(*expression);
  }

  void visit(const Statement& statement) {
    for (const ExpressionPointer& target : statement.targets) visit_target(*target);
    visit_if_present(statement.iterated);
    for (const ExpressionPointer& expression : statement.expressions) visit(*expression);
    for (const Branch& branch : statement.branches) {
      visit_if_present(branch.test);
      visit(branch.body);
    }
    if (statement.function) {
      for (const std::string& parameter : statement.function->parameters)
        if (parameter == name_) note(false);
      for (const ExpressionPointer& value : statement.function->defaults) visit(*value);
      visit(statement.function->body);
    }
    visit(statement.body);
    visit(statement.otherwise);
    visit_if_present(statement.test);
    visit_if_present(statement.filter);
  }

  string_view name_;
  std::optional<bool> found_;
};

bool mentions(const Block& block, string_view name) {
  Mention mention(name);
  mention.visit(block);
  return mention.is_loaded();
}

bool mentions(const ExpressionPointer& expression, string_view name) {
  if (!expression) return false;
  Mention mention(name);
  mention.visit(*expression);
  return mention.is_loaded();
}

// ---- What a frame loads and stores ----------------------------------------------------------------------------------

void analyze(Symbols& symbols, const Expression& expression) {
  if (expression.kind == ExpressionKind::Name || expression.kind == ExpressionKind::NamespaceReference)
    symbols.load(expression.name);
  for_each_child(expression, [&](const Expression& child) { analyze(symbols, child); });
}

void analyze(Symbols& symbols, const ExpressionPointer& expression) {
  if (expression) analyze(symbols, *expression);
}

void analyze_target(Symbols& symbols, const Expression& target, bool is_parameter) {
  switch (target.kind) {
    case ExpressionKind::Name:
      if (is_parameter) {
        symbols.declare_parameter(target.name);
      } else {
        symbols.store(target.name);
      }
      break;
    case ExpressionKind::NamespaceReference:
      symbols.load(target.name);
      break;
    default:
      for (const ExpressionPointer& item : target.operands) analyze_target(symbols, *item, is_parameter);
  }
}

/// Visits what belongs to a frame, without the bodies that have frames of their own.
class FrameAnalysis {
 public:
  explicit FrameAnalysis(string_view template_name) : template_name_(template_name) {}

  void visit(Symbols& symbols, const Block& block) const {
    for (const auto& statement : block) visit(symbols, *statement);
  }

 private:
  void visit(Symbols& symbols, const Statement& statement) const {
    switch (statement.kind) {
      case StatementKind::If:
        visit_if(symbols, statement);
        break;
      case StatementKind::For:
        analyze(symbols, statement.iterated);
        break;
      case StatementKind::SetBlock:
        analyze_target(symbols, *statement.targets.front(), false);
        break;
      case StatementKind::Macro:
        symbols.store(statement.function->name);
        break;
      case StatementKind::FilterBlock:
        analyze(symbols, statement.filter);
        break;
      default:
        for (const ExpressionPointer& expression : statement.expressions) analyze(symbols, *expression);
        if (statement.kind == StatementKind::Set) analyze_target(symbols, *statement.targets.front(), false);
    }
  }

  void visit_if(Symbols& symbols, const Statement& statement) const {
    analyze(symbols, statement.branches.front().test);
    // As the compiler has it: the body, all of elif together, and else are analyzed apart from each other.
    std::vector<Symbols> parts = symbols.branches(3, template_name_, statement.line);
    for (std::size_t i = 0; i < statement.branches.size(); ++i) {
      const Branch& branch = statement.branches[i];
      if (i == 0) {
        visit(parts[0], branch.body);
      } else if (!branch.test) {
        visit(parts[2], branch.body);
      } else {
        analyze(parts[1], branch.test);
        std::vector<Symbols> body = parts[1].branches(1, template_name_, statement.line);
        visit(body.front(), branch.body);
        parts[1].join_branches(body);
      }
    }
    symbols.join_branches(parts);
  }

  string_view template_name_;
};

// ---- Naming the variables -------------------------------------------------------------------------------------------

class Resolver {
 public:
  explicit Resolver(Template& source) : template_(source), analysis_(source.name) {}

  void run() {
    Symbols symbols({&template_.root, 0, &copied_}, nullptr);
    analysis_.visit(symbols, template_.root.body);
    resolve(template_.root.body, {&symbols, false, false});
    template_.root.frame = symbols.frame();
  }

 private:
  struct Context {
    Symbols* symbols;
    bool is_soft;     ///< in an `if`: unknown filters and tests fail only when they are called
    bool is_in_loop;  ///< `break` and `continue` have a loop to act on
  };

  [[noreturn]] void fail(int line, const std::string& message) const { fail_syntax(template_.name, line, message); }

  static VariableReference reference(Symbols& symbols, const std::string& name) {
    symbols.load(name);
    return *symbols.find(name, symbols.function());
  }

  void resolve(Expression& expression, const Context& context) {
    Context inner = context;
    switch (expression.kind) {
      case ExpressionKind::Name:
      case ExpressionKind::NamespaceReference:
        expression.variable = reference(*context.symbols, expression.name);
        break;
      case ExpressionKind::Condition:
        inner.is_soft = true;
        break;
      case ExpressionKind::Filter:
      case ExpressionKind::Test:
        if (expression.function == nullptr && !context.is_soft) fail_unknown(expression);
        break;
      default:
        break;
    }
    for_each_child(expression, [&](const Expression& child) { resolve(const_cast<Expression&>(child), inner); });
  }

  void resolve(const ExpressionPointer& expression, const Context& context) {
    if (expression) resolve(*expression, context);
  }

  [[noreturn]] void fail_unknown(const Expression& expression) const {
    const bool is_filter = expression.kind == ExpressionKind::Filter;
    fail(expression.line, fmt::format("there is no {} named '{}'{}", is_filter ? "filter" : "test", expression.name,
                                      describe_nearest(expression.name, is_filter ? filter_names() : test_names())));
  }

  void resolve(Block& block, const Context& context) {
    for (const auto& statement : block) resolve(*statement, context);
  }

  void resolve(Statement& statement, const Context& context) {
    switch (statement.kind) {
      case StatementKind::Text:
        break;
      case StatementKind::Break:
      case StatementKind::Continue:
        if (!context.is_in_loop) fail(statement.line, "break and continue stand in loops only");
        break;
      case StatementKind::Output:
        for (const ExpressionPointer& expression : statement.expressions) resolve(expression, context);
        break;
      case StatementKind::If:
        for (Branch& branch : statement.branches) {
          const Context soft{context.symbols, true, context.is_in_loop};
          resolve(branch.test, soft);
          resolve(branch.body, soft);
        }
        break;
      case StatementKind::Set:
        resolve(statement.expressions.front(), context);
        resolve(statement.targets.front(), context);
        break;
      case StatementKind::For:
        resolve_for(statement, context);
        break;
      case StatementKind::Macro:
        resolve_function(*statement.function, context);
        statement.variable = reference(*context.symbols, statement.function->name);
        break;
      case StatementKind::CallBlock:
        resolve_function(*statement.function, context);
        resolve(statement.expressions.front(), context);
        break;
      case StatementKind::Generation:
        resolve_function(*statement.function, context);
        break;
      case StatementKind::SetBlock:
      case StatementKind::FilterBlock:
      case StatementKind::With:
        resolve_scope(statement, context);
        break;
    }
  }

  /// A body with a frame of its own.
  void resolve_scope(Statement& statement, const Context& context) {
    Symbols symbols(context.symbols->function(), context.symbols);
    const bool is_with = statement.kind == StatementKind::With;
    if (is_with)
      for (const ExpressionPointer& target : statement.targets) analyze_target(symbols, *target, true);
    analysis_.visit(symbols, statement.body);
    analyze(symbols, statement.filter);
    const Context inner{&symbols, false, context.is_in_loop};
    for (const ExpressionPointer& value : statement.expressions) resolve(value, context);
    for (const ExpressionPointer& target : statement.targets) resolve(target, is_with ? inner : context);
    resolve(statement.body, inner);
    resolve(statement.filter, inner);
    statement.frame = symbols.frame();
  }

  void resolve_for(Statement& statement, const Context& context) {
    refuse_loop_as_target(statement);
    resolve(statement.iterated, context);
    FunctionScope function = context.symbols->function();
    if (statement.is_recursive) {
      function.code->has_inner_functions = true;
      statement.function = std::make_unique<FunctionCode>();
      statement.function->name = "loop";
      statement.function->line = statement.line;
      function = {statement.function.get(), function.depth + 1, &copied_};
    }
    Symbols loop(function, context.symbols);
    Symbols otherwise(function, context.symbols);
    Symbols test(function, context.symbols);
    if (statement.is_recursive || mentions(statement.body, "loop") || mentions(statement.test, "loop"))
      statement.loop_slot = loop.declare_parameter("loop");
    analyze_target(loop, *statement.targets.front(), true);
    analysis_.visit(loop, statement.body);
    resolve(statement.targets.front(), {&loop, false, false});
    resolve(statement.body, {&loop, false, true});
    analysis_.visit(otherwise, statement.otherwise);
    resolve(statement.otherwise, {&otherwise, false, context.is_in_loop && !statement.is_recursive});
    if (statement.test) {
      analyze_target(test, *statement.test_target, true);
      analyze(test, statement.test);
      resolve(statement.test_target, {&test, false, false});
      resolve(statement.test, {&test, false, false});
    }
    statement.frame = loop.frame();
    statement.otherwise_frame = otherwise.frame();
    statement.test_frame = test.frame();
  }

  void refuse_loop_as_target(const Statement& statement) const {
    const auto visit_target = [&](const auto& self, const Expression& target) -> void {
      if (target.kind == ExpressionKind::Name && target.name == "loop")
        fail(target.line, "the special variable 'loop' cannot be assigned to in a loop");
      for (const ExpressionPointer& item : target.operands) self(self, *item);
    };
    const auto visit = [&](const auto& self, const Statement& inner) -> void {
      if (inner.kind != StatementKind::With)
        for (const ExpressionPointer& target : inner.targets) visit_target(visit_target, *target);
      const auto visit_block = [&](const Block& block) {
        for (const auto& child : block)
          if (child->kind != StatementKind::For) self(self, *child);  // a loop looks at its own
      };
      visit_block(inner.body);
      visit_block(inner.otherwise);
      for (const Branch& branch : inner.branches) visit_block(branch.body);
      if (inner.function) visit_block(inner.function->body);
    };
    visit(visit, statement);
  }

  void resolve_function(FunctionCode& function, const Context& context) {
    const FunctionScope& outer = context.symbols->function();
    outer.code->has_inner_functions = true;
    Symbols symbols({&function, outer.depth + 1, &copied_}, context.symbols);
    const auto has_parameter = [&](string_view name) {
      return std::find(function.parameters.begin(), function.parameters.end(), name) != function.parameters.end();
    };
    for (const std::string& parameter : function.parameters)
      function.parameter_slots.push_back(symbols.declare_parameter(parameter));
    if (mentions(function.body, "caller")) {
      const auto place = std::find(function.parameters.begin(), function.parameters.end(), "caller");
      if (place == function.parameters.end()) {
        function.caller_slot = symbols.declare_parameter("caller");
      } else if (static_cast<std::size_t>(function.parameters.end() - place) > function.defaults.size()) {
        fail(function.line, "the special parameter 'caller' must be omitted or have a default");
      }
    }
    if (mentions(function.body, "kwargs") && !has_parameter("kwargs"))
      function.keywords_slot = symbols.declare_parameter("kwargs");
    if (mentions(function.body, "varargs") && !has_parameter("varargs"))
      function.positional_slot = symbols.declare_parameter("varargs");
    for (const ExpressionPointer& value : function.defaults) analyze(symbols, value);
    analysis_.visit(symbols, function.body);
    for (const ExpressionPointer& value : function.defaults) resolve(value, {&symbols, false, false});
    resolve(function.body, {&symbols, false, false});
    function.frame = symbols.frame();
  }

  Template& template_;
  FrameAnalysis analysis_;
  std::size_t copied_ = 0;
};

}  // namespace

void resolve_variables(Template& source) { Resolver(source).run(); }

}  // namespace onnxport::jinja
