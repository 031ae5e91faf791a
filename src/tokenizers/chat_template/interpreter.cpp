#include "tokenizers/chat_template/interpreter.h"

#include <algorithm>
#include <map>

#include <fmt/format.h>

#include "tokenizers/chat_template/builtins.h"

namespace onnxport::jinja {
namespace {

using std::string_view;

class Interpreter;

/// The variables of one call of a function.
struct Activation : Object {
  std::vector<Value> variables;
  Activation* parent = nullptr;
};

struct MacroObject : Object {
  const FunctionCode* code = nullptr;
  Activation* parent = nullptr;
};

/// The variable `loop`.
struct LoopObject : Object {
  Value iterated;
  std::optional<Iterator> iterator;
  const Statement* statement = nullptr;  ///< of a recursive loop
  Activation* parent = nullptr;
  Activation* test_activation = nullptr;  ///< where the loop has a condition: its variables
  std::int64_t index0 = -1;
  std::int64_t depth0 = 0;
  std::optional<std::int64_t> length;
  std::vector<Value> ahead;  ///< items that were looked at before their turn, the next one last
  bool is_ahead_complete = false;
  Value previous;
  Value current;
  Value last_changed;
};

enum class Flow { Normal, Break, Continue };

/// The text that a body writes. Its bytes count as held until it is done.
class Output {
 public:
  explicit Output(Runtime& runtime) : runtime_(runtime) {}

  void append(string_view text) {
    runtime_.check_size(text_.size() + text.size());
    charge_.add(runtime_, text.size());
    text_ += text;
  }
  void append(const Value& value) {
    if (value.is_string()) return append(string_view(value.text()));
    append(string_view(to_text(runtime_, value)));
  }
  std::string take() { return std::move(text_); }

 private:
  Runtime& runtime_;
  Charge charge_;
  std::string text_;
};

class Interpreter {
 public:
  Interpreter(const Template& source, const Json& variables, const ChatTemplateLimits& limits)
      : template_(source), runtime_(*this, limits, source.name), json_(variables) {}

  std::string run() {
    Activation root;
    root.variables.resize(static_cast<std::size_t>(template_.root.slot_count));
    Output output(runtime_);
    enter(template_.root.frame, root);
    execute(template_.root.body, root, output);
    return output.take();
  }

  Value loop_attribute(LoopObject& loop, string_view name);

 private:
  /// The runtime that builtins get, with the way back to the interpreter.
  struct InterpreterRuntime : Runtime {
    InterpreterRuntime(Interpreter& owner, const ChatTemplateLimits& limits, string_view name)
        : Runtime(limits, name), interpreter(owner) {}
    Interpreter& interpreter;
  };

  friend Value onnxport::jinja::find_special_attribute(Runtime& runtime, const Value& value, string_view name);

  /// Counts how deep the interpreter is in its own recursion.
  class Depth {
   public:
    explicit Depth(Interpreter& interpreter) : interpreter_(interpreter) {
      interpreter_.runtime_.step();
      if (++interpreter_.depth_ > interpreter_.runtime_.limits().depth)
        interpreter_.runtime_.fail(fmt::format("calls and expressions are nested deeper than {} levels",
                                               interpreter_.runtime_.limits().depth));
    }
    ~Depth() { --interpreter_.depth_; }
    Depth(const Depth&) = delete;
    Depth& operator=(const Depth&) = delete;

   private:
    Interpreter& interpreter_;
  };

  // ---- Variables ----------------------------------------------------------------------------------------------------

  static Value& variable(Activation& activation, const VariableReference& reference) {
    Activation* found = &activation;
    for (int hop = 0; hop < reference.hops; ++hop) found = found->parent;
    return found->variables[static_cast<std::size_t>(reference.slot)];
  }

  /// What the caller gave, or a global function; Missing if there is neither.
  Value resolve(const std::string& name) {
    if (const auto known = resolved_.find(name); known != resolved_.end()) return known->second;
    Value value;
    if (const Json* given = json_.find(name)) {
      value = runtime_.from_json(*given);
    } else if (const NamedFunction* function = find_global(name)) {
      auto object = std::make_shared<FunctionObject>();
      object->function = *function;
      value = Value(Kind::Function, std::move(object));
    }
    resolved_.emplace(name, value);
    return value;
  }

