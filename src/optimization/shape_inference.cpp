#include "optimization/shape_inference.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <set>
#include <unordered_map>
#include <utility>

#include "core/tensor_source.h"

namespace onnxport::optimization {
namespace {

using onnx::Node;

/// Tensors with more elements are not followed: no shape is that long.
constexpr std::int64_t kLargestElementCount = 64;
/// Ends of slices from here on mean all that there is.
constexpr std::int64_t kToTheEnd = std::int64_t{1} << 30;

std::optional<std::int64_t> as_number(const Dim& dim) {
  return dim.is_constant() ? std::optional(dim.constant()) : std::nullopt;
}

template <typename T>
void append_integers(const Array& array, std::vector<Dim>& elements) {
  for (const T value : array.values<T>()) elements.emplace_back(static_cast<std::int64_t>(value));
}

/// The elements of a constant tensor of integers or booleans.
std::optional<std::vector<Dim>> integer_elements(const TensorSource& source) {
  if (source.element_count() > kLargestElementCount || (source.bytes.empty() && source.element_count() > 0))
    return std::nullopt;
  std::vector<Dim> elements;
  switch (source.data_type) {
    case DataType::Int64:
      append_integers<std::int64_t>(materialize(source), elements);
      return elements;
    case DataType::Int32:
      append_integers<std::int32_t>(materialize(source), elements);
      return elements;
    case DataType::Bool:
      append_integers<std::uint8_t>(materialize(source), elements);
      return elements;
    default:
      return std::nullopt;
  }
}

/// What an operator's rule sees and gives.
class Inference {
 public:
  Inference(const ShapeInference& facts, const Node& inferred, int& unknown_count)
      : node(inferred), outputs(inferred.outputs.size()), facts_(facts), unknown_count_(unknown_count) {}

  const Node& node;
  std::vector<ValueFacts> outputs;

  bool has_input(std::size_t index) const { return index < node.inputs.size() && !node.inputs[index].empty(); }
  const ValueFacts* input(std::size_t index) const {
    return has_input(index) ? facts_.find(node.inputs[index]) : nullptr;
  }
  const Shape* shape(std::size_t index) const {
    const ValueFacts* facts = input(index);
    return facts != nullptr && facts->shape ? &*facts->shape : nullptr;
  }
  const std::vector<Dim>* elements(std::size_t index) const {
    const ValueFacts* facts = input(index);
    return facts != nullptr && facts->elements ? &*facts->elements : nullptr;
  }
  /// Input `index` as plain numbers.
  std::optional<std::vector<std::int64_t>> numbers(std::size_t index) const {
    const std::vector<Dim>* values = elements(index);
    if (values == nullptr) return std::nullopt;
    std::vector<std::int64_t> result;
    for (const Dim& value : *values) {
      if (!value.is_constant()) return std::nullopt;
      result.push_back(value.constant());
    }
    return result;
  }
  /// Axes from an attribute (older opsets) or from input 1; nullopt if they are not constant, empty if absent.
  std::optional<std::vector<std::int64_t>> axes() const {
    if (onnx::find_attribute(node, "axes") != nullptr) return onnx::integers_attribute(node, "axes");
    if (!has_input(1)) return std::vector<std::int64_t>{};
    return numbers(1);
  }
  std::int64_t integer(std::string_view name, std::int64_t otherwise) const {
    return onnx::integer_attribute(node, name, otherwise);
  }

  Dim unknown() { return Dim::symbol("?" + std::to_string(unknown_count_++)); }
  void give(Shape shape) { outputs[0].shape = std::move(shape); }
  void give_elements(std::vector<Dim> elements, DataType type) {
    if (static_cast<std::int64_t>(elements.size()) > kLargestElementCount) return;
    outputs[0].elements = std::move(elements);
    outputs[0].element_type = type;
  }

