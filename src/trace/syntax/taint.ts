/**
 * Which values of a marked function may be traced. What an update is given is traced, its flags are not; the parameters of any
 * other function may be either. From there it flows through assignments, operators and calls, whatever the order of statements:
 * a variable is as traced as anything ever assigned to it.
 */
import { ts } from "ts-morph";
import { bare, isAssignment, isIdentityTest, isOutside, isUpdate, rootOf } from "./ast.ts";
import type { Names } from "./names.ts";
import type { Region } from "./regions.ts";

const { SyntaxKind } = ts;

export const PLAIN = 0;
/** A helper's parameter: the trace will tell. */
export const UNKNOWN = 1;
export const TRACED = 2;
export type Taint = typeof PLAIN | typeof UNKNOWN | typeof TRACED;

/** The one member of an update's context that is plain. */
const PLAIN_MEMBER = "flags";

export class Taints {
  readonly #names: Names;
  readonly #symbols = new Map<ts.Symbol, Taint>();
  /** Variables that hold an update's context itself, or the rest of it. */
  readonly #contexts = new Set<ts.Symbol>();
  readonly #known = new Map<ts.Node, Taint>();
  #changed = true;

  constructor(names: Names, regions: readonly Region[]) {
    this.#names = names;
    while (this.#changed) {
      this.#changed = false;
      for (const region of regions) this.#flow(region);
    }
  }

  of(node: ts.Node): Taint {
    const known = this.#known.get(node);
    if (known !== undefined) return known;
    const taint = this.#compute(node);
    this.#known.set(node, taint);
    return taint;
  }