  void enter(const Frame& frame, Activation& activation) {
    for (const VariableLoad& load : frame.loads) {
      Value& target = activation.variables[static_cast<std::size_t>(load.slot)];
      switch (load.action) {
        case VariableLoad::Action::Resolve:
          target = resolve(load.name);
          break;
        case VariableLoad::Action::Alias:
          target = variable(activation, load.source);
          break;
        case VariableLoad::Action::Clear:
          target = {};
          break;
      }
    }
    runtime_.step(frame.loads.size() / 4);
  }

  static void leave(const Frame& frame, Activation& activation) {
    for (const int slot : frame.slots) activation.variables[static_cast<std::size_t>(slot)] = {};
  }

  void assign(const Expression& target, Value value, Activation& activation) {
    switch (target.kind) {
      case ExpressionKind::Name:
        variable(activation, target.variable) = std::move(value);
        break;
      case ExpressionKind::NamespaceReference: {
        const Value& space = namespace_of(target, activation);
        auto& object = space.as<NamespaceObject>();
        if (object.attributes.set(runtime_, target.value, std::move(value)))
          object.charge.add(runtime_, sizeof(Dict::Item) + 16);
        break;
      }
      default:
        unpack(target, value, activation);
    }
  }

  const Value& namespace_of(const Expression& target, Activation& activation) {
    const Value& space = variable(activation, target.variable);
    runtime_.line = target.line;
    if (!space.is(Kind::Namespace)) runtime_.fail("cannot assign attribute on non-namespace object");
    return space;
  }

  void unpack(const Expression& target, const Value& value, Activation& activation) {
    if (value.is_undefined()) runtime_.line = target.line;
    const std::vector<Value> items = to_vector(runtime_, value);
    if (items.size() != target.operands.size())
      runtime_.fail(
          items.size() < target.operands.size()
              ? fmt::format("not enough values to unpack (expected {}, got {})", target.operands.size(), items.size())
              : fmt::format("too many values to unpack (expected {})", target.operands.size()));
    for (std::size_t i = 0; i < items.size(); ++i) assign(*target.operands[i], items[i], activation);
  }

  /// Before the value is computed: what is assigned to must be namespaces where it has a dot.
  void check_namespaces(const Expression& target, Activation& activation) {
    if (target.kind == ExpressionKind::NamespaceReference) namespace_of(target, activation);
    for (const ExpressionPointer& item : target.operands) check_namespaces(*item, activation);
  }

  // ---- Statements ---------------------------------------------------------------------------------------------------

  Flow execute(const Block& block, Activation& activation, Output& output) {
    for (const auto& statement : block) {
      const Flow flow = execute(*statement, activation, output);
      if (flow != Flow::Normal) return flow;
    }
    return Flow::Normal;
  }

  Flow execute(const Statement& statement, Activation& activation, Output& output) {
    const Depth depth(*this);
    runtime_.line = statement.line;
    switch (statement.kind) {
      case StatementKind::Text:
        output.append(string_view(statement.text));
        break;
      case StatementKind::Output:
        for (const ExpressionPointer& expression : statement.expressions)
          output.append(evaluate(*expression, activation));
        break;
      case StatementKind::If:
        return execute_if(statement, activation, output);
      case StatementKind::For:
        return execute_for(statement, activation, output);
      case StatementKind::Set:
        check_namespaces(*statement.targets.front(), activation);
        assign(*statement.targets.front(), evaluate(*statement.expressions.front(), activation), activation);
        break;
      case StatementKind::SetBlock:
        return execute_set_block(statement, activation);
      case StatementKind::With:
        return execute_with(statement, activation, output);
      case StatementKind::Macro:
        variable(activation, statement.variable) = make_macro(*statement.function, activation);
        break;
      case StatementKind::CallBlock:
        output.append(call_with_block(statement, activation));
        break;
      case StatementKind::FilterBlock:
        return execute_filter_block(statement, activation, output);
      case StatementKind::Generation:
        return execute_generation(statement, activation, output);
      case StatementKind::Break:
        return Flow::Break;
      case StatementKind::Continue:
        return Flow::Continue;
    }
    return Flow::Normal;
  }

