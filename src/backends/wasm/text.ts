/** Lines of WAT. */

export function get(local: string | undefined): string {
  return `(local.get ${local})`;
}

/** A line with its IR beside it. */
export function note(line: string, ir: string): string {
  return `${line.padEnd(76)} ;; ${ir}`;
}

export function withoutNote(line: string): string {
  return line.replace(/ +;; .*$/, "");
}

/** Declarations, a few to a line. */
export function declare(names: readonly string[], type: string): string[] {
  const lines: string[] = [];
  for (let i = 0; i < names.length; i += 6)
    lines.push(
      names
        .slice(i, i + 6)
        .map((name) => `(local ${name} ${type})`)
        .join(" "),
    );
  return lines;
}
