/** The page as a bundle in a folder, and a web server for it. */
import { mkdtemp, readFile } from "node:fs/promises";
import { createServer, type OutgoingHttpHeaders, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { extname, join } from "node:path";
import { fileURLToPath } from "node:url";
import stepjit from "stepjit/plugin";
import { build } from "vite";

/** Bundles a folder of test/browser as a user's project would, minified and with the plugin; returns where it is. */
export async function buildPage(name: "page" | "lab"): Promise<string> {
  const outDir = await mkdtemp(join(tmpdir(), `stepjit-${name}-`));
  await build({
    root: fileURLToPath(new URL(name, import.meta.url)),
    configFile: false,
    logLevel: "warn",
    plugins: [stepjit.vite()],
    resolve: { conditions: ["stepjit-src", "module", "browser", "production"] },
    build: { outDir, emptyOutDir: true, target: "esnext", chunkSizeWarningLimit: 5000 },
  });
  return outDir;
}

const TYPES: Readonly<Record<string, string>> = { ".html": "text/html", ".js": "text/javascript" };

export interface Site {
  readonly url: string;
  close(): Promise<void>;
}

/** Serves a folder on a free port, every file with these headers. */
export async function serve(folder: string, headers: OutgoingHttpHeaders): Promise<Site> {
  const server = createServer(async ({ url = "/" }, response) => {
    const { pathname } = new URL(url, "http://localhost");
    const file = pathname === "/" ? "/index.html" : pathname;
    const body = await readFile(join(folder, file)).catch(() => undefined);
    response.writeHead(body ? 200 : 404, {
      ...headers,
      "Content-Type": TYPES[extname(file)] ?? "text/plain",
    });
    response.end(body);
  });
  await new Promise<void>((listening) => server.listen(0, "localhost", listening));
  const { port } = server.address() as AddressInfo;
  return { url: `http://localhost:${port}/`, close: () => close(server) };
}

async function close(server: Server): Promise<void> {
  server.closeAllConnections();
  await new Promise((closed) => server.close(closed));
}
