/** Builds the page of `stepjit/report`: one HTML file with its script and style in it, and a place for a report's data. */
import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { rolldown } from "rolldown";

const folder = join(dirname(fileURLToPath(import.meta.url)), "src/report/page");

const STYLES = ["base", "launches", "bytes", "overview", "events", "kernels", "graph", "drawing", "side"];

/** The HTML. The script that runs in it is this one and no other, whatever a report's data say; it may load nothing. */
export async function buildPage() {
  const { script, licences } = await bundle();
  const style = STYLES.map((name) => readFileSync(join(folder, `style/${name}.css`), "utf8"))
    .join("")
    .replaceAll(/\/\*.*?\*\/\s*|^\s+/gms, ""); // comments and indents
  const policy = [
    "default-src 'none'",
    `script-src ${hash(script)}`,
    `style-src ${hash(style)}`,
    "img-src data:",
    "base-uri 'none'",
    "form-action 'none'",
  ].join("; ");
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>stepjit report</title>
<link rel="icon" href="data:,">
<style>${style}</style>
</head>
<body>
<noscript>A script in this file draws the report; it loads nothing.</noscript>
<script type="application/json" id="report">{{report}}</script>
<script type="module">${script}</script>
<script type="text/plain" id="licences">${licences}</script>
</body>
</html>
`;
}

async function bundle() {
  const build = await rolldown({ input: join(folder, "main.ts"), platform: "browser" });
  const { output } = await build.generate({ format: "es", minify: true, codeSplitting: false });
  const [{ code, moduleIds }] = output;
  const script = code.replaceAll("</script", "<\\/script").replaceAll("<!--", "<\\!--");
  return { script, licences: licencesOf(moduleIds) };
}

/** Of the libraries that are built in: who passes on a report passes them on, too, and their licences ask for their text. */
function licencesOf(modules) {
  const folders = modules.flatMap((path) => /^.*\/node_modules\/(?:@[^/]+\/)?[^/]+/.exec(path)?.[0] ?? []);
  const texts = [...new Set(folders)].sort().map((folder) => {
    const { name, version, license } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
    const file = readdirSync(folder).find((one) => /^licen[cs]e/i.test(one));
    const text = file ? readFileSync(join(folder, file), "utf8") : "";
    return `${name} ${version}: ${license}\n\n${text.trim()}\n`;
  });
  return texts.join("\n").replaceAll("<", "&lt;");
}

function hash(text) {
  return `'sha256-${createHash("sha256").update(text).digest("base64")}'`;
}
