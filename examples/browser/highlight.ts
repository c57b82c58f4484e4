/** Light colouring for WAT, WGSL and the compiler's own texts: comments, strings, numbers and the words that open something. */
const TOKENS = new RegExp(
  [
    "(?<comment>;;.*|//.*)",
    '(?<string>"[^"\\n]*")',
    "(?<number>(?<![\\w.$])-?\\d[\\w.]*)",
    "(?<word>(?<=\\()[a-z][\\w.]*|\\b(?:fn|var|let|const|struct|switch|case|default|for|loop|if|else|return)\\b|(?<=^\\s*)(?:kernel|class|tensor|bytes|barrier)\\b)",
  ].join("|"),
  "gm",
);

export function highlight(text: string): Node[] {
  const nodes: Node[] = [];
  let end = 0;
  for (const { 0: token, index, groups = {} } of text.matchAll(TOKENS)) {
    const span = document.createElement("span");
    span.className = Object.keys(groups).find((name) => groups[name] !== undefined) ?? "";
    span.textContent = token;
    nodes.push(document.createTextNode(text.slice(end, index)), span);
    end = index + token.length;
  }
  return [...nodes, document.createTextNode(text.slice(end))];
}
