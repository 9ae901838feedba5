"""From a module's source to mutants: the source with one small change each.

Most changes are mutmut's, applied to all code. mutmut's own runner omits decorated functions, and with them those under
`@torch.no_grad()` or `@property`.
"""

import ast
import difflib
import hashlib
import random
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import libcst as cst
from mutmut.mutation import mutators

SWAPPED = {"min": "max", "max": "min", "any": "all", "all": "any", "zeros": "ones", "ones": "zeros"}


@dataclass(frozen=True)
class Mutant:
    """One changed module.

    Attributes:
        module: its name inside nmt, such as `search.beam`.
        kind: what was changed.
        line: its line number, from 1.
        source: the whole module after the change.
        diff: without file names.
    """

    module: str
    kind: str
    line: int
    source: str
    diff: str

    @property
    def id(self) -> str:
        return hashlib.sha256(f"{self.module}\n{self.source}".encode()).hexdigest()[:16]

    @property
    def before(self) -> str:
        """The removed lines, without indentation."""
        return _lines_of(self.diff, "-")

    @property
    def after(self) -> str:
        return _lines_of(self.diff, "+")


class Change(NamedTuple):
    kind: str
    node: cst.CSTNode
    mutated: cst.CSTNode


def _shorter_calls(node: cst.Call) -> Iterator[cst.Call]:
    """Omit one argument, the last or one with a keyword.

    mutmut's other changes to calls, None for an argument and a different order, fail at once in typed code.
    """
    for position, argument in enumerate(node.args):
        is_last = position == len(node.args) - 1 and not argument.star
        if not _is_for_readers(argument) and (argument.keyword is not None or is_last):
            yield node.with_changes(args=[*node.args[:position], *node.args[position + 1 :]])


def _changed_lambda(node: cst.Lambda) -> Iterator[cst.Lambda]:
    if not isinstance(node.body, cst.Name):  # mutmut replaces None by 0, which callers rarely distinguish
        yield from mutators.operator_lambda(node)


def _one_string(node: cst.BaseString) -> Iterator[cst.BaseString]:
    yield from list(mutators.operator_string(node))[:1]


def _negated_condition(node: cst.If | cst.While | cst.CompIf) -> Iterator[cst.CSTNode]:
    inner = node.test.with_changes(lpar=[cst.LeftParen()], rpar=[cst.RightParen()])
    yield node.with_changes(test=cst.UnaryOperation(cst.Not(), inner))


def _left_out_statement(node: cst.SimpleStatementLine) -> Iterator[cst.CSTNode]:
    """Omit a statement, except assignments to a name, without which everything would fail at once."""
    match node.body:
        case [cst.Assign(targets=[cst.AssignTarget(target=cst.Name() | cst.Tuple())])] | [cst.AnnAssign()]:
            return
        case [cst.Expr(value=cst.BaseString() | cst.Ellipsis())] | [cst.Pass() | cst.Import() | cst.ImportFrom()]:
            return
        case [cst.Return(value=cst.BaseExpression())]:
            return
        case _:
            yield node.with_changes(body=[cst.Pass()])


def _swapped_function(node: cst.Call) -> Iterator[cst.CSTNode]:
    name = node.func.attr if isinstance(node.func, cst.Attribute) else node.func
    if isinstance(name, cst.Name) and name.value in SWAPPED:
        yield node.with_deep_changes(name, value=SWAPPED[name.value])


def _one_operand(node: cst.BinaryOperation | cst.BooleanOperation) -> Iterator[cst.CSTNode]:
    for operand in (node.left, node.right):
        yield operand.with_changes(lpar=[cst.LeftParen(), *operand.lpar], rpar=[*operand.rpar, cst.RightParen()])


def _without_method(node: cst.Call) -> Iterator[cst.CSTNode]:
    """Replace `values.method(…)` by `values`, except for functions of modules and the object's own methods."""
    if isinstance(node.func, cst.Attribute) and isinstance(node.func.value, cst.Call | cst.Attribute | cst.Subscript):
        yield node.func.value


