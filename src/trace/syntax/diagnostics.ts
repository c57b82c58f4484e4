/** Build-time diagnostics: what an update cannot say, as a table. All problems of a file are reported together. */
import { ts } from "ts-morph";
import { StepjitError } from "../../error.ts";
import { bare, isAssignment, isOutside, isRepeatable, isStep, isString, isUpdate } from "./ast.ts";
import { DIRECTIVE } from "./directive.ts";
import { COMPOUND, MATH, takesMath } from "./helpers.ts";
import type { Names } from "./names.ts";
import type { Region } from "./regions.ts";
import { PLAIN, type Taint, type Taints, TRACED, UNKNOWN } from "./taint.ts";

const { SyntaxKind } = ts;

export interface DiagnoseInput {
  readonly source: ts.SourceFile;
  readonly names: Names;
  readonly taints: Taints;
  /** The file's name in positions. */
  readonly path: string;
}

interface Diagnostic {
  /** The offending part of `node`, if any: a whole node for constructs, an operand for values. */
  readonly find: (node: ts.Node, names: Names, taints: Taints) => ts.Node | undefined;
  /** How traced that part has to be. `PLAIN`: whatever its value. */
  readonly from: Taint;
  readonly wrong: string;
  readonly instead: string;
}

const BITWISE: ReadonlySet<ts.SyntaxKind> = new Set([
  SyntaxKind.AmpersandToken,
  SyntaxKind.BarToken,
  SyntaxKind.CaretToken,
  SyntaxKind.LessThanLessThanToken,
  SyntaxKind.GreaterThanGreaterThanToken,
  SyntaxKind.GreaterThanGreaterThanGreaterThanToken,
  SyntaxKind.AmpersandEqualsToken,
  SyntaxKind.BarEqualsToken,
  SyntaxKind.CaretEqualsToken,
  SyntaxKind.LessThanLessThanEqualsToken,
  SyntaxKind.GreaterThanGreaterThanEqualsToken,
  SyntaxKind.GreaterThanGreaterThanGreaterThanEqualsToken,
]);

const LOGICAL_ASSIGNMENT: ReadonlySet<ts.SyntaxKind> = new Set([
  SyntaxKind.QuestionQuestionEqualsToken,
  SyntaxKind.AmpersandAmpersandEqualsToken,
  SyntaxKind.BarBarEqualsToken,
]);

/** Globals that ask for a plain number or string. */
const COERCIONS: ReadonlySet<string> = new Set(
  (
    "String Number Boolean BigInt parseInt parseFloat isNaN isFinite JSON.stringify " +
    "Number.isNaN Number.isFinite Number.isInteger Number.parseFloat Number.parseInt"
  ).split(" "),
);

const CHOOSE =
  "use `mask ? a : b`: both sides are computed and selected element by element; or branch on a flag";
const ROUNDS = "loop over a constant, or over a flag: the number of rounds is fixed when the step is traced";
const ONCE = "an update is ordinary, synchronous code: it runs once, to be recorded";
const NO_TEXT = "traced values have no text: name the value in words, or look at the dump of the module";