  Flow execute_if(const Statement& statement, Activation& activation, Output& output) {
    for (const Branch& branch : statement.branches)
      if (!branch.test || is_true(runtime_, evaluate(*branch.test, activation)))
        return execute(branch.body, activation, output);
    return Flow::Normal;
  }

  /// The body is a call block's to Jinja, called at once.
  Flow execute_generation(const Statement& statement, Activation& activation, Output& output) {
    MacroObject macro;
    macro.code = statement.function.get();
    macro.parent = &activation;
    Arguments none;
    output.append(call_macro(macro, none));
    return Flow::Normal;
  }

  Flow execute_set_block(const Statement& statement, Activation& activation) {
    enter(statement.frame, activation);
    Output captured(runtime_);
    const Flow flow = execute(statement.body, activation, captured);
    if (flow == Flow::Normal) {
      Value value = runtime_.string(captured.take());
      if (statement.filter) value = evaluate_filter_of_block(*statement.filter, value, activation);
      assign(*statement.targets.front(), std::move(value), activation);
    }
    leave(statement.frame, activation);
    return flow;
  }

  Flow execute_filter_block(const Statement& statement, Activation& activation, Output& output) {
    enter(statement.frame, activation);
    Output captured(runtime_);
    const Flow flow = execute(statement.body, activation, captured);
    if (flow == Flow::Normal)
      output.append(evaluate_filter_of_block(*statement.filter, runtime_.string(captured.take()), activation));
    leave(statement.frame, activation);
    return flow;
  }

  Flow execute_with(const Statement& statement, Activation& activation, Output& output) {
    enter(statement.frame, activation);
    for (std::size_t i = 0; i < statement.targets.size(); ++i)
      assign(*statement.targets[i], evaluate(*statement.expressions[i], activation), activation);
    const Flow flow = execute(statement.body, activation, output);
    leave(statement.frame, activation);
    return flow;
  }

  // ---- Loops --------------------------------------------------------------------------------------------------------

  Flow execute_for(const Statement& statement, Activation& activation, Output& output) {
    const Value iterated = evaluate(*statement.iterated, activation);
    runtime_.line = statement.line;
    if (!statement.is_recursive) return loop_over(statement, iterated, activation, 0, output);
    output.append(string_view(call_recursive_loop(statement, iterated, activation, 0)));
    return Flow::Normal;
  }

  std::string call_recursive_loop(const Statement& statement, const Value& iterated, Activation& parent,
                                  std::int64_t depth0) {
    const Depth depth(*this);
    Output output(runtime_);
    with_activation(*statement.function, parent,
                    [&](Activation& activation) { loop_over(statement, iterated, activation, depth0, output); });
    return output.take();
  }

  Flow loop_over(const Statement& statement, const Value& iterated, Activation& activation, std::int64_t depth0,
                 Output& output) {
    LoopObject local;
    LoopObject* loop = &local;
    Value loop_value;
    if (statement.loop_slot >= 0) {
      // Kept, as it may be assigned to a variable that lives longer than the loop.
      loop_value = runtime_.keep(Kind::Loop, std::make_unique<LoopObject>());
      loop = &loop_value.as<LoopObject>();
    }
    loop->iterated = iterated;
    loop->iterator.emplace(runtime_, iterated);
    loop->depth0 = depth0;
    loop->statement = &statement;
    loop->parent = statement.is_recursive ? activation.parent : nullptr;
    if (statement.test) {
      enter(statement.test_frame, activation);
      loop->test_activation = &activation;
    }
    bool is_completed_once = false;
    Flow flow = Flow::Normal;
    while (true) {
      Value item = next_item(*loop);
      if (item.is_missing()) break;
      ++loop->index0;
      loop->previous = std::exchange(loop->current, item);
      enter(statement.frame, activation);
      if (statement.loop_slot >= 0) activation.variables[static_cast<std::size_t>(statement.loop_slot)] = loop_value;
      assign(*statement.targets.front(), std::move(item), activation);
      flow = execute(statement.body, activation, output);
      runtime_.line = statement.line;
      if (flow == Flow::Break) break;
      // As compiled by Jinja: a round that `continue` or `break` ends does not keep `else` from running.
      is_completed_once = is_completed_once || flow == Flow::Normal;
    }
    leave(statement.frame, activation);
    loop->test_activation = nullptr;
    if (is_completed_once || statement.otherwise.empty()) return Flow::Normal;
    enter(statement.otherwise_frame, activation);
    flow = execute(statement.otherwise, activation, output);
    leave(statement.otherwise_frame, activation);
    return flow;
  }

