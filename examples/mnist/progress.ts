/** Progress on a terminal as a bar, and elsewhere as one line when it is done. */
import cliProgress from "cli-progress";

export interface Progress {
  update(done: number, note: string): void;
  finish(note: string): void;
}

export function progress(label: string, total: number): Progress {
  if (!process.stdout.isTTY) return { update() {}, finish: (note) => console.log(`${label}  ${note}`) };
  const bar = new cliProgress.SingleBar({
    format: `${label}  {bar} {value}/{total}  {note}`,
    barCompleteChar: "█",
    barIncompleteChar: "░",
    barsize: 28,
    hideCursor: true,
    stream: process.stdout,
  });
  bar.start(total, 0, { note: "" });
  return {
    update: (done, note) => bar.update(done, { note }),
    finish(note) {
      bar.update(total, { note });
      bar.stop();
    },
  };
}
