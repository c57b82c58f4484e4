/** The browser that tests drive: a Chromium that is installed, never one that is downloaded. */
import { existsSync } from "node:fs";
import { type Browser, chromium } from "playwright-core";
import { sayLeftOut } from "../left-out.ts";

const PLACES = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];
const INSTALL = "apt-get update && apt-get install -y chromium";

/** Nothing that a test page does not need: no first-run page, no updates, no other traffic. */
const FLAGS = [
  "--no-sandbox",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-quic",
  "--disable-sync",
];

/** WebGPU on SwiftShader, which needs no graphics card. */
export const WEBGPU = [
  "--enable-unsafe-webgpu",
  "--use-webgpu-adapter=swiftshader",
  "--enable-features=Vulkan",
] as const;

const executablePath = PLACES.find((path) => existsSync(path));

/**
 * Whether the tests of this name can run; says so on stderr where they cannot. On a continuous integration machine (CI=true) they
 * run all the same, and fail: a missing browser must not go unnoticed there.
 */
export function canLaunch(name: string): boolean {
  if (executablePath || process.env.CI === "true") return true;
  sayLeftOut(name, missing());
  return false;
}

export async function launch(flags: readonly string[] = []): Promise<Browser> {
  if (!executablePath) throw new Error(missing());
  return chromium.launch({ executablePath, args: [...FLAGS, ...flags], timeout: 60_000 });
}

function missing(): string {
  return `no browser at ${PLACES.join(", ")}. To install one: ${INSTALL}`;
}