const DIAGNOSTICS: readonly Diagnostic[] = [
  {
    find: (node) => (ts.isIfStatement(node) ? node.expression : undefined),
    from: TRACED,
    wrong: "`if` on a traced value: the step cannot branch on it",
    instead: CHOOSE,
  },
  {
    find: (node) => (ts.isWhileStatement(node) || ts.isDoStatement(node) ? node.expression : undefined),
    from: TRACED,
    wrong: "a loop that runs while a traced value says so",
    instead: ROUNDS,
  },
  {
    find: (node) => (ts.isForStatement(node) ? node.condition : undefined),
    from: TRACED,
    wrong: "a loop whose end is a traced value",
    instead: ROUNDS,
  },
  {
    find: (node) => (ts.isSwitchStatement(node) || ts.isCaseClause(node) ? node.expression : undefined),
    from: TRACED,
    wrong: "`switch` on a traced value: the step cannot branch on it",
    instead: CHOOSE,
  },
  {
    find: (node, _, taints) =>
      ts.isBinaryExpression(node) && BITWISE.has(node.operatorToken.kind)
        ? moreTraced(taints, node.left, node.right)
        : undefined,
    from: UNKNOWN,
    wrong:
      "a bitwise operator on a value that is, or may be, traced: its bits are known only when the step runs",
    instead: "of masks use `&&`, `||`, `!==`; of numbers `*`, `/`, `floor` and `2 ** n`",
  },
  {
    find: (node) =>
      ts.isPrefixUnaryExpression(node) && node.operator === SyntaxKind.TildeToken ? node.operand : undefined,
    from: UNKNOWN,
    wrong: "`~` on a value that is, or may be, traced",
    instead: "of a mask use `!`",
  },
  {
    find: (node) =>
      ts.isBinaryExpression(node) && node.operatorToken.kind === SyntaxKind.QuestionQuestionToken
        ? node.left
        : undefined,
    from: UNKNOWN,
    wrong: "`??` on a value that is, or may be, traced: a traced value is never null or undefined",
    instead: "give a parameter a default, or choose with a flag",
  },
  {
    find: (node, _, taints) =>
      ts.isBinaryExpression(node) && LOGICAL_ASSIGNMENT.has(node.operatorToken.kind)
        ? moreTraced(taints, node.left, node.right)
        : undefined,
    from: UNKNOWN,
    wrong: "an assignment that depends on a value that is, or may be, traced",
    instead: "assign what should hold either way: `x = mask ? a : x`",
  },
  {
    find: (node) => (isStep(node) ? node.operand : undefined),
    from: TRACED,
    wrong: "`++` or `--` on a traced value",
    instead: "write `x = x + 1`",
  },
  {
    find: (node) => (ts.isTemplateSpan(node) ? node.expression : undefined),
    from: UNKNOWN,
    wrong: "a value that is, or may be, traced in a template string",
    instead: NO_TEXT,
  },
  {
    find: (node) => concatenated(node),
    from: UNKNOWN,
    wrong: "a value that is, or may be, traced was joined to a string",
    instead: NO_TEXT,
  },
  {
    find: (node) =>
      ts.isPrefixUnaryExpression(node) && node.operator === SyntaxKind.PlusToken ? node.operand : undefined,
    from: TRACED,
    wrong: "unary `+` asks for a plain number; this value is traced",
    instead: "leave the `+` away; to count a mask write `mask ? 1 : 0`",
  },
  {
    find: (node, names) =>
      ts.isCallExpression(node) && COERCIONS.has(names.globalMember(node.expression) ?? "")
        ? node.arguments[0]
        : undefined,
    from: TRACED,
    wrong: "this function asks for a plain value; the argument is traced",
    instead: "its number is known only when the step runs: write the maths with operators and stepjit/ops",
  },
  {
    find: (node, names, taints) => {
      const member = ts.isCallExpression(node) && names.mathMember(node.expression);
      return member && !takesMath(member, node) ? moreTraced(taints, ...node.arguments) : undefined;
    },
    from: TRACED,
    wrong: "this call of Math has no traced counterpart",
    instead: `there are ${[...MATH].join(", ")}, without spread arguments: write it with those`,
  },
  {
    find: (node) => (ts.isElementAccessExpression(node) ? node.argumentExpression : undefined),
    from: TRACED,
    wrong: "a traced value as an index or a key",
    instead: "read every candidate and choose with `mask ? a : b`",
  },
  {
    find: (node) => (ts.isDeleteExpression(node) ? node.expression : undefined),
    from: TRACED,
    wrong: "`delete` of a traced value",
    instead: "a state slot that is not needed is declared with `when`",
  },
  {
    find: (node, _, taints) => armAssignment(node, taints),
    from: PLAIN,
    wrong: "an assignment under a traced condition: both sides are computed, so it would always happen",
    instead: "assign the choice: `x = mask ? a : x`",
  },
  {
    find: (node, _, taints) =>
      isAssignment(node) && COMPOUND[node.operatorToken.kind] && !isRepeatable(node.left)
        ? moreTraced(taints, node.left, node.right)
        : undefined,
    from: UNKNOWN,
    wrong: "the target of this assignment would be evaluated twice",
    instead: "put its object or its key into a `const` first",
  },
  {
    find: (node, names) => capturedTarget(node, names),
    from: PLAIN,
    wrong:
      "an assignment to a variable outside the function: it would happen when the step is traced, not when it runs",
    instead: "keep what lasts in `state`, and return what is computed",
  },
  {
    find: (node) => (ts.isAwaitExpression(node) ? node : undefined),
    from: PLAIN,
    wrong: "`await`",
    instead: ONCE,
  },
  {
    find: (node) => (ts.isForOfStatement(node) ? node.awaitModifier : undefined),
    from: PLAIN,
    wrong: "`for await`",
    instead: ONCE,
  },
  {
    find: (node) => (ts.isYieldExpression(node) ? node : undefined),
    from: PLAIN,
    wrong: "`yield`",
    instead: ONCE,
  },
  {
    find: (node) => (ts.isTryStatement(node) ? node.getFirstToken() : undefined),
    from: PLAIN,
    wrong: "`try`: nothing can be caught when the step runs",
    instead:
      "check values with masks; what is wrong with the maths itself is reported when the step is traced",
  },
];

/** One place that cannot be traced. */
export interface Problem {
  readonly file: string;
  /** From 1. */
  readonly line: number;
  readonly column: number;
  readonly wrong: string;
  /** What to write. */
  readonly instead: string;
  /** The line, with the place underlined. */
  readonly frame: string;
}

/** Every problem of the regions, in order. */
export function problemsOf(regions: readonly Region[], input: DiagnoseInput): Problem[] {
  const problems: Problem[] = [];
  const visit = (node: ts.Node): void => {
    if (isOutside(node)) return;
    for (const diagnostic of DIAGNOSTICS) {
      const part = diagnostic.find(node, input.names, input.taints);
      if (part && (diagnostic.from === PLAIN || input.taints.of(part) >= diagnostic.from))
        problems.push(problemAt(part, diagnostic, input));
    }
    node.forEachChild(visit);
  };
  for (const region of regions) region.forEachChild(visit);
  return problems;
}