  /// The item whose turn it is, Missing at the end.
  Value next_item(LoopObject& loop) {
    if (!loop.ahead.empty()) {
      Value item = std::move(loop.ahead.back());
      loop.ahead.pop_back();
      return item;
    }
    return pull_item(loop);
  }

  /// The iterator's next item for which the loop's condition holds.
  Value pull_item(LoopObject& loop) {
    Value item;
    while (loop.iterator->next(runtime_, item)) {
      if (!loop.statement->test) return item;
      if (loop.test_activation == nullptr) return {};
      assign(*loop.statement->test_target, item, *loop.test_activation);
      if (is_true(runtime_, evaluate(*loop.statement->test, *loop.test_activation))) return item;
    }
    return {};
  }

  Value peek(LoopObject& loop) {
    if (loop.ahead.empty()) {
      Value item = pull_item(loop);
      if (item.is_missing()) return item;
      loop.ahead.push_back(std::move(item));
    }
    return loop.ahead.back();
  }

  std::int64_t loop_length(LoopObject& loop) {
    if (loop.length) return *loop.length;
    if (!loop.statement->test) loop.length = length_of(loop.iterated);
    if (!loop.length) {
      // What is left must be looked at to be counted.
      std::vector<Value> rest;
      for (Value item = next_item(loop); !item.is_missing(); item = next_item(loop)) rest.push_back(std::move(item));
      loop.length = loop.index0 + 1 + static_cast<std::int64_t>(rest.size());
      loop.charge.add(runtime_, rest.size() * sizeof(Value));
      loop.ahead.assign(rest.rbegin(), rest.rend());
    }
    return *loop.length;
  }

  // ---- Functions ----------------------------------------------------------------------------------------------------

  /// Calls body(activation) with fresh variables for a function.
  template <typename Body>
  void with_activation(const FunctionCode& code, Activation& parent, const Body& body) {
    const auto prepare = [&](Activation& activation) {
      activation.parent = &parent;
      activation.variables.resize(static_cast<std::size_t>(code.slot_count));
      activation.charge.add(runtime_, activation.variables.size() * sizeof(Value));
    };
    if (!code.has_inner_functions) {
      Activation activation;
      prepare(activation);
      return body(activation);
    }
    // Functions made inside may be called when this one has returned.
    Value kept = runtime_.keep(Kind::Missing, std::make_unique<Activation>());
    prepare(kept.as<Activation>());
    body(kept.as<Activation>());
  }

  Value make_macro(const FunctionCode& code, Activation& activation) {
    auto macro = std::make_unique<MacroObject>();
    macro->code = &code;
    macro->parent = &activation;
    return runtime_.keep(Kind::Macro, std::move(macro));
  }

  static std::optional<Value> take_keyword(Arguments& arguments, string_view name) {
    const auto found = std::find_if(arguments.keywords.begin(), arguments.keywords.end(),
                                    [&](const auto& keyword) { return keyword.first == name; });
    if (found == arguments.keywords.end()) return std::nullopt;
    Value value = std::move(found->second);
    arguments.keywords.erase(found);
    return value;
  }

