/** Lines of text, whatever the language. */

export function indent(lines: readonly string[]): string[] {
  return lines.map((line) => (line ? `  ${line}` : line));
}

/** A text with some of its words replaced; what follows a `$` or a `.` is no word of its own. */
export function fillIn(text: string, words: Readonly<Record<string, string>>): string {
  return text.replace(
    /(?<![\w$.])\w+\b/g,
    (word) => (Object.hasOwn(words, word) ? words[word] : word) as string,
  );
}