KINDS: list[tuple[str, type | tuple[type, ...], Callable[..., Iterable[cst.CSTNode]]]] = [
    ("number", cst.BaseNumber, mutators.operator_number),
    ("string", cst.BaseString, _one_string),
    ("true or false", cst.Name, mutators.operator_name),
    ("augmented assignment", cst.AugAssign, mutators.operator_augmented_assignment),
    ("no unary operator", cst.UnaryOperation, mutators.operator_remove_unary_ops),
    ("argument left out", cst.Call, _shorter_calls),
    ("string method", cst.Call, mutators.operator_symmetric_string_methods_swap),
    ("split", cst.Call, mutators.operator_unsymmetrical_string_methods_swap),
    ("lambda", cst.Lambda, _changed_lambda),
    ("keyword", cst.CSTNode, mutators.operator_keywords),
    ("operator", cst.CSTNode, mutators.operator_swap_op),
    ("case left out", cst.Match, mutators.operator_match),
    ("one branch", cst.IfExp, mutators.operator_if_exp),
    ("negated condition", (cst.If, cst.While, cst.CompIf), _negated_condition),
    ("statement left out", cst.SimpleStatementLine, _left_out_statement),
    ("other function", cst.Call, _swapped_function),
    ("one operand", (cst.BinaryOperation, cst.BooleanOperation), _one_operand),
    ("method left out", cst.Call, _without_method),
]


def _is_for_readers(node: cst.CSTNode) -> bool:
    """Return whether a node has no effect at run time: types, and what only the type checker reads."""
    match node:
        case cst.Annotation() | cst.Decorator() | cst.Import() | cst.ImportFrom():
            return True
        case cst.If(test=cst.Name("TYPE_CHECKING")):
            return True
        case cst.Call(func=cst.Name("TypeVar" | "cast")):
            return True
        case cst.Arg(keyword=cst.Name("strict")):  # of zip: an assertion
            return True
        case cst.Assign(value=cst.Subscript(value=cst.Name("Literal") | cst.Attribute(attr=cst.Name("NDArray")))):
            return True
    return False


def changes(node: cst.CSTNode) -> Iterator[Change]:
    """Yield every change to a node and to all below it."""
    if _is_for_readers(node):
        return
    for kind, types, operator in KINDS:
        if isinstance(node, types):
            for mutated in operator(node):
                yield Change(kind, node, mutated)
    for child in node.children:
        yield from changes(child)


def sample(module: str, source: str, size: int, *, seed: int) -> list[Mutant]:
    """Choose `size` mutants of a module, or all if there are fewer, alternating between kinds.

    A change that does not compile, or compiles to the same as before, is omitted.
    """
    rng = random.Random(f"{seed} {module}")
    tree = cst.parse_module(source)
    by_kind: dict[str, list[Change]] = {}
    for change in changes(tree):
        by_kind.setdefault(change.kind, []).append(change)
    kinds = sorted(by_kind)
    rng.shuffle(kinds)
    for kind in kinds:
        rng.shuffle(by_kind[kind])
    seen = {ast.dump(ast.parse(source))}
    mutants: list[Mutant] = []
    while len(mutants) < size and any(by_kind.values()):
        for kind in kinds:
            if not by_kind[kind]:
                continue
            change = by_kind[kind].pop()
            mutated = cst.ensure_type(tree.deep_replace(change.node, change.mutated), cst.Module).code
            meaning = _meaning(mutated)
            if meaning is not None and meaning not in seen and len(mutants) < size:
                seen.add(meaning)
                mutants.append(_mutant(module, kind, source, mutated))
    return mutants


def _meaning(source: str) -> str | None:
    """Return the syntax tree as text, independent of layout and parentheses; None if Python rejects the source."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # code that Python warns about needs no test
            compile(source, "mutant", "exec")
        return ast.dump(ast.parse(source))
    except SyntaxError:
        return None


def _mutant(module: str, kind: str, source: str, mutated: str) -> Mutant:
    lines = list(difflib.unified_diff(source.splitlines(), mutated.splitlines(), n=2, lineterm=""))[2:]
    first = int(lines[0].split()[1].split(",")[0].lstrip("-"))
    line = first + next(number for number, text in enumerate(lines[1:]) if text[0] in "+-")
    return Mutant(module=module, kind=kind, line=line, source=mutated, diff="\n".join(lines))


def _lines_of(diff: str, sign: str) -> str:
    return "\n".join(line[1:].strip() for line in diff.splitlines() if line.startswith(sign))