  /// Puts the arguments of a call into the macro's variables, as jinja2.runtime.Macro does.
  void bind(const FunctionCode& code, Arguments& arguments, Activation& activation) {
    const auto set = [&](int slot, Value value) {
      activation.variables[static_cast<std::size_t>(slot)] = std::move(value);
    };
    const std::size_t count = code.parameters.size();
    bool is_caller_found = false;
    for (std::size_t i = 0; i < count; ++i) {
      if (i < arguments.positional.size()) {
        set(code.parameter_slots[i], arguments.positional[i]);
        is_caller_found = is_caller_found || code.parameters[i] == "caller";
      } else {
        set(code.parameter_slots[i], take_keyword(arguments, code.parameters[i]).value_or(Value()));
        is_caller_found = is_caller_found || code.parameters[i] == "caller";
      }
    }
    if (code.caller_slot >= 0 && !is_caller_found) {
      const std::optional<Value> caller = take_keyword(arguments, "caller");
      set(code.caller_slot, caller && !caller->is_none() ? *caller : runtime_.undefined("No caller defined"));
    }
    if (code.keywords_slot >= 0) {
      Dict keywords;
      for (auto& [name, value] : arguments.keywords) keywords.set(runtime_, runtime_.string(name), std::move(value));
      set(code.keywords_slot, runtime_.dict(std::move(keywords)));
    } else if (!arguments.keywords.empty()) {
      runtime_.fail(
          fmt::format("macro '{}' takes no keyword argument '{}'", code.name, arguments.keywords.front().first));
    }
    if (code.positional_slot >= 0) {
      const auto begin =
          arguments.positional.begin() + static_cast<std::ptrdiff_t>(std::min(count, arguments.positional.size()));
      set(code.positional_slot, runtime_.tuple({begin, arguments.positional.end()}));
    } else if (arguments.positional.size() > count) {
      runtime_.fail(fmt::format("macro '{}' takes not more than {} argument(s)", code.name, count));
    }
  }

  Value call_macro(const MacroObject& macro, Arguments& arguments) {
    const FunctionCode& code = *macro.code;
    Output output(runtime_);
    with_activation(code, *macro.parent, [&](Activation& activation) {
      enter(code.frame, activation);
      bind(code, arguments, activation);
      const std::size_t required = code.parameters.size() - code.defaults.size();
      for (std::size_t i = 0; i < code.parameters.size(); ++i) {
        const auto slot = static_cast<std::size_t>(code.parameter_slots[i]);
        if (!activation.variables[slot].is_missing()) continue;
        Value value = i < required
                          ? runtime_.undefined(fmt::format("parameter '{}' was not provided", code.parameters[i]))
                          : evaluate(*code.defaults[i - required], activation);
        activation.variables[slot] = std::move(value);
      }
      execute(code.body, activation, output);
    });
    return runtime_.string(output.take());
  }

  Value call(const Value& callee, Arguments& arguments) {
    const Depth depth(*this);
    switch (callee.kind()) {
      case Kind::Undefined:
        runtime_.fail(callee.as<UndefinedObject>().hint);
      case Kind::Macro:
        return call_macro(callee.as<MacroObject>(), arguments);
      case Kind::Method:
      case Kind::Function: {
        const auto& function = callee.as<FunctionObject>();
        return function.function.function(runtime_, function.receiver, arguments);
      }
      case Kind::Joiner: {
        auto& joiner = callee.as<JoinerObject>();
        if (std::exchange(joiner.is_used, true)) return joiner.separator;
        return runtime_.string("");
      }
      case Kind::Loop:
        return call_loop(callee.as<LoopObject>(), arguments);
      default:
        runtime_.fail(fmt::format("'{}' object is not callable", type_name(callee)));
    }
  }

  Value call_loop(LoopObject& loop, Arguments& arguments) {
    if (!loop.statement->is_recursive)
      runtime_.fail("The loop must have the 'recursive' marker to be called recursively.");
    const Parameters parameters(runtime_, "loop", arguments, {"iterable"});
    return runtime_.string(call_recursive_loop(*loop.statement, parameters.required(0), *loop.parent, loop.depth0 + 1));
  }

