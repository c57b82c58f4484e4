/** The edits: operators and calls of marked code become calls of helpers. Everything else keeps its text and its line. */
import type MagicString from "magic-string";
import { ts } from "ts-morph";
import { isIdentityTest, isOutside, isRepeatable, isString } from "./ast.ts";
import {
  BINARY,
  COMPOUND,
  HELPER_OPERANDS,
  type Helper,
  isHelper,
  LAZY,
  operandCount,
  takesMath,
  UNARY,
} from "./helpers.ts";
import type { Names } from "./names.ts";
import { positionAt } from "./position.ts";
import type { Region } from "./regions.ts";
import { PLAIN, type Taints } from "./taint.ts";

const { SyntaxKind } = ts;

export interface RewriteInput {
  readonly source: ts.SourceFile;
  readonly names: Names;
  readonly taints: Taints;
  /** The file's name in positions. */
  readonly path: string;
  /** Helpers are imported as prefix + name. */
  readonly prefix: string;
}

/** Edits `text` within the regions; returns the helpers that are used. */
export function rewrite(text: MagicString, regions: readonly Region[], input: RewriteInput): Set<Helper> {
  const rewriter = new Rewriter(text, input);
  for (const region of regions) region.forEachChild((child) => rewriter.visit(child));
  return rewriter.used;
}

type Rule = (rewriter: Rewriter, node: never) => void;

/** Outer nodes are visited first: `#open` adds behind what stands at a place, `#close` in front of it. */
class Rewriter {
  readonly used = new Set<Helper>();
  readonly #text: MagicString;
  readonly #input: RewriteInput;

  constructor(text: MagicString, input: RewriteInput) {
    this.#text = text;
    this.#input = input;
  }

  visit(node: ts.Node): void {
    if (isOutside(node)) return;
    RULES[node.kind]?.(this, node as never);
    node.forEachChild((child) => this.visit(child));
  }

  binary(node: ts.BinaryExpression): void {
    const { left, operatorToken, right } = node;
    const eager = BINARY[operatorToken.kind];
    const lazy = LAZY[operatorToken.kind];
    if (eager && !this.#staysPlain(node)) {
      this.#call(node, eager, operatorToken);
      this.#operator(left, operatorToken, ",");
    } else if (lazy) {
      this.#call(node, lazy, operatorToken);
      this.#operator(left, operatorToken, ", () =>");
      this.#guardBrace(right);
    } else this.#compound(node);
  }

  /** Text is joined, null is looked for, and `==` between plain values may convert: none of it is maths. */
  #staysPlain(node: ts.BinaryExpression): boolean {
    const { kind } = node.operatorToken;
    const isLoose = kind === SyntaxKind.EqualsEqualsToken || kind === SyntaxKind.ExclamationEqualsToken;
    if (isLoose && this.#input.taints.of(node) === PLAIN) return true;
    return isIdentityTest(node) || isConcatenation(node);
  }