 private:
  const ShapeInference& facts_;
  int& unknown_count_;
};

using Rule = void (*)(Inference&);

std::optional<std::size_t> place(std::int64_t axis, std::size_t rank) {
  const auto size = static_cast<std::int64_t>(rank);
  if (axis < 0) axis += size;
  return axis >= 0 && axis < size ? std::optional(static_cast<std::size_t>(axis)) : std::nullopt;
}

// ---- Element by element ---------------------------------------------------------------------------------------------

Dim broadcast_dim(Inference& op, const Dim& a, const Dim& b) {
  if (a == b) return a;
  if (a.is_constant()) return a.constant() == 1 ? b : a;
  if (b.is_constant()) return b.constant() == 1 ? a : b;
  return op.unknown();
}

Shape broadcast_shapes(Inference& op, const Shape& a, const Shape& b) {
  const std::size_t rank = std::max(a.size(), b.size());
  Shape result;
  for (std::size_t i = 0; i < rank; ++i) {
    const bool in_a = i + a.size() >= rank;
    const bool in_b = i + b.size() >= rank;
    if (in_a && in_b) {
      result.push_back(broadcast_dim(op, a[i + a.size() - rank], b[i + b.size() - rank]));
    } else {
      result.push_back(in_a ? a[i + a.size() - rank] : b[i + b.size() - rank]);
    }
  }
  return result;
}

void unary(Inference& op) {
  if (const Shape* shape = op.shape(0)) op.give(*shape);
}

void broadcast_all(Inference& op) {
  Shape result;
  for (std::size_t i = 0; i < op.node.inputs.size(); ++i) {
    const Shape* shape = op.shape(i);
    if (shape == nullptr) return;
    result = i == 0 ? *shape : broadcast_shapes(op, result, *shape);
  }
  op.give(std::move(result));
}

/// Two inputs' elements side by side, the shorter one (of one element) repeated.
template <typename Function>
void combine_elements(Inference& op, const Function& function, std::optional<DataType> type = {}) {
  const std::vector<Dim>* a = op.elements(0);
  const std::vector<Dim>* b = op.elements(1);
  if (a == nullptr || b == nullptr || a->empty() || b->empty()) return;
  if (a->size() != b->size() && a->size() != 1 && b->size() != 1) return;
  std::vector<Dim> result;
  for (std::size_t i = 0; i < std::max(a->size(), b->size()); ++i) {
    const std::optional<Dim> value = function((*a)[a->size() == 1 ? 0 : i], (*b)[b->size() == 1 ? 0 : i]);
    if (!value) return;
    result.push_back(*value);
  }
  op.give_elements(std::move(result), type.value_or(op.input(0)->element_type));
}

void add(Inference& op) {
  broadcast_all(op);
  combine_elements(op, [](const Dim& a, const Dim& b) { return std::optional(a + b); });
}

void subtract(Inference& op) {
  broadcast_all(op);
  combine_elements(op, [](const Dim& a, const Dim& b) { return std::optional(a - b); });
}

void multiply(Inference& op) {
  broadcast_all(op);
  combine_elements(op, [](const Dim& a, const Dim& b) { return std::optional(a * b); });
}

/// ONNX truncates, floor_div rounds down: the same for sizes.
void divide(Inference& op) {
  broadcast_all(op);
  combine_elements(op, [](const Dim& a, const Dim& b) -> std::optional<Dim> {
    if (!b.is_constant() || b.constant() <= 0 || !is_non_negative(a)) return std::nullopt;
    return floor_div(a, b.constant());
  });
}

void negate(Inference& op) {
  unary(op);
  const std::vector<Dim>* elements = op.elements(0);
  if (elements == nullptr) return;
  std::vector<Dim> result;
  for (const Dim& element : *elements) result.push_back(Dim(0) - element);
  op.give_elements(std::move(result), op.input(0)->element_type);
}

/// Sizes are not negative, so that none is equal to the -1 that torch asks for.
void equal(Inference& op) {
  broadcast_all(op);
  combine_elements(
      op,
      [](const Dim& a, const Dim& b) -> std::optional<Dim> {
        if (a == b) return Dim(1);
        const Dim difference = a - b;
        if (difference.is_constant()) return Dim(0);
        const bool below = b.is_constant() && b.constant() < 0 && is_non_negative(a);
        return below ? std::optional(Dim(0)) : std::nullopt;
      },
      DataType::Bool);
}

void where(Inference& op) {
  broadcast_all(op);
  const auto condition = op.numbers(0);
  const std::vector<Dim>* a = op.elements(1);
  const std::vector<Dim>* b = op.elements(2);
  if (!condition || a == nullptr || b == nullptr) return;
  const std::size_t size = std::max({condition->size(), a->size(), b->size()});
  std::vector<Dim> result;
  for (std::size_t i = 0; i < size; ++i) {
    const auto pick = [&](const auto& values) { return values.size() == 1 ? std::size_t{0} : i; };
    if (pick(*condition) >= condition->size() || pick(*a) >= a->size() || pick(*b) >= b->size()) return;
    result.push_back((*condition)[pick(*condition)] != 0 ? (*a)[pick(*a)] : (*b)[pick(*b)]);
  }
  op.give_elements(std::move(result), op.input(1)->element_type);
}

void identity(Inference& op) {
  if (const ValueFacts* facts = op.input(0)) op.outputs[0] = *facts;
}

void cast_rule(Inference& op) {
  unary(op);
  const std::vector<Dim>* elements = op.elements(0);
  const auto type = data_type_from_onnx(static_cast<int>(op.integer("to", 0)));
  // Of numbers that fit anywhere; a size may be cast to int32 as well.
  if (elements != nullptr && (type == DataType::Int64 || type == DataType::Int32)) op.give_elements(*elements, *type);
}

// ---- Shapes as values -----------------------------------------------------------------------------------------------

void shape_rule(Inference& op) {
  const Shape* shape = op.shape(0);
  if (shape == nullptr) return;
  const auto rank = static_cast<std::int64_t>(shape->size());
  const auto bound = [&](std::int64_t at) { return std::clamp(at < 0 ? at + rank : at, std::int64_t{0}, rank); };
  const std::int64_t start = bound(op.integer("start", 0));
  const std::int64_t end = std::max(start, bound(op.integer("end", rank)));
  op.give({Dim(end - start)});
  op.give_elements({shape->begin() + start, shape->begin() + end}, DataType::Int64);
}

void gather(Inference& op) {
  const Shape* data = op.shape(0);
  const Shape* indices = op.shape(1);
  if (data == nullptr || indices == nullptr) return;
  const auto axis = place(op.integer("axis", 0), data->size());
  if (!axis) return;
  Shape result(data->begin(), data->begin() + static_cast<std::ptrdiff_t>(*axis));
  result.insert(result.end(), indices->begin(), indices->end());
  result.insert(result.end(), data->begin() + static_cast<std::ptrdiff_t>(*axis) + 1, data->end());
  op.give(std::move(result));
  const std::vector<Dim>* elements = op.elements(0);
  const auto at = op.numbers(1);
  if (elements == nullptr || !at || data->size() != 1) return;
  std::vector<Dim> picked;
  for (const std::int64_t index : *at) {
    const auto position = place(index, elements->size());
    if (!position) return;
    picked.push_back((*elements)[*position]);
  }
  op.give_elements(std::move(picked), op.input(0)->element_type);
}

void keep_elements(Inference& op) {
  if (const std::vector<Dim>* elements = op.elements(0)) op.give_elements(*elements, op.input(0)->element_type);
}

void unsqueeze(Inference& op) {
  const Shape* shape = op.shape(0);
  const auto axes = op.axes();
  if (shape == nullptr || !axes) return;
  const std::size_t rank = shape->size() + axes->size();
  std::set<std::size_t> added;
  for (const std::int64_t axis : *axes)
    if (const auto position = place(axis, rank)) added.insert(*position);
  if (added.size() != axes->size()) return;
  Shape result;
  auto next = shape->begin();
  for (std::size_t i = 0; i < rank; ++i) result.push_back(added.contains(i) ? Dim(1) : *next++);
  op.give(std::move(result));
  keep_elements(op);
}

void squeeze(Inference& op) {
  const Shape* shape = op.shape(0);
  const auto axes = op.axes();
  if (shape == nullptr || !axes || axes->empty()) return;
  std::set<std::size_t> removed;
  for (const std::int64_t axis : *axes)
    if (const auto position = place(axis, shape->size())) removed.insert(*position);
  Shape result;
  for (std::size_t i = 0; i < shape->size(); ++i)
    if (!removed.contains(i)) result.push_back((*shape)[i]);
  op.give(std::move(result));
  keep_elements(op);
}

void concat_rule(Inference& op) {
  const Shape* first = op.shape(0);
  if (first == nullptr) return;
  const auto axis = place(op.integer("axis", 0), first->size());
  if (!axis) return;
  Shape result = *first;
  result[*axis] = Dim(0);
  std::optional<std::vector<Dim>> elements = std::vector<Dim>{};
  for (std::size_t i = 0; i < op.node.inputs.size(); ++i) {
    const Shape* shape = op.shape(i);
    if (shape == nullptr || shape->size() != result.size()) return;
    result[*axis] = result[*axis] + (*shape)[*axis];
    // A number is more certain than a name.
    for (std::size_t j = 0; j < result.size(); ++j)
      if (j != *axis && (*shape)[j].is_constant()) result[j] = (*shape)[j];
    const std::vector<Dim>* part = op.elements(i);
    if (part == nullptr) elements.reset();
    if (elements) elements->insert(elements->end(), part->begin(), part->end());
  }
  const bool is_list = result.size() == 1;
  op.give(std::move(result));
  if (elements && is_list) op.give_elements(std::move(*elements), op.input(0)->element_type);
}

void slice_rule(Inference& op) {
  const Shape* shape = op.shape(0);
  const auto starts = op.numbers(1);
  const std::vector<Dim>* sizes_of_starts = op.elements(1);
  const std::vector<Dim>* ends = op.elements(2);
  if (shape == nullptr) return;
  Shape result = *shape;
  std::vector<std::int64_t> axes;
  if (op.has_input(3)) {
    const auto given = op.numbers(3);
    if (!given) return;
    axes = *given;
  } else if (sizes_of_starts != nullptr) {
    for (std::size_t i = 0; i < sizes_of_starts->size(); ++i) axes.push_back(static_cast<std::int64_t>(i));
  } else {
    return;
  }
  const auto steps = op.has_input(4) ? op.numbers(4) : std::vector<std::int64_t>(axes.size(), 1);
  for (std::size_t i = 0; i < axes.size(); ++i) {
    const auto axis = place(axes[i], result.size());
    if (!axis) return;
    Dim& size = result[*axis];
    const auto compute = [&]() -> std::optional<Dim> {
      // The last rows, as many as there are queries: [-length:].
      if (!starts && sizes_of_starts != nullptr && i < sizes_of_starts->size() && steps && i < steps->size() &&
          (*steps)[i] == 1 && ends != nullptr && i < ends->size() && (*ends)[i].is_constant() &&
          (*ends)[i].constant() >= kToTheEnd) {
        const Dim count = Dim(0) - (*sizes_of_starts)[i];
        if (!count.is_constant() && is_non_negative(count) && is_non_negative(size - count)) return count;
      }
      if (!starts || !steps || i >= starts->size() || ends == nullptr || i >= ends->size()) return std::nullopt;
      const std::int64_t start = (*starts)[i];
      const std::int64_t step = (*steps)[i];
      const Dim& end = (*ends)[i];
      if (const auto whole = as_number(size); whole && end.is_constant() && step != 0) {
        const auto bound = [&](std::int64_t at) {
          return std::clamp(at < 0 ? at + *whole : at, std::int64_t{step < 0 ? -1 : 0}, step < 0 ? *whole - 1 : *whole);
        };
        const std::int64_t from = bound(start);
        const std::int64_t to = end.constant() < -*whole ? (step < 0 ? -1 : 0) : bound(end.constant());
        return Dim(
            std::max<std::int64_t>(0, step > 0 ? (to - from + step - 1) / step : (from - to - step - 1) / -step));
      }
      // The end may lie beyond the size; that of a slice to the end is certain.
      if (step == 1 && start == 0 && end.is_constant() && end.constant() >= kToTheEnd) return size;
      // A table of positions is as long as what is taken of it, or its user would fail.
      if (step == 1 && start == 0 && !end.is_constant() && is_non_negative(end)) return end;
      return std::nullopt;
    }();
    size = compute ? *compute : op.unknown();
  }
  const std::vector<Dim>* elements = op.elements(0);
  if (elements != nullptr && shape->size() == 1 && axes.size() == 1 && starts && steps && steps->size() == 1 &&
      starts->size() == 1 && ends != nullptr && ends->size() == 1 && ends->front().is_constant() &&
      steps->front() == 1) {
    const auto count = static_cast<std::int64_t>(elements->size());
    const auto bound = [&](std::int64_t at) { return std::clamp(at < 0 ? at + count : at, std::int64_t{0}, count); };
    const std::int64_t from = bound(starts->front());
    const std::int64_t to = std::max(from, bound(ends->front().constant()));
    op.give_elements({elements->begin() + from, elements->begin() + to}, op.input(0)->element_type);
  }
  op.give(std::move(result));
}

void reshape_rule(Inference& op) {
  const Shape* shape = op.shape(0);
  const std::vector<Dim>* target = op.elements(1);
  if (target == nullptr) {
    // The rank at least.
    const Shape* list = op.shape(1);
    if (list == nullptr || list->size() != 1 || !list->front().is_constant()) return;
    Shape result;
    for (std::int64_t i = 0; i < std::min<std::int64_t>(list->front().constant(), kLargestElementCount); ++i)
      result.push_back(op.unknown());
    return op.give(std::move(result));
  }
  Shape result = *target;
  std::optional<std::size_t> free;
  for (std::size_t i = 0; i < result.size(); ++i) {
    const auto number = as_number(result[i]);
    if (number == 0 && op.integer("allowzero", 0) == 0) {
      result[i] = shape != nullptr && i < shape->size() ? (*shape)[i] : op.unknown();
    } else if (number == -1) {
      free = i;
    } else if (!number && !is_non_negative(result[i])) {
      result[i] = op.unknown();
    }
  }
  if (free) {
    result[*free] = Dim(1);
    std::optional<Dim> rest;
    if (shape != nullptr) {
      // Both products without the symbols and numbers that they share.
      const Dim all = element_count(*shape);
      const Dim others = element_count(result);
      if (const auto divisor = as_number(others); divisor && *divisor > 0) {
        rest = floor_div(all, *divisor);
      } else {
        std::vector<Dim> left(shape->begin(), shape->end());
        std::vector<Dim> right(result.begin(), result.end());
        for (Dim& a : left)
          if (const auto same = std::find(right.begin(), right.end(), a); same != right.end() && !a.is_constant()) {
            *same = Dim(1);
            a = Dim(1);
          }
        const auto divisor_left = as_number(element_count(right));
        if (divisor_left && *divisor_left > 0) rest = floor_div(element_count(left), *divisor_left);
      }
    }
    result[*free] = rest ? *rest : op.unknown();
  }
  op.give(std::move(result));
  keep_elements(op);
}

void flatten(Inference& op) {
  const Shape* shape = op.shape(0);
  if (shape == nullptr) return;
  const auto rank = static_cast<std::int64_t>(shape->size());
  std::int64_t axis = op.integer("axis", 1);
  if (axis < 0) axis += rank;
  if (axis < 0 || axis > rank) return;
  op.give(
      {element_count({shape->begin(), shape->begin() + axis}), element_count({shape->begin() + axis, shape->end()})});
}

void expand(Inference& op) {
  const Shape* shape = op.shape(0);
  const std::vector<Dim>* target = op.elements(1);
  if (shape == nullptr || target == nullptr) return;
  Shape sizes = *target;
  for (Dim& size : sizes)
    if (!is_non_negative(size)) size = op.unknown();
  op.give(broadcast_shapes(op, *shape, sizes));
  const std::vector<Dim>* elements = op.elements(0);
  const auto count = as_number(element_count(*op.outputs[0].shape));
  if (elements != nullptr && elements->size() == 1 && count && *count <= kLargestElementCount)
    op.give_elements(std::vector<Dim>(static_cast<std::size_t>(*count), elements->front()), op.input(0)->element_type);
}

void constant_of_shape(Inference& op) {
  const std::vector<Dim>* target = op.elements(0);
  if (target == nullptr) return;
  op.give(*target);
  const onnx::Attribute* attribute = onnx::find_attribute(op.node, "value");
  const auto* value = attribute == nullptr ? nullptr : std::get_if<Array>(&attribute->value);
  const auto count = as_number(element_count(*target));
  if (value == nullptr || !count || *count < 0 || *count > kLargestElementCount) return;
  if (const auto fill = integer_elements(from_array(*value)); fill && fill->size() == 1)
    op.give_elements(std::vector<Dim>(static_cast<std::size_t>(*count), fill->front()), value->data_type());
}

/// From zero in steps of one, as long as it is large: what positions are made of.
void range(Inference& op) {
  const std::vector<Dim>* start = op.elements(0);
  const std::vector<Dim>* limit = op.elements(1);
  const auto step = op.numbers(2);
  if (start != nullptr && limit != nullptr && step == std::vector<std::int64_t>{1} && start->size() == 1 &&
      limit->size() == 1 && is_non_negative(limit->front() - start->front()))
    return op.give({limit->front() - start->front()});
  op.give({op.unknown()});
}

// ---- Moving and reducing --------------------------------------------------------------------------------------------

void transpose_rule(Inference& op) {
  const Shape* shape = op.shape(0);
  if (shape == nullptr) return;
  std::vector<std::int64_t> permutation = onnx::integers_attribute(op.node, "perm");
  if (permutation.empty())
    for (std::size_t i = shape->size(); i-- > 0;) permutation.push_back(static_cast<std::int64_t>(i));
  if (permutation.size() != shape->size()) return;
  Shape result;
  for (const std::int64_t axis : permutation) {
    const auto position = place(axis, shape->size());
    if (!position) return;
    result.push_back((*shape)[*position]);
  }
  op.give(std::move(result));
}

void reduce(Inference& op) {
  const Shape* shape = op.shape(0);
  const auto axes = op.axes();
  if (shape == nullptr || !axes) return;
  const bool keeps = op.integer("keepdims", 1) != 0;
  std::set<std::size_t> reduced;
  for (const std::int64_t axis : *axes)
    if (const auto position = place(axis, shape->size())) reduced.insert(*position);
  if (axes->empty()) {
    if (op.integer("noop_with_empty_axes", 0) != 0) return op.give(*shape);
    for (std::size_t i = 0; i < shape->size(); ++i) reduced.insert(i);
  }
  Shape result;
  for (std::size_t i = 0; i < shape->size(); ++i) {
    if (!reduced.contains(i)) {
      result.push_back((*shape)[i]);
    } else if (keeps) {
      result.emplace_back(1);
    }
  }
  op.give(std::move(result));
}

void arg_reduce(Inference& op) {
  const Shape* shape = op.shape(0);
  if (shape == nullptr) return;
  const auto axis = place(op.integer("axis", 0), shape->size());
  if (!axis) return;
  Shape result = *shape;
  if (op.integer("keepdims", 1) != 0) {
    result[*axis] = Dim(1);
  } else {
    result.erase(result.begin() + static_cast<std::ptrdiff_t>(*axis));
  }
  op.give(std::move(result));
}

void split_rule(Inference& op) {
  const Shape* shape = op.shape(0);
  if (shape == nullptr) return;
  const auto axis = place(op.integer("axis", 0), shape->size());
  if (!axis) return;
  std::vector<Dim> sizes;
  if (onnx::find_attribute(op.node, "split") != nullptr) {
    for (const std::int64_t size : onnx::integers_attribute(op.node, "split")) sizes.emplace_back(size);
  } else if (op.has_input(1)) {
    if (const std::vector<Dim>* given = op.elements(1)) sizes = *given;
  } else if (const auto whole = as_number((*shape)[*axis])) {
    const auto parts = static_cast<std::int64_t>(op.outputs.size());
    if (*whole % parts == 0) sizes.assign(op.outputs.size(), Dim(*whole / parts));
  }
  for (std::size_t i = 0; i < op.outputs.size(); ++i) {
    Shape result = *shape;
    result[*axis] = i < sizes.size() ? sizes[i] : op.unknown();
    op.outputs[i].shape = std::move(result);
  }
}

void gather_elements(Inference& op) {
  if (const Shape* shape = op.shape(1)) op.give(*shape);
}

// ---- Products -------------------------------------------------------------------------------------------------------

void matmul_rule(Inference& op) {
  const Shape* a = op.shape(0);
  const Shape* b = op.shape(1);
  if (a == nullptr || b == nullptr || a->size() < 2 || b->size() < 2) return;
  Shape result = broadcast_shapes(op, {a->begin(), a->end() - 2}, {b->begin(), b->end() - 2});
  result.push_back((*a)[a->size() - 2]);
  result.push_back(b->back());
  op.give(std::move(result));
}

void gemm_rule(Inference& op) {
  const Shape* a = op.shape(0);
  const Shape* b = op.shape(1);
  if (a == nullptr || b == nullptr || a->size() != 2 || b->size() != 2) return;
  op.give({(*a)[op.integer("transA", 0) != 0 ? 1 : 0], (*b)[op.integer("transB", 0) != 0 ? 0 : 1]});
}

/// The outer product of two vectors, of which positions and frequencies make angles.
void einsum_rule(Inference& op) {
  const Shape* a = op.shape(0);
  const Shape* b = op.shape(1);
  if (a == nullptr || b == nullptr || a->size() != 1 || b->size() != 1) return;
  std::string equation = onnx::string_attribute(op.node, "equation", "");
  std::erase(equation, ' ');
  if (equation.size() == 7 && equation[0] != equation[2] &&
      equation == std::string{equation[0], ',', equation[2], '-', '>', equation[0], equation[2]})
    op.give({(*a)[0], (*b)[0]});
}

void conv_rule(Inference& op) {
  const Shape* x = op.shape(0);
  const Shape* w = op.shape(1);
  if (x == nullptr || w == nullptr || x->size() != w->size() || x->size() < 3) return;
  const std::size_t spatial = x->size() - 2;
  const auto list = [&](const char* name, std::size_t size, std::int64_t otherwise) {
    std::vector<std::int64_t> values = onnx::integers_attribute(op.node, name);
    if (values.size() != size) values.assign(size, otherwise);
    return values;
  };
  const std::string padding = onnx::string_attribute(op.node, "auto_pad", "NOTSET");
  const auto strides = list("strides", spatial, 1);
  const auto dilations = list("dilations", spatial, 1);
  const auto pads = list("pads", 2 * spatial, 0);
  Shape result{(*x)[0], (*w)[0]};
  for (std::size_t i = 0; i < spatial; ++i) {
    const auto kernel = as_number((*w)[i + 2]);
    if (!kernel || strides[i] <= 0 || (padding != "NOTSET" && padding != "VALID")) {
      result.push_back(op.unknown());
      continue;
    }
    const std::int64_t padded = padding == "VALID" ? 0 : pads[i] + pads[i + spatial];
    result.push_back(floor_div((*x)[i + 2] + Dim(padded - dilations[i] * (*kernel - 1) - 1), strides[i]) + Dim(1));
  }
  op.give(std::move(result));
}

void skip_layer_normalization(Inference& op) {
  const Shape* shape = op.shape(0);
  if (shape == nullptr) return;
  op.give(*shape);
  if (op.outputs.size() > 3) op.outputs[3].shape = *shape;
}

void embed_layer_normalization(Inference& op) {
  const Shape* ids = op.shape(0);
  const Shape* table = op.shape(2);
  if (ids == nullptr || table == nullptr || ids->size() != 2 || table->size() != 2) return;
  op.give({(*ids)[0], (*ids)[1], table->back()});
  if (op.outputs.size() > 2) op.outputs[2].shape = op.outputs[0].shape;
}

/// com.microsoft.Attention: (batch, sequence, hidden) and weights (hidden, sizes of query, key and value).
void attention(Inference& op) {
  const Shape* x = op.shape(0);
  const Shape* weights = op.shape(1);
  if (x == nullptr || weights == nullptr || x->size() != 3 || weights->size() != 2) return;
  const auto whole = as_number(weights->back());
  if (!whole || *whole % 3 != 0 || onnx::find_attribute(op.node, "qkv_hidden_sizes") != nullptr) return;
  op.give({(*x)[0], (*x)[1], Dim(*whole / 3)});
}

const std::unordered_map<std::string_view, Rule>& rules() {
  static const auto* table = [] {
    auto* rules = new std::unordered_map<std::string_view, Rule>{
        {"Identity", identity},
        {"Cast", cast_rule},
        {"Add", add},
        {"Sub", subtract},
        {"Mul", multiply},
        {"Div", divide},
        {"Neg", negate},
        {"Equal", equal},
        {"Where", where},
        {"Shape", shape_rule},
        {"Gather", gather},
        {"Unsqueeze", unsqueeze},
        {"Squeeze", squeeze},
        {"Concat", concat_rule},
        {"Slice", slice_rule},
        {"Reshape", reshape_rule},
        {"Flatten", flatten},
        {"Expand", expand},
        {"ConstantOfShape", constant_of_shape},
        {"Range", range},
        {"Transpose", transpose_rule},
        {"ReduceMean", reduce},
        {"ReduceSum", reduce},
        {"ReduceMax", reduce},
        {"ReduceMin", reduce},
        {"ReduceProd", reduce},
        {"ReduceL2", reduce},
        {"ReduceSumSquare", reduce},
        {"ArgMax", arg_reduce},
        {"ArgMin", arg_reduce},
        {"Split", split_rule},
        {"GatherElements", gather_elements},
        {"MatMul", matmul_rule},
        {"Gemm", gemm_rule},
        {"Einsum", einsum_rule},
        {"Conv", conv_rule},
        {"SkipLayerNormalization", skip_layer_normalization},
        {"SkipSimplifiedLayerNormalization", skip_layer_normalization},
        {"EmbedLayerNormalization", embed_layer_normalization},
        {"Attention", attention},
    };
    for (const char* name : {"Pow", "Min", "Max", "And", "Or", "Xor", "Greater", "GreaterOrEqual", "Less", "Mod", "Sum",
                             "LessOrEqual", "PRelu", "Mean"})
      rules->emplace(name, broadcast_all);
    for (const char* name : {"Abs",
                             "Ceil",
                             "Clip",
                             "CumSum",
                             "Dropout",
                             "Elu",
                             "Erf",
                             "Exp",
                             "Floor",
                             "Gelu",
                             "FastGelu",
                             "BiasGelu",
                             "QuickGelu",
                             "HardSwish",
                             "IsInf",
                             "IsNaN",
                             "Log",
                             "LeakyRelu",
                             "LogSoftmax",
                             "Not",
                             "Reciprocal",
                             "Relu",
                             "Round",
                             "Selu",
                             "Sigmoid",
                             "Sign",
                             "Sin",
                             "Cos",
                             "Softmax",
                             "Softplus",
                             "Softsign",
                             "Sqrt",
                             "Tanh",
                             "Trilu",
                             "ScatterND",
                             "ScatterElements",
                             "LayerNormalization",
                             "RMSNormalization",
                             "SimplifiedLayerNormalization",
                             "InstanceNormalization",
                             "GroupNormalization",
                             "BatchNormalization",
                             "HardSigmoid",
                             "Mish",
                             "MultiHeadAttention",
                             "RotaryEmbedding"})
      rules->emplace(name, unary);
    return rules;
  }();
  return *table;
}

}  // namespace

Dim parse_dimension(std::string_view text) {
  constexpr std::string_view kPlus = " + ";
  Dim sum;
  for (std::string_view rest = text;;) {
    const std::size_t end = std::min(rest.find(kPlus), rest.size());
    const std::string_view part = rest.substr(0, end);
    if (part.empty() || part.find_first_of(" *()/") != std::string_view::npos) return Dim::symbol(text);
    std::int64_t number = 0;
    const auto [last, error] = std::from_chars(part.data(), part.data() + part.size(), number);
    const bool is_number = error == std::errc() && last == part.data() + part.size();
    sum = sum + (is_number ? Dim(number) : Dim::symbol(part));
    if (end == rest.size()) return sum;
    rest.remove_prefix(end + kPlus.size());
  }
}

bool is_non_negative(const Dim& dim) {
  return std::all_of(dim.terms().begin(), dim.terms().end(),
                     [](const Dim::Term& term) { return term.coefficient >= 0; });
}

ShapeInference::ShapeInference(const onnx::GraphEditor& graph, const ShapeInference* outer)
    : graph_(graph), outer_(outer), unknown_count_(outer == nullptr ? 0 : outer->unknown_count_) {
  for (const onnx::ValueInfo& input : graph.inputs()) {
    if (!input.has_shape) continue;
    Shape shape;
    for (const onnx::Dimension& dimension : input.shape) {
      if (const auto* size = std::get_if<std::int64_t>(&dimension)) {
        shape.emplace_back(*size);
      } else {
        const std::string& name = std::get<std::string>(dimension);
        shape.push_back(name.empty() ? Dim::symbol("?" + std::to_string(unknown_count_++)) : parse_dimension(name));
      }
    }
    facts_[input.name].shape = std::move(shape);
  }
  for (const onnx::NodeId id : graph.nodes()) infer(graph.node(id));
}

void ShapeInference::infer(const Node& node) {
  if (node.domain != "" && node.domain != "ai.onnx" && node.domain != "com.microsoft") return;
  const auto rule = rules().find(node.op_type);
  if (rule == rules().end() || node.outputs.empty()) return;
  Inference inference(*this, node, unknown_count_);
  rule->second(inference);
  for (std::size_t i = 0; i < node.outputs.size(); ++i)
    if (!node.outputs[i].empty()) facts_[node.outputs[i]] = std::move(inference.outputs[i]);
}

const ValueFacts* ShapeInference::find(std::string_view value) const {
  if (const auto found = facts_.find(value); found != facts_.end()) return &found->second;
  const auto [constant, is_new] = constants_.emplace(value, std::nullopt);
  if (is_new) {
    if (const auto source = graph_.constant(value)) {
      ValueFacts facts;
      facts.shape = Shape(source->shape.begin(), source->shape.end());
      facts.elements = integer_elements(*source);
      facts.element_type = source->data_type;
      constant->second = std::move(facts);
    }
  }
  if (constant->second) return &*constant->second;
  return outer_ == nullptr ? nullptr : outer_->find(value);
}

const Shape* ShapeInference::shape(std::string_view value) const {
  const ValueFacts* facts = find(value);
  return facts != nullptr && facts->shape ? &*facts->shape : nullptr;
}

std::optional<std::int64_t> ShapeInference::rank(std::string_view value) const {
  const Shape* found = shape(value);
  return found == nullptr ? std::nullopt : std::optional(static_cast<std::int64_t>(found->size()));
}

std::optional<std::int64_t> ShapeInference::last_size(std::string_view value) const {
  const Shape* found = shape(value);
  return found == nullptr || found->empty() ? std::nullopt : as_number(found->back());
}

}  // namespace onnxport::optimization