  Arguments evaluate_arguments(const CallArguments& given, Activation& activation) {
    Arguments arguments;
    for (const ExpressionPointer& argument : given.positional)
      arguments.positional.push_back(evaluate(*argument, activation));
    if (given.unpacked_positional)
      for (Value& item : to_vector(runtime_, evaluate(*given.unpacked_positional, activation)))
        arguments.positional.push_back(std::move(item));
    for (const auto& [keyword, argument] : given.keywords)
      arguments.keywords.emplace_back(keyword, evaluate(*argument, activation));
    if (given.unpacked_keywords) {
      const Value keywords = evaluate(*given.unpacked_keywords, activation);
      if (!keywords.is(Kind::Dict))
        runtime_.fail(fmt::format("argument after ** must be a mapping, not {}", type_name(keywords)));
      for (const auto& [key, value] : keywords.as<DictObject>().dict.items()) {
        if (!key.is_string()) runtime_.fail("keywords must be strings");
        for (const auto& [other, unused] : arguments.keywords)
          if (other == key.text()) runtime_.fail(fmt::format("got multiple values for keyword argument '{}'", other));
        arguments.keywords.emplace_back(key.text(), value);
      }
    }
    return arguments;
  }

  Value call_with_block(const Statement& statement, Activation& activation) {
    const Expression& expression = *statement.expressions.front();
    const Value caller = make_macro(*statement.function, activation);
    const Value callee = evaluate(*expression.operands.front(), activation);
    Arguments arguments = evaluate_arguments(expression.arguments, activation);
    if (take_keyword(arguments, "caller")) runtime_.fail("got multiple values for keyword argument 'caller'");
    arguments.keywords.emplace_back("caller", caller);
    runtime_.line = expression.line;
    return call(callee, arguments);
  }

  // ---- Expressions --------------------------------------------------------------------------------------------------

  Value evaluate(const Expression& expression, Activation& activation) {
    const Depth depth(*this);
    runtime_.line = expression.line;
    switch (expression.kind) {
      case ExpressionKind::Constant:
        return expression.value;
      case ExpressionKind::Name:
      case ExpressionKind::NamespaceReference:
        return evaluate_name(expression, activation);
      case ExpressionKind::List:
        return runtime_.list(evaluate_all(expression, activation));
      case ExpressionKind::Tuple:
        return runtime_.tuple(evaluate_all(expression, activation));
      case ExpressionKind::Dict:
        return evaluate_dict(expression, activation);
      case ExpressionKind::Positive:
        return positive(runtime_, evaluate(*expression.operands.front(), activation));
      case ExpressionKind::Negative:
        return negate(runtime_, evaluate(*expression.operands.front(), activation));
      case ExpressionKind::Not:
        return Value::boolean(!is_true(runtime_, evaluate(*expression.operands.front(), activation)));
      case ExpressionKind::Arithmetic:
        return evaluate_arithmetic(expression, activation);
      case ExpressionKind::And:
      case ExpressionKind::Or:
        return evaluate_logical(expression, activation);
      case ExpressionKind::Concatenation:
        return evaluate_concatenation(expression, activation);
      case ExpressionKind::Comparison:
        return evaluate_comparison(expression, activation);
      case ExpressionKind::Condition:
        return evaluate_condition(expression, activation);
      case ExpressionKind::Attribute: {
        const Value value = evaluate(*expression.operands.front(), activation);
        runtime_.line = expression.line;
        return get_attribute(runtime_, value, expression.value);
      }
      case ExpressionKind::Item:
        return evaluate_item(expression, activation);
      case ExpressionKind::Slice:
        return evaluate_slice(expression, activation);
      case ExpressionKind::Call:
        return evaluate_call(expression, activation);
      case ExpressionKind::Filter:
      case ExpressionKind::Test:
        return apply_function(expression, evaluate(*expression.operands.front(), activation), activation);
    }
    return {};
  }

  Value evaluate_name(const Expression& expression, Activation& activation) {
    const Value& value = variable(activation, expression.variable);
    return value.is_missing() ? runtime_.undefined(fmt::format("'{}' is undefined", expression.name)) : value;
  }

  std::vector<Value> evaluate_all(const Expression& expression, Activation& activation) {
    std::vector<Value> items;
    items.reserve(expression.operands.size());
    for (const ExpressionPointer& operand : expression.operands) items.push_back(evaluate(*operand, activation));
    return items;
  }

  Value evaluate_dict(const Expression& expression, Activation& activation) {
    Dict dict;
    for (std::size_t i = 0; i < expression.operands.size(); i += 2) {
      const Value key = evaluate(*expression.operands[i], activation);
      dict.set(runtime_, key, evaluate(*expression.operands[i + 1], activation));
    }
    return runtime_.dict(std::move(dict));
  }

