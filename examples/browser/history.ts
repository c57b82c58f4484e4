/** What the charts show: one entry a turn, thinned out when there are too many to draw. */
import type { Turn } from "./race.ts";

const MOST = 1000;
/** Turns that a median is taken over. */
const RECENT = 25;

export class History {
  #turns: Turn[] = [];
  #recent: Turn[] = [];

  add(turn: Turn): void {
    this.#turns.push(turn);
    if (this.#turns.length > MOST) this.#turns = this.#turns.filter((_, index) => index % 2 === 1);
    this.#recent = [...this.#recent, turn].slice(-RECENT);
  }

  /** Columns for a chart: steps, ours, theirs. */
  columns(what: "loss" | "time"): [number[], number[], number[]] {
    return [
      this.#turns.map(({ step }) => step),
      this.#turns.map((turn) => turn[what].ours),
      this.#turns.map((turn) => turn[what].theirs),
    ];
  }

  /** Of the update's time, over the last turns; NaN before the first. */
  median(side: "ours" | "theirs"): number {
    const times = this.#recent.map(({ time }) => time[side]).sort((a, b) => a - b);
    return times[times.length >> 1] ?? Number.NaN;
  }
}