/** Throws one `traced-value` error with all of them, where there are any. */
export function throwProblems(problems: readonly Problem[]): void {
  const [first] = problems;
  if (!first) return;
  const places = problems.length === 1 ? "one place" : `${problems.length} places`;
  throw new StepjitError(
    "traced-value",
    `${first.file}: ${places} in code marked "${DIRECTIVE}" cannot be traced\n\n${problems.map(printProblem).join("\n\n")}`,
  );
}

export function printProblem({ file, line, column, wrong, instead, frame }: Problem): string {
  return [`${file}:${line}:${column}: ${wrong}`, frame, `  ${instead}.`].join("\n");
}

function problemAt(part: ts.Node, { wrong, instead }: Diagnostic, { source, path }: DiagnoseInput): Problem {
  const start = part.getStart();
  const { line, character } = source.getLineAndCharacterOfPosition(start);
  const text = source.text.split(/\r?\n/)[line] ?? "";
  const width = Math.max(1, Math.min(part.end - start, text.length - character));
  const gutter = `  ${line + 1} | `;
  const indent = `${" ".repeat(gutter.length - 2)}| ${text.slice(0, character).replace(/\S/g, " ")}`;
  const frame = [gutter + text, indent + "^".repeat(width)].join("\n");
  return { file: path, line: line + 1, column: character + 1, wrong, instead, frame };
}

function moreTraced(taints: Taints, ...parts: ts.Expression[]): ts.Expression | undefined {
  const largest = Math.max(...parts.map((part) => taints.of(part)));
  return parts.find((part) => taints.of(part) === largest);
}

function concatenated(node: ts.Node): ts.Expression | undefined {
  if (!ts.isBinaryExpression(node)) return undefined;
  const { kind } = node.operatorToken;
  if (kind !== SyntaxKind.PlusToken && kind !== SyntaxKind.PlusEqualsToken) return undefined;
  if (isString(node.left)) return node.right;
  return isString(node.right) ? node.left : undefined;
}

/** An assignment inside an arm of `?:`, `&&` or `||` that is there under a traced condition. */
function armAssignment(node: ts.Node, taints: Taints): ts.Node | undefined {
  if (!isAssignment(node) && !isStep(node)) return undefined;
  for (let inner: ts.Node = node, { parent } = inner; parent; inner = parent, { parent } = inner) {
    if (ts.isFunctionLike(parent)) return undefined;
    const condition = conditionOver(inner, parent);
    if (condition && taints.of(condition) === TRACED) return node;
  }
  return undefined;
}

function conditionOver(arm: ts.Node, parent: ts.Node): ts.Expression | undefined {
  if (ts.isConditionalExpression(parent) && arm !== parent.condition) return parent.condition;
  const isLazy =
    ts.isBinaryExpression(parent) &&
    arm === parent.right &&
    (parent.operatorToken.kind === SyntaxKind.AmpersandAmpersandToken ||
      parent.operatorToken.kind === SyntaxKind.BarBarToken);
  return isLazy ? parent.left : undefined;
}

function capturedTarget(node: ts.Node, names: Names): ts.Identifier | undefined {
  const scope = tracedScope(node);
  if (!scope) return undefined;
  return targetsOf(node).find((target) => {
    const declared = names.declaration(target);
    return declared && !(declared.pos >= scope.pos && declared.end <= scope.end);
  });
}

/** The function whose run is the trace: the update around `node`, else the outermost function. */
function tracedScope(node: ts.Node): ts.Node | undefined {
  let scope: ts.Node | undefined;
  for (let at = node.parent; at; at = at.parent) {
    if (isUpdate(at)) return at;
    if (ts.isFunctionLike(at)) scope = at;
  }
  return scope;
}

function targetsOf(node: ts.Node): ts.Identifier[] {
  if (isStep(node)) return namesIn(node.operand);
  return isAssignment(node) ? namesIn(node.left) : [];
}

/** The variables that assigning to a target replaces: members change an object, not a variable. */
function namesIn(target: ts.Expression): ts.Identifier[] {
  const node = bare(target);
  if (ts.isIdentifier(node)) return [node];
  if (ts.isArrayLiteralExpression(node)) return node.elements.flatMap(namesIn);
  if (ts.isObjectLiteralExpression(node)) return node.properties.flatMap(propertyTargets);
  return ts.isSpreadElement(node) || isAssignment(node)
    ? namesIn(ts.isSpreadElement(node) ? node.expression : node.left)
    : [];
}

function propertyTargets(property: ts.ObjectLiteralElementLike): ts.Identifier[] {
  if (ts.isShorthandPropertyAssignment(property)) return [property.name];
  if (ts.isPropertyAssignment(property)) return namesIn(property.initializer);
  return ts.isSpreadAssignment(property) ? namesIn(property.expression) : [];
}