  Value evaluate_arithmetic(const Expression& expression, Activation& activation) {
    Value left = evaluate(*expression.operands.front(), activation);
    for (std::size_t i = 0; i < expression.operators.size(); ++i) {
      const Value right = evaluate(*expression.operands[i + 1], activation);
      runtime_.line = expression.line;
      left = apply(runtime_, expression.operators[i], left, right);
    }
    return left;
  }

  Value evaluate_logical(const Expression& expression, Activation& activation) {
    const bool stops_at = expression.kind == ExpressionKind::Or;
    Value value;
    for (const ExpressionPointer& operand : expression.operands) {
      value = evaluate(*operand, activation);
      if (&operand != &expression.operands.back() && is_true(runtime_, value) == stops_at) break;
    }
    return value;
  }

  Value evaluate_concatenation(const Expression& expression, Activation& activation) {
    const std::vector<Value> parts = evaluate_all(expression, activation);
    runtime_.line = expression.line;
    std::string text;
    for (const Value& part : parts) {
      append_text(runtime_, text, part);
      runtime_.check_size(text.size());
    }
    return runtime_.string(std::move(text));
  }

  bool holds(Comparator comparator, const Value& left, const Value& right) {
    switch (comparator) {
      case Comparator::Equal:
        return equal(runtime_, left, right);
      case Comparator::NotEqual:
        return !equal(runtime_, left, right);
      case Comparator::Less:
        return compare(runtime_, left, right, "<") == -1;
      case Comparator::LessOrEqual: {
        const int order = compare(runtime_, left, right, "<=");
        return order == -1 || order == 0;
      }
      case Comparator::Greater:
        return compare(runtime_, left, right, ">") == 1;
      case Comparator::GreaterOrEqual: {
        const int order = compare(runtime_, left, right, ">=");
        return order == 1 || order == 0;
      }
      case Comparator::In:
        return contains(runtime_, right, left);
      case Comparator::NotIn:
        return !contains(runtime_, right, left);
    }
    return false;
  }

  Value evaluate_comparison(const Expression& expression, Activation& activation) {
    Value left = evaluate(*expression.operands.front(), activation);
    for (std::size_t i = 0; i < expression.comparators.size(); ++i) {
      Value right = evaluate(*expression.operands[i + 1], activation);
      runtime_.line = expression.line;
      if (!holds(expression.comparators[i], left, right)) return Value::boolean(false);
      left = std::move(right);
    }
    return Value::boolean(true);
  }

  Value evaluate_condition(const Expression& expression, Activation& activation) {
    if (is_true(runtime_, evaluate(*expression.operands[0], activation)))
      return evaluate(*expression.operands[1], activation);
    if (expression.operands[2]) return evaluate(*expression.operands[2], activation);
    return runtime_.undefined("the inline if-expression evaluated to false and no else section was defined");
  }

  Value evaluate_item(const Expression& expression, Activation& activation) {
    const Value value = evaluate(*expression.operands[0], activation);
    const Value item = evaluate(*expression.operands[1], activation);
    runtime_.line = expression.line;
    return get_item(runtime_, value, item);
  }

  Value evaluate_slice(const Expression& expression, Activation& activation) {
    const auto bound = [&](std::size_t operand) {
      return expression.operands[operand] ? evaluate(*expression.operands[operand], activation) : Value::none();
    };
    const Value value = evaluate(*expression.operands[0], activation);
    const Value start = bound(1);
    const Value stop = bound(2);
    const Value step = bound(3);
    runtime_.line = expression.line;
    return slice(runtime_, value, start, stop, step);
  }

  Value evaluate_call(const Expression& expression, Activation& activation) {
    const Value callee = evaluate(*expression.operands.front(), activation);
    Arguments arguments = evaluate_arguments(expression.arguments, activation);
    runtime_.line = expression.line;
    return call(callee, arguments);
  }

  Value apply_function(const Expression& expression, const Value& value, Activation& activation) {
    const bool is_filter = expression.kind == ExpressionKind::Filter;
    if (expression.function == nullptr) {
      runtime_.line = expression.line;
      runtime_.fail(fmt::format("there is no {} named '{}'", is_filter ? "filter" : "test", expression.name));
    }
    Arguments arguments = evaluate_arguments(expression.arguments, activation);
    runtime_.line = expression.line;
    return expression.function->function(runtime_, value, arguments);
  }

