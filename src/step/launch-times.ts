import type { Backend, DeviceTimer, Interval } from "../backends/backend.ts";
import type { Launch, LaunchListener } from "../plan/plan.ts";

interface Listed {
  readonly launch: Launch;
  /** Which of the timer's. */
  readonly ticket: number;
}

export interface TimedLaunch {
  readonly launch: Launch;
  /** When it ran, by performance.now(); null where nobody knows. */
  readonly ran: Interval | null;
}

/** Launches as they are made, and how long each took: by performance.now() where one waits for them, else by the device's clock. */
export class LaunchTimes implements LaunchListener {
  readonly timer: DeviceTimer | undefined;
  /** Whether anything tells how long they take. */
  readonly areTimed: boolean;
  readonly #listed: Listed[] = [];

  constructor(backend: Backend) {
    this.timer = backend.makeTimer?.();
    this.areTimed = backend.programs === "host" || this.timer !== undefined;
  }

  get count(): number {
    return this.#listed.length;
  }

  launched(launch: Launch): void {
    this.#listed.push({ launch, ticket: (this.timer?.launches ?? 0) - 1 });
  }

  /**
   * All launches, in order, once they are done. A device's clock has another zero: it is set so that no launch begins before it was
   * queued, and one of them just then.
   */
  async read(): Promise<TimedLaunch[]> {
    if (!this.areTimed) return this.#listed.map(({ launch }) => ({ launch, ran: null }));
    if (!this.timer) return this.#listed.map(({ launch }) => ({ launch, ran: launch }));
    const times = await this.timer.read();
    const timed = this.#listed.map(({ launch, ticket }) => ({ launch, ran: times[ticket] ?? null }));
    const zero = timed.reduce(
      (latest, { launch, ran }) => (ran ? Math.max(latest, launch.end - ran.begin) : latest),
      -Infinity,
    );
    return timed.map(({ launch, ran }) => ({
      launch,
      ran: ran && { begin: ran.begin + zero, end: ran.end + zero },
    }));
  }

  dispose(): void {
    this.timer?.dispose();
  }
}
