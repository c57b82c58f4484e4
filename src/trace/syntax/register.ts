/** `node --import stepjit/register app.ts`: runs TypeScript and functions marked `"use stepjit"` with no build step. */
import { register } from "node:module";

process.setSourceMapsEnabled(true); // stack traces show the user's own lines
register("./loader.js", import.meta.url);