  /// Filters whose innermost takes the text of a block.
  Value evaluate_filter_of_block(const Expression& filter, const Value& text, Activation& activation) {
    const Depth depth(*this);
    const ExpressionPointer& inner = filter.operands.front();
    return apply_function(filter, inner ? evaluate_filter_of_block(*inner, text, activation) : text, activation);
  }

  const Template& template_;
  InterpreterRuntime runtime_;
  const Json& json_;
  std::map<std::string, Value, std::less<>> resolved_;
  int depth_ = 0;
};

// ---- The variable loop ----------------------------------------------------------------------------------------------

Value loop_cycle(Runtime& runtime, const Value& receiver, Arguments& arguments) {
  if (!arguments.keywords.empty()) runtime.fail("cycle() takes no keyword arguments");
  if (arguments.positional.empty()) runtime.fail("no items for cycling given");
  const auto index = static_cast<std::size_t>(receiver.as<LoopObject>().index0);
  return arguments.positional[index % arguments.positional.size()];
}

Value loop_changed(Runtime& runtime, const Value& receiver, Arguments& arguments) {
  if (!arguments.keywords.empty()) runtime.fail("changed() takes no keyword arguments");
  auto& loop = receiver.as<LoopObject>();
  Value given = runtime.tuple(std::move(arguments.positional));
  if (!loop.last_changed.is_missing() && equal(runtime, loop.last_changed, given)) return Value::boolean(false);
  loop.last_changed = std::move(given);
  return Value::boolean(true);
}

Value Interpreter::loop_attribute(LoopObject& loop, string_view name) {
  if (name == "index") return Value::integer(loop.index0 + 1);
  if (name == "index0") return Value::integer(loop.index0);
  if (name == "first") return Value::boolean(loop.index0 == 0);
  if (name == "last") return Value::boolean(peek(loop).is_missing());
  if (name == "length") return Value::integer(loop_length(loop));
  if (name == "revindex") return Value::integer(loop_length(loop) - loop.index0);
  if (name == "revindex0") return Value::integer(loop_length(loop) - loop.index0 - 1);
  if (name == "depth") return Value::integer(loop.depth0 + 1);
  if (name == "depth0") return Value::integer(loop.depth0);
  if (name == "previtem") return loop.index0 == 0 ? runtime_.undefined("there is no previous item") : loop.previous;
  if (name == "nextitem") {
    Value next = peek(loop);
    return next.is_missing() ? runtime_.undefined("there is no next item") : next;
  }
  return {};
}

Value macro_attribute(Runtime& runtime, const FunctionCode& code, string_view name) {
  if (name == "name") return code.is_named ? runtime.string(code.name) : Value::none();
  if (name == "arguments") {
    std::vector<Value> names;
    for (const std::string& parameter : code.parameters) names.push_back(runtime.string(parameter));
    return runtime.tuple(std::move(names));
  }
  if (name == "catch_kwargs") return Value::boolean(code.keywords_slot >= 0);
  if (name == "catch_varargs") return Value::boolean(code.positional_slot >= 0);
  if (name == "caller") return Value::boolean(code.caller_slot >= 0);
  return {};
}

}  // namespace

Value find_special_attribute(Runtime& runtime, const Value& value, string_view name) {
  if (value.is(Kind::Macro)) return macro_attribute(runtime, *value.as<MacroObject>().code, name);
  if (name == "cycle") return runtime.method({"cycle", loop_cycle}, value);
  if (name == "changed") return runtime.method({"changed", loop_changed}, value);
  // The only runtime that has loops is an interpreter's.
  auto& interpreter = static_cast<Interpreter::InterpreterRuntime&>(runtime).interpreter;
  return interpreter.loop_attribute(value.as<LoopObject>(), name);
}

std::string interpret(const Template& source, const Json& variables, const ChatTemplateLimits& limits) {
  return Interpreter(source, variables, limits).run();
}

}  // namespace onnxport::jinja