  #compute(node: ts.Node): Taint {
    if (isOutside(node) || ts.isClassExpression(node)) return PLAIN;
    if (ts.isIdentifier(node)) return this.#ofName(node);
    if (ts.isFunctionLike(node)) return this.#ofResults(node);
    if (ts.isTypeOfExpression(node) || ts.isVoidExpression(node) || ts.isDeleteExpression(node)) return PLAIN;
    if (ts.isPropertyAccessExpression(node)) return this.#ofMember(node);
    if (ts.isBinaryExpression(node)) {
      const { kind } = node.operatorToken;
      if (kind === SyntaxKind.InKeyword || kind === SyntaxKind.InstanceOfKeyword) return PLAIN;
      if (isIdentityTest(node)) return PLAIN;
      if (kind === SyntaxKind.CommaToken || kind === SyntaxKind.EqualsToken) return this.of(node.right);
    }
    return this.#ofChildren(node);
  }

  #ofName(name: ts.Identifier): Taint {
    const symbol = this.#names.symbol(name);
    return (symbol && this.#symbols.get(symbol)) ?? PLAIN;
  }

  #ofMember(node: ts.PropertyAccessExpression): Taint {
    const member = node.name.text;
    const isPlain = member === "length" || (member === PLAIN_MEMBER && this.#isContext(node.expression));
    return isPlain ? PLAIN : this.of(node.expression);
  }

  #ofChildren(node: ts.Node): Taint {
    let taint: Taint = PLAIN;
    node.forEachChild((child) => {
      if (ts.isPropertyAssignment(node) && child === node.name) return;
      taint = larger(taint, this.of(child));
    });
    return taint;
  }

  /** A function is as traced as what it returns, so that calling it gives that. */
  #ofResults(fn: ts.Node): Taint {
    if (ts.isArrowFunction(fn) && !ts.isBlock(fn.body)) return this.of(fn.body);
    let taint: Taint = PLAIN;
    const visit = (node: ts.Node): void => {
      if (ts.isFunctionLike(node)) return;
      if (ts.isReturnStatement(node) && node.expression) taint = larger(taint, this.of(node.expression));
      node.forEachChild(visit);
    };
    fn.forEachChild(visit);
    return taint;
  }

  #isContext(node: ts.Expression): boolean {
    const name = bare(node);
    const symbol = ts.isIdentifier(name) ? this.#names.symbol(name) : undefined;
    return symbol !== undefined && this.#contexts.has(symbol);
  }

  #flow(node: ts.Node): void {
    if (isOutside(node)) return;
    if (ts.isParameter(node)) this.#flowParameter(node);
    else if (ts.isVariableDeclaration(node) && node.initializer)
      this.#bind(node.name, this.of(node.initializer), this.#isContext(node.initializer));
    else if (ts.isForOfStatement(node)) this.#flowForOf(node);
    else if (ts.isFunctionDeclaration(node) && node.name) this.#join(node.name, this.of(node));
    else if (isAssignment(node)) this.#assign(node.left, this.of(node.right));
    else if (ts.isCallExpression(node)) this.#flowCall(node);
    node.forEachChild((child) => this.#flow(child));
  }

  #flowParameter(parameter: ts.ParameterDeclaration): void {
    const isContext = isUpdate(parameter.parent) && parameter.parent.parameters[0] === parameter;
    const isText = parameter.type?.kind === SyntaxKind.StringKeyword;
    this.#bind(parameter.name, isContext ? TRACED : isText ? PLAIN : UNKNOWN, isContext);
    if (parameter.initializer) this.#bind(parameter.name, this.of(parameter.initializer), false);
  }

  #flowForOf(node: ts.ForOfStatement): void {
    const taint = this.of(node.expression);
    if (!ts.isVariableDeclarationList(node.initializer)) this.#assign(node.initializer, taint);
    else for (const { name } of node.initializer.declarations) this.#bind(name, taint, false);
  }

  /** `list.push(grad)`: what a method is given may stay in its object. */
  #flowCall(node: ts.CallExpression): void {
    if (!ts.isPropertyAccessExpression(node.expression)) return;
    const root = rootOf(node.expression.expression);
    const declared = root && this.#names.declaration(root);
    if (!root || !declared || !ts.isVariableDeclaration(declared)) return;
    for (const argument of node.arguments) this.#join(root, this.of(argument));
  }

  #bind(name: ts.BindingName, taint: Taint, isContext: boolean): void {
    if (ts.isIdentifier(name)) {
      if (isContext) this.#addContext(name);
      this.#join(name, taint);
    } else this.#bindMembers(name, taint, isContext);
  }

  #bindMembers(pattern: ts.BindingPattern, taint: Taint, isContext: boolean): void {
    for (const element of pattern.elements) {
      if (ts.isOmittedExpression(element)) continue;
      const member = (element.propertyName ?? element.name).getText();
      const isRest = element.dotDotDotToken !== undefined;
      const isPlain = isContext && !isRest && member === PLAIN_MEMBER;
      this.#bind(element.name, isPlain ? PLAIN : taint, isContext && isRest);
      if (element.initializer && !isPlain) this.#bind(element.name, this.of(element.initializer), false);
    }
  }

  #addContext(name: ts.Identifier): void {
    const symbol = this.#names.symbol(name);
    if (!symbol || this.#contexts.has(symbol)) return;
    this.#contexts.add(symbol);
    this.#restart();
  }

  #assign(target: ts.Expression, taint: Taint): void {
    const node = bare(target);
    const root = rootOf(node);
    if (root) this.#join(root, taint);
    else if (ts.isArrayLiteralExpression(node)) for (const item of node.elements) this.#assign(item, taint);
    else if (ts.isObjectLiteralExpression(node)) {
      for (const property of node.properties) {
        if (ts.isShorthandPropertyAssignment(property)) this.#join(property.name, taint);
        else if (ts.isPropertyAssignment(property)) this.#assign(property.initializer, taint);
      }
    }
  }

  #join(name: ts.Identifier, taint: Taint): void {
    const symbol = this.#names.symbol(name);
    if (!symbol || taint <= (this.#symbols.get(symbol) ?? PLAIN)) return;
    this.#symbols.set(symbol, taint);
    this.#restart();
  }

  /** What was concluded from less no longer holds. */
  #restart(): void {
    this.#known.clear();
    this.#changed = true;
  }
}

function larger(a: Taint, b: Taint): Taint {
  return a > b ? a : b;
}
