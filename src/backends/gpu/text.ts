/** Lines of a language with C's comments. */

/** A line with its IR beside it. Where that came from is no part of a text: texts are keys. */
export function note(line: string, ir: string): string {
  return `${line.padEnd(70)} // ${ir}`;
}

/** Declarations of those variables that later lines name, in order. */
export function declareUsed(
  candidates: readonly (readonly [name: string, declaration: string])[],
  lines: readonly string[],
): string[] {
  const used: string[] = [];
  for (const [name, declaration] of [...candidates].reverse())
    if (new RegExp(`\\b${name}\\b`).test([...used, ...lines].join("\n"))) used.unshift(declaration);
  return used;
}

/** Those of our functions, by name, that a text calls, and that these call: in the order in which they stand. */
export function calledIn(text: string, functions: Readonly<Record<string, string>>): string[] {
  const needed = new Set<string>();
  const visit = (caller: string) => {
    for (const [name, helper] of Object.entries(functions))
      if (!needed.has(name) && new RegExp(`\\b${name}\\(`).test(caller)) {
        needed.add(name);
        visit(helper);
      }
  };
  visit(text);
  return Object.keys(functions).filter((name) => needed.has(name));
}
