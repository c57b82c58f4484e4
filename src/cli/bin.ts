#!/usr/bin/env node
/** Where the command starts. User's files may be TypeScript, and marked. */
import "../trace/syntax/register.ts";
import { main } from "./main.ts";

// Who reads only the first lines closes the pipe: that is no failure.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code !== "EPIPE") throw error;
  process.exit();
});

process.exitCode = await main(process.argv.slice(2), {
  out: (text) => void process.stdout.write(`${text}\n`),
  err: (text) => void process.stderr.write(`${text}\n`),
});
