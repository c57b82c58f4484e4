/** Numbers for people. */

const UNITS = ["B", "kB", "MB", "GB", "TB"];

/** Three digits and a decimal unit: `28.4 MB`. */
export function bytes(count: number): string {
  const power = count < 1000 ? 0 : Math.min(UNITS.length - 1, Math.floor(Math.log10(1.0005 * count) / 3));
  return `${power === 0 ? count : (count / 1000 ** power).toPrecision(3)} ${UNITS[power]}`;
}

/** `36.4 GB/s`. */
export function perSecond(rate: number): string {
  return `${bytes(rate)}/s`;
}

/** Of milliseconds: `12.3 ms`, `45.6 µs`. */
export function duration(milliseconds: number): string {
  return milliseconds < 1 ? `${digits(1000 * milliseconds)} µs` : `${digits(milliseconds)} ms`;
}

/** With separators: `25,557,032`. */
export function whole(count: number): string {
  return count.toLocaleString("en");
}

/** `25.6 M`. */
export function short(count: number): string {
  if (count < 10_000) return whole(count);
  return count < 1e6
    ? `${digits(count / 1e3)} k`
    : count < 1e9
      ? `${digits(count / 1e6)} M`
      : `${digits(count / 1e9)} G`;
}

/** At most three digits that count: `28`, `24.4`, `0.13`. */
export function digits(number: number): string {
  return String(Number(number.toPrecision(number >= 100 ? Math.ceil(Math.log10(number + 1)) : 3)));
}

export function times(moved: number, ideal: number): string {
  return ideal === 0 ? "–" : `${(moved / ideal).toFixed(2)} ×`;
}

export function counted(count: number, one: string, many = `${one}s`): string {
  return `${whole(count)} ${count === 1 ? one : many}`;
}
