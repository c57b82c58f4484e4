/** The page: trains turn by turn, and shows after each what there is to see. */
import "@tensorflow/tfjs-core"; // its flags, which the gradients ask for
import "@tensorflow/tfjs-core/dist/register_all_gradients.js";
import { type Chosen, chooseBackend } from "./backend.ts";
import { Chart } from "./charts.ts";
import { Controls } from "./controls.ts";
import { element } from "./element.ts";
import { History } from "./history.ts";
import { Journal } from "./journal.ts";
import { Picture } from "./picture.ts";
import { Race, type Turn } from "./race.ts";
import { Texts } from "./texts.ts";

/** The picture asks the network about some thousand places, so it is not drawn at every turn. */
const TURNS_A_PICTURE = 5;

/** Draws what has happened since the last time. */
class Display {
  readonly #texts = new Texts();
  readonly #journal = new Journal();
  readonly #picture = new Picture(element<HTMLCanvasElement>("picture"));
  readonly #charts = {
    loss: new Chart(element("loss"), (loss) => loss.toPrecision(3)),
    time: new Chart(element("time"), (time) => `${time.toPrecision(2)} ms`),
  };
  #history = new History();
  #turns = 0;

  begin(label: string, { ours }: Race): void {
    this.#journal.follow(label, ours.optimizer);
    this.#history = new History();
    this.#turns = 0;
  }

  async show(turn: Turn, { ours }: Race): Promise<void> {
    const history = this.#history;
    history.add(turn);
    if (this.#journal.update()) this.#texts.show(ours.optimizer.step);
    for (const what of ["loss", "time"] as const) this.#charts[what].show(history.columns(what));
    const ratio = history.median("theirs") / history.median("ours");
    element("ratio").textContent = `stepjit is ${ratio.toPrecision(2)} × as fast`;
    element("step").textContent = `step ${turn.step}`;
    if (this.#turns++ % TURNS_A_PICTURE === 0) await this.#picture.show(ours.network);
  }
}

async function main(): Promise<never> {
  showBackend(await chooseBackend());
  const controls = new Controls();
  const display = new Display();
  let race: Race | undefined;
  for (;;) {
    await new Promise(requestAnimationFrame);
    const { choice, amsgrad, learningRate } = controls;
    if (!race || controls.takeRestart()) {
      race?.dispose();
      race = new Race(choice, learningRate);
      display.begin(choice.label, race);
    } else if (!controls.running) continue;
    race.learningRate = learningRate;
    if (amsgrad !== undefined) race.setFlag("amsgrad", amsgrad);
    await display.show(await race.turn(), race);
  }
}

function showBackend({ name, detail, refusals }: Chosen): void {
  const target = element("backend");
  target.dataset.name = name;
  const why = refusals.map((refusal) => ` Not on ${refusal}.`).join("");
  target.textContent = `Runs on TensorFlow.js's ${name} backend${detail && ` (${detail})`}.${why}`;
}

main().catch((error: unknown) => {
  element("error").hidden = false;
  element("error").textContent = String(error);
  throw error;
});
