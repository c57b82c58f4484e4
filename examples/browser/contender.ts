/** A network and the optimizer that trains it. */
import { Network } from "./network.ts";
import type { Trainer } from "./optimizers.ts";
import type { Batch } from "./spirals.ts";

export class Contender<T extends Trainer = Trainer> {
  readonly network: Network;
  readonly optimizer: T;

  constructor(name: string, optimizer: T) {
    this.network = new Network(name);
    this.optimizer = optimizer;
  }

  /** Gives the loss before the last of these steps; reading it waits for all of them. */
  async train(steps: number, batch: Batch): Promise<number> {
    const { network, optimizer } = this;
    let loss = Number.NaN;
    for (let i = 1; i <= steps; i++) {
      const value = optimizer.minimize(() => network.loss(batch), i === steps, network.variables);
      if (value) [loss] = (await value.data()) as unknown as [number];
      value?.dispose();
    }
    return loss;
  }

  dispose(): void {
    this.optimizer.dispose();
    this.network.dispose();
  }
}