  #compound({ left, operatorToken, right }: ts.BinaryExpression): void {
    const helper = COMPOUND[operatorToken.kind];
    const isText = operatorToken.kind === SyntaxKind.PlusEqualsToken && isString(right);
    if (!helper || isText || !isRepeatable(left)) return;
    const call = `= ${this.#name(helper)}(${left.getText()},`;
    this.#text.update(operatorToken.getStart(), operatorToken.end, call);
    this.#close(right.end, `, ${this.#position(operatorToken)})`);
  }

  unary(node: ts.PrefixUnaryExpression): void {
    const helper = UNARY[node.operator];
    if (!helper || (node.operator === SyntaxKind.MinusToken && ts.isLiteralExpression(node.operand))) return;
    const start = node.getStart();
    this.#text.update(start, start + 1, `${this.#name(helper)}(`);
    this.#close(node.end, `, ${this.#position(node)})`);
  }

  conditional(node: ts.ConditionalExpression): void {
    this.#call(node, "select", node.questionToken);
    this.#operator(node.condition, node.questionToken, ", () =>");
    this.#operator(node.whenTrue, node.colonToken, ", () =>");
    this.#guardBrace(node.whenTrue);
    this.#guardBrace(node.whenFalse);
  }

  guard(expression: ts.Expression | undefined): void {
    if (expression) this.#call(expression, "condition", expression);
  }

  call(node: ts.CallExpression): void {
    const { names } = this.#input;
    const math = names.mathMember(node.expression);
    const ops = names.opsMember(node.expression);
    if (ts.isOptionalChain(node)) this.#chain(node);
    else if (math && takesMath(math, node)) this.#mathCall(node, math);
    else if (ops && isHelper(ops) && operandCount(node) <= HELPER_OPERANDS[ops])
      this.#appendPosition(node, ops);
    else this.#within(node, node);
  }

  #mathCall(node: ts.CallExpression, helper: Helper): void {
    const { expression, arguments: args } = node;
    const name = this.#name(helper);
    const position = this.#position(node);
    const folds = Math.max(args.length - 2, 0);
    this.#text.update(expression.getStart(), expression.end, `${name}${`(${name}`.repeat(folds)}`);
    for (const argument of args.slice(1, args.length - 1)) this.#close(argument.end, `, ${position})`);
    this.#close(node.end - 1, args.hasTrailingComma ? position : `, ${position}`);
  }

  #appendPosition(node: ts.CallExpression, helper: keyof typeof HELPER_OPERANDS): void {
    const { arguments: args } = node;
    const missing = Array(HELPER_OPERANDS[helper] - args.length).fill("undefined");
    const added = [...missing, this.#position(node)].join(", ");
    this.#close(node.end - 1, args.length === 0 || args.hasTrailingComma ? added : `, ${added}`);
  }

  /** `a?.b(c).d` goes in as a whole, since `?.` may cut it short: once, at its last call. */
  #chain(call: ts.CallExpression): void {
    let top: ts.Expression = call;
    while (isLinkOf(top.parent, top)) {
      top = top.parent;
      if (ts.isCallExpression(top)) return;
    }
    if (!ts.isDeleteExpression(top.parent)) this.#within(top, call);
  }

  /** The whole expression goes into the arrow, so that a method keeps its object. */
  #within(node: ts.Expression, call: ts.CallExpression): void {
    const { kind } = call.expression;
    if (kind === SyntaxKind.SuperKeyword || kind === SyntaxKind.ImportKeyword) return;
    if (this.#input.taints.of(call) === PLAIN) return;
    this.#open(node.getStart(), `${this.#name("within")}(${this.#position(call)}, () => `);
    this.#guardBrace(node);
    this.#close(node.end, ")");
  }

  #call(node: ts.Expression, helper: Helper, at: ts.Node): void {
    this.#open(node.getStart(), `${this.#name(helper)}(`);
    this.#close(node.end, `, ${this.#position(at)})`);
  }

  /** Puts `replacement` in place of an operator and of the blanks between it and its left operand. */
  #operator(left: ts.Expression, operator: ts.Node, replacement: string): void {
    const between = this.#text.original.slice(left.end, operator.getStart());
    const start = /^[ \t]*$/.test(between) ? left.end : operator.getStart();
    this.#text.update(start, operator.end, replacement);
  }

  /** After `=>` a brace would open a block. */
  #guardBrace(node: ts.Expression): void {
    if (this.#text.original[node.getStart()] !== "{") return;
    this.#open(node.getStart(), "(");
    this.#close(node.end, ")");
  }

  #open(offset: number, added: string): void {
    this.#text.appendRight(offset, added);
  }

  #close(offset: number, added: string): void {
    this.#text.prependLeft(offset, added);
  }

  #name(helper: Helper): string {
    this.used.add(helper);
    return this.#input.prefix + helper;
  }

  /** Of an operator: itself, so that the parts of one expression differ. Of a call: the name that is called. */
  #position(node: ts.Node): string {
    const at = ts.isCallExpression(node) ? calledName(node.expression) : node;
    return JSON.stringify(positionAt(this.#input.source, this.#input.path, at.getStart()));
  }
}

const RULES: { readonly [kind: number]: Rule } = {
  [SyntaxKind.BinaryExpression]: (rewriter, node: ts.BinaryExpression) => rewriter.binary(node),
  [SyntaxKind.PrefixUnaryExpression]: (rewriter, node: ts.PrefixUnaryExpression) => rewriter.unary(node),
  [SyntaxKind.ConditionalExpression]: (rewriter, node: ts.ConditionalExpression) =>
    rewriter.conditional(node),
  [SyntaxKind.CallExpression]: (rewriter, node: ts.CallExpression) => rewriter.call(node),
  [SyntaxKind.IfStatement]: (rewriter, node: ts.IfStatement) => rewriter.guard(node.expression),
  [SyntaxKind.WhileStatement]: (rewriter, node: ts.WhileStatement) => rewriter.guard(node.expression),
  [SyntaxKind.DoStatement]: (rewriter, node: ts.DoStatement) => rewriter.guard(node.expression),
  [SyntaxKind.SwitchStatement]: (rewriter, node: ts.SwitchStatement) => rewriter.guard(node.expression),
  [SyntaxKind.ForStatement]: (rewriter, node: ts.ForStatement) => rewriter.guard(node.condition),
};

function isConcatenation({ left, operatorToken, right }: ts.BinaryExpression): boolean {
  return operatorToken.kind === SyntaxKind.PlusToken && (isString(left) || isString(right));
}

function calledName(callee: ts.Expression): ts.Node {
  return ts.isPropertyAccessExpression(callee) ? callee.name : callee;
}

function isLinkOf(parent: ts.Node, node: ts.Expression): parent is ts.CallExpression | ts.NonNullExpression {
  const isLink = ts.isOptionalChain(parent) || ts.isNonNullExpression(parent);
  return isLink && (parent as { expression?: ts.Node }).expression === node;
}
